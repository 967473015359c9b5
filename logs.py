"""Logs of a service as lines of JSON, without anything of what was sent."""

import json
import logging
import time
from pathlib import Path

NAME = "serve"  # of the logger


class Requests:
    """Middleware that logs a line of JSON for each request: no body, file name, age, sex or address."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), None

        async def send_on(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", None)  # not the path, in which anything may stand
            told = {"method": scope["method"], "route": route, "status": status}
            logging.getLogger(NAME).info(
                "request", extra={"told": told | {"ms": round(1000 * (time.perf_counter() - start), 1)}}
            )


class JsonLines(logging.Formatter):
    """A log record as a line of JSON."""

    def format(self, record):
        line = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        error = {"error": record.exc_info[0].__name__} if record.exc_info else {}  # a trace may quote what came
        return json.dumps(line | error | getattr(record, "told", {}))


def failed(error):
    """Log an error of ours by its kind and where it was raised, since its message may tell of the patient."""
    at = error.__traceback__
    while at.tb_next:
        at = at.tb_next
    place = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}"
    logging.getLogger(NAME).error("failed", extra={"told": {"error": type(error).__name__, "at": place}})


def as_json():
    """Send our log, and that of uvicorn but its lines for requests, to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in (NAME, "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True
