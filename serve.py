"""Predictions over HTTP: `uvicorn serve:app`, with the ONNX files of `saved_models/` or of the folder in ECG_MODELS.

GET /health, GET /models, GET /models/{name} (the card), POST /predict. What is sent and answered is described at /docs.
Every model reads what `predict.py` reads and tells the same. Neither TensorFlow nor Keras is needed.
"""

import asyncio
import functools
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import card as cards
import inputs
import logs
import messages
import metrics
import predict
import runtimes
import uploads
import wfdb_files

DEFAULT = cards.RELEASE  # the model that answers when none is named; without it, the first by name
BYTES = 8 * 2**20  # of a request
FIELD_BYTES = 10_000  # of a form field that is no file
VALUES = 500_000  # numbers of processed signals, and of attention, in an answer
AT_ONCE = 64  # requests that are being received, wait, or are worked on; the next is answered 503
WORKERS = min(4, os.cpu_count() or 1)
RECEIVE, WORK = 30, 60  # seconds until a request must be there, and then until its answer must be


class Served(NamedTuple):
    """A model that is ready, with its card."""

    model: runtimes.Onnx
    card: cards.Card

    @property
    def has_attention(self):
        return any(output.name == "attention" for output in self.model.session.get_outputs())


class Witness:
    """A model that keeps what it is given, and what it attends to, where that is asked for.

    What `predict` makes of a recording is told by the model's own inputs, and so can be nothing else.
    """

    def __init__(self, served, asked):
        self.model, self.kept = served.model, {}
        if asked.attention and not served.has_attention:
            raise ValueError("this model has no attention; GET /models says which have")
        self.wanted = [name for name in ("processed", "attention") if getattr(asked, name)]

    def predict_on_batch(self, inputs):
        for name in self.wanted:
            first = inputs[0] if isinstance(inputs, tuple) else inputs
            values = first if name == "processed" else runtimes.over_time(self.model.output(inputs, name))
            self.kept.setdefault(name, []).append(np.asarray(values))
            if sum(part.size for part in self.kept[name]) > VALUES:
                raise ValueError(f"{name} has more than {VALUES:,} numbers; ask for it with a shorter recording")
        return self.model.predict_on_batch(inputs)

    def told(self):
        """What was kept, as lists."""
        return {name: np.concatenate(parts).tolist() for name, parts in self.kept.items()}


def load_models(folder):
    """The ONNX files of a folder by name, each Served.

    Raises:
        ValueError: there are none, or one is damaged.
    """
    paths = sorted(Path(folder).glob("*.onnx"))
    if not paths:
        raise ValueError(f"no .onnx file in {folder}; make one with: python export.py MODEL --format onnx")
    return {path.stem: Served(*cards.load(path)) for path in paths}


def from_json(body):
    """What was asked, the recording, and what is known of the patient, of a JSON body."""
    asked = messages.Samples.model_validate_json(body, strict=True)
    return asked, uploads.measured(asked.samples, asked.leads, asked.sampling_rate), {}


def from_form(fields, files):
    """The same, of form fields and of files `(name, content)`."""
    asked = messages.Upload.model_validate({name: value for name, value in fields.items() if value != ""})
    endings = {PurePosixPath(name).suffix.lower(): (name, content) for name, content in files}
    if len(endings) < len(files) or ".dat" not in endings or set(endings) - {".dat", ".hea"}:
        names = ", ".join(name[:60] for name, _ in files) or "none"
        raise ValueError(f"files {names} came; a .dat and its .hea are expected, or a .dat alone")
    name, dat = endings[".dat"]
    stated = {field: getattr(asked, field) for field in ("sampling_rate", "leads", "format", "gain")}
    if ".hea" in endings:
        header = endings[".hea"][1]
        if given := [field for field, value in (stated | {"baseline": asked.baseline}).items() if value is not None]:
            raise ValueError(
                f"{', '.join(given)} came, but the header says that; send the .dat alone, or leave them out"
            )
    else:
        if missing := [field for field, value in stated.items() if value is None]:
            raise ValueError(f"a .dat came without its .hea, so the fields {', '.join(missing)} are needed as well")
        name, leads = f"{uploads.NAME}.dat", [lead.strip() for lead in asked.leads.split(",")]
        about = leads, asked.sampling_rate, asked.format, asked.gain, asked.baseline or 0
        header = uploads.header_of(len(dat), name, *about)
    with uploads.unpacked(header, dat, name) as path:
        return asked, wfdb_files.read_record(path.parent, path.name), predict.told_by_header(path)


def answer(models, default, read):
    """The Answer, as JSON in bytes, to what `read()` gives."""
    asked, record, known = read()
    name = asked.model or default
    served = found(models, name)
    predict.check(name, served.card, [])
    known = inputs.patient(known, asked.age, asked.sex)
    uploads.check_known(known)
    uploads.check_signals(record.millivolts())
    witness, card = Witness(served, asked), served.card
    told = told_of_parts(witness, card, record) if card.cutting else told_of_record(witness, card, record, known)
    told = {"model": name, "classes": card.classes, "thresholds": card.thresholds} | told | witness.told()
    return json.dumps(told, allow_nan=False).encode()


def told_of_record(model, card, record, known):
    """The part of an Answer that is about a whole recording."""
    probabilities = uploads.finite(predict.predict_record(model, card, record, known))
    decided = metrics.decide(probabilities[None], card.thresholds)[0]
    top = card.classes[int(probabilities.argmax())]
    return {"probabilities": probabilities.tolist(), "decisions": decided.astype(bool).tolist(), "top_class": top}


def told_of_parts(model, card, record):
    """The part of an Answer that is about beats or segments."""
    rows = predict.predict_parts(model, card, record)
    probabilities = uploads.finite(rows[list(card.classes)].to_numpy("float64"))
    columns = rows["sample"].tolist(), rows["class"], probabilities.argmax(axis=1), probabilities.tolist()
    parts = [
        {"sample": sample, "decision": decided, "top_class": card.classes[top], "probabilities": row}
        for sample, decided, top, row in zip(*columns, strict=True)
    ]
    return {"parts": parts, "summary": predict.summary(rows, record.layout.sampling_rate, card.classes)}


def found(models, name):
    """A model by name, or 404."""
    if name not in models:
        raise HTTPException(404, f"no model {name[:60]!r}; there are: {', '.join(models)}")
    return models[name]


class Desk:
    """Where requests are worked on: so many at once, by few threads, each within its time."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="work")
        self.free = threading.Semaphore(AT_ONCE)

    async def handle(self, receive, work):
        """`work(read)` in a thread, where `read` is what the coroutine `receive` comes to.

        A place is free again when the work is over, which may be after its time: threads cannot be stopped.
        """
        if not self.free.acquire(blocking=False):
            receive.close()
            raise HTTPException(503, f"{AT_ONCE} requests are under way; try again soon", {"Retry-After": "1"})
        job = None
        try:
            job = self.pool.submit(work, await receive)
            job.add_done_callback(lambda _: self.free.release())
            return await asyncio.wait_for(asyncio.wrap_future(job), WORK)
        except TimeoutError as error:
            raise HTTPException(503, f"no answer within {WORK} s; send a shorter recording, or try later") from error
        finally:
            if job is None:
                self.free.release()


def bounded(request):
    """The request, whose body is refused once it is too long or too slow."""
    ends, size = asyncio.get_running_loop().time() + RECEIVE, 0

    async def receive():
        nonlocal size
        try:
            async with asyncio.timeout_at(ends):
                message = await request.receive()
        except TimeoutError as error:
            raise HTTPException(408, f"the request was not there within {RECEIVE} s") from error
        size += len(message.get("body", b""))
        if size > BYTES:
            raise HTTPException(413, f"more than {BYTES:,} bytes came; send a shorter recording")
        return message

    return Request(request.scope, receive)


async def received(request):
    """What will read the body: `from_json` or `from_form`, with what came."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "a compressed body came; send it as it is")
    request = bounded(request)
    body = await request.body()  # all of it, even if its beginning is wrong: a client that still sends hears no answer
    if kind == "application/json":
        return functools.partial(from_json, body)
    if kind != "multipart/form-data":
        raise HTTPException(415, f"{kind[:60] or 'nothing'} came; send application/json or multipart/form-data")
    try:
        async with request.form(max_files=2, max_fields=20, max_part_size=FIELD_BYTES) as form:
            parts = [(name, part, isinstance(part, UploadFile)) for name, part in form.multi_items()]
            if wrong := [name for name, _, is_file in parts if is_file != (name == "files")]:
                raise HTTPException(
                    422, f"field {wrong[0][:60]!r} came; files, and only those, go into the field 'files'"
                )
            fields = {name: part for name, part, is_file in parts if not is_file}
            files = [(part.filename, await part.read()) for _, part, is_file in parts if is_file]
            return functools.partial(from_form, fields, files)
    except HTTPException:
        raise
    except Exception as error:  # the parser meets damaged forms with errors of any kind
        raise HTTPException(400, "the body is no multipart form with fields and files") from error


def as_problem(error):
    """An error of ours, or of what came, as the answer to it."""
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, ClientDisconnect):
        return HTTPException(400, "the connection ended before the request was there")
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[:3]
        return HTTPException(422, "; ".join(f"{'.'.join(map(str, one['loc']))[:80]}: {one['msg']}" for one in wrong))
    if isinstance(error, ValueError):
        return HTTPException(422, str(error).encode(errors="backslashreplace").decode())  # may quote what is no text
    logs.failed(error)
    return HTTPException(500, "the service failed at this request; its log says where")


async def post_predict(request: Request):
    """Class probabilities of one recording."""
    state = request.app.state
    try:
        work = functools.partial(answer, state.models, state.default)
        content = await state.desk.handle(received(request), work)
    except Exception as error:
        raise as_problem(error) from None
    return Response(content, media_type="application/json")


async def get_health(request: Request):
    """Whether the service runs."""
    return {"status": "ok", "models": len(request.app.state.models)}


async def get_models(request: Request):
    """The models, and what each reads."""
    state = request.app.state
    return [
        {
            "name": name,
            "default": name == state.default,
            "reads": served.card.cutting.get("task", "records"),
            "classes": served.card.classes,
            "leads": served.card.leads,
            "sampling_rate": served.card.sampling_rate,
            "features": served.card.feature_names,
            "attention": served.has_attention,
        }
        for name, served in state.models.items()
    ]


async def get_model(name: str, request: Request):
    """The card of a model."""
    text = cards.as_json(found(request.app.state.models, name).card)
    return json.loads(text, parse_constant=lambda _: None)  # JSON has no NaN


@asynccontextmanager
async def lifespan(app):
    """Before the end, what is under way is finished: uvicorn waits for requests, and this for threads."""
    yield
    app.state.desk.pool.shutdown()


def make_app(folder):
    """The service, with the models of a folder."""
    models = load_models(folder)
    app = FastAPI(title="ECG classification", description=__doc__, version="1", lifespan=lifespan)
    app.state.models, app.state.desk = models, Desk()
    app.state.default = DEFAULT if DEFAULT in models else next(iter(models))
    app.add_middleware(logs.Requests)
    card = models[app.state.default].card
    refused = messages.problems(400, 408, 413, 415, 422, 404, 503)
    app.add_api_route("/health", get_health)
    app.add_api_route("/models", get_models)
    app.add_api_route("/models/{name}", get_model, responses=messages.problems(404, 422))
    app.add_api_route(
        "/predict",
        post_predict,
        methods=["POST"],
        responses={200: {"model": messages.Answer}} | refused,
        openapi_extra=messages.request_body(card),
    )
    return app


def __getattr__(name):
    """`app` is made when uvicorn asks for it, so that importing this file needs no models."""
    if name != "app":
        raise AttributeError(name)
    logs.as_json()
    wfdb_files.quicken_headers()
    try:
        return make_app(cards.folder())
    except (ValueError, OSError) as error:
        sys.exit(f"serve: {error}")
