"""How the service stands up to load and to hostile uploads: a server of its own on loopback, in one run.

    python benchmarks/serving.py --models saved_models
    python benchmarks/serving.py --models FOLDER --seconds 10 --clients 1 8 32 --requests 10000 --uploads 2000

Prints requests a second and milliseconds (median and 99th percentile) of a made-up recording for the default model,
sent as WFDB files by so many clients at once; how often uploads made up by hypothesis were answered with which status;
and the memory of a server after a tenth of the requests and after all. Writes `results/serving.md` and `.json`. The
clients take their share of the processor.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from throughput import ROOT, load_of_machine, write

BOUNDARY = "between-the-parts"


def form(files, fields=()):
    """The body of a multipart form."""
    parts = [(f'name="files"; filename="{name}"', content) for name, content in files]
    parts += [(f'name="{name}"', value) for name, value in fields]
    lines = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), content)
        for head, content in parts
    ]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def recording(example):
    """The example of the documentation, ten seconds long, as WFDB files in a form."""
    rate, leads = example["sampling_rate"], example["leads"]
    digital = np.round(1000 * np.resize(example["samples"], (round(10 * rate), len(leads)))).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        count = len(leads)
        wfdb.wrsamp(
            "r", rate, ["mV"] * count, leads, d_signal=digital, fmt=["16"] * count, adc_gain=[1000] * count,
            baseline=[0] * count, write_dir=folder,
        )  # fmt: skip
        return form([(name, (Path(folder) / name).read_bytes()) for name in ("r.hea", "r.dat")])


class Client:
    """One connection to the service."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)

    def ask(self, path, body=None):
        """Status and content of an answer."""
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} if body else {}
        self.connection.request("POST" if body else "GET", path, body, kind)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


@contextlib.contextmanager
def server(models):
    """The service on a free port, as a process; yields its number and the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", str(port)]
    environment = os.environ | {"ECG_MODELS": str(models.resolve())}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                Client(port).ask("/health")
                break
            time.sleep(0.2)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def load(port, body, clients, seconds=None, requests=None):
    """Seconds of each request of so many clients, and in all: for so long, or so many together; all answer 200."""
    times, statuses, ends = [], collections.Counter(), time.perf_counter() + (seconds or 1e9)

    def work():
        client = Client(port)
        while time.perf_counter() < ends and len(times) < (requests or 1e12):
            start = time.perf_counter()
            statuses[client.ask("/predict", body)[0]] += 1
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if set(statuses) != {200}:
        raise ValueError(f"statuses {dict(statuses)} came, where all were to be 200")
    return np.array(times), time.perf_counter() - start


def megabytes(pid):
    """Memory of a process that is in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def example(port):
    """The recording that the documentation of the service shows."""
    described = json.loads(Client(port).ask("/openapi.json")[1])["paths"]["/predict"]["post"]["requestBody"]
    return described["content"]["application/json"]["example"]


def under_load(port, body, clients, seconds):
    """A table of requests a second and milliseconds a request, by how many clients there are."""
    rows = []
    for several in clients:
        times, lasted = load(port, body, several, seconds)
        told = {"median ms": 1000 * np.median(times), "99 % ms": 1000 * np.quantile(times, 0.99)}
        rows.append({"clients": several, "requests a second": len(times) / lasted, **told})
        print(json.dumps(rows[-1]), flush=True)
    return pd.DataFrame(rows)


def memory(models, body, requests):
    """A table of the memory of a server after a tenth of the requests and after all, of eight clients."""
    rows, done = [], 0
    with server(models) as (pid, port):
        for until in (requests // 10, requests):
            load(port, body, 8, requests=until - done)
            rows.append({"requests": until, "MB": megabytes(pid)})
            print(json.dumps(rows[-1]), flush=True)
            done = until
    return pd.DataFrame(rows)


def fuzz(port, good, uploads):
    """A table of how often each status was the answer to uploads made of a good one, of text, and of bytes."""
    import hypothesis
    from hypothesis import strategies as st

    statuses = collections.Counter()
    line = st.sampled_from(
        ["r.dat 16 200(0)/mV 16 0 0 I", "r.dat 212 1e3/uV 12 0 0 0 0 II", "/etc/passwd 16 200 16 0 0 I"]
    )
    first = st.tuples(st.sampled_from(["r", "r/2", "../r"]), *[st.integers(-1, 10**7).map(str)] * 3).map(" ".join)
    lines = st.lists(line | st.text(max_size=60), max_size=13)
    header = st.tuples(first | st.just("r 1 100 4"), lines).map(lambda parts: "\n".join([parts[0], *parts[1]]))
    contents = header.map(lambda text: text.encode("utf-8", "ignore")) | st.binary(max_size=200)
    values = st.sampled_from([b"1", b"16", b"100", b"1e308", b"nan", b"true", b"female", b"I,II"]) | st.binary(
        max_size=20
    )
    names = st.sampled_from(
        ["model", "age", "sex", "sampling_rate", "leads", "format", "gain", "baseline", "attention"]
    )
    files = st.lists(st.tuples(st.sampled_from(["r.hea", "r.dat", "r", "../r.dat", "r.zip"]), contents), max_size=3)
    forms = st.builds(form, files, st.lists(st.tuples(names, values), max_size=5))
    place = st.integers(0, len(good) - 1)
    damaged = st.builds(lambda start, new: good[:start] + new + good[start + len(new) :], place, st.binary(max_size=9))

    @hypothesis.settings(
        max_examples=uploads, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.seed(0)
    @hypothesis.given(forms | damaged | st.binary(min_size=1, max_size=99))
    def upload(body):
        status, content = Client(port).ask("/predict", body)  # a new one: idle connections are closed after 5 s
        statuses[status] += 1
        assert status < 500, (status, content, body)

    upload()
    return pd.DataFrame(sorted(statuses.items()), columns=["status", "uploads"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "saved_models", help="folder of .onnx files")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32], help="at once")
    parser.add_argument("--seconds", type=float, default=10, help="of load, for each number of clients")
    parser.add_argument("--requests", type=int, default=10_000, help="between which memory is compared")
    parser.add_argument("--uploads", type=int, default=2000, help="made up by hypothesis")
    options = parser.parse_args()
    machine, tables = load_of_machine(), []
    with server(options.models) as (_, port):
        body = recording(example(port))
        if options.clients:
            tables.append(under_load(port, body, options.clients, options.seconds))
        if options.uploads:
            tables.append(fuzz(port, body, options.uploads))
    if options.requests:
        tables.append(memory(options.models, body, options.requests))
    write("serving", machine, options, *tables)


if __name__ == "__main__":
    main()
