"""The service: it tells what predict.py tells, and refuses what could hurt it, with a message that helps."""

import asyncio
import functools
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tiny_wfdb
from test_predict import CARD, spikes
from tiny_runs import ROOT

import card as cards
import predict
import wfdb_files

NEEDS = "needs pip install -r requirements-apps.txt"
onnx = pytest.importorskip("onnx", reason=NEEDS)
for name in ("onnxruntime", "fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason=NEEDS)
pytest.importorskip("httpx2", reason="needs pip install -r requirements-dev.txt")

from starlette.testclient import TestClient  # noqa: E402  only where it is installed

import logs  # noqa: E402
import serve  # noqa: E402
import uploads  # noqa: E402

CUTTING = {"task": "beats", "window": [0.1, 0.2], "band": [], "causal": False}
MODELS = {
    "records": CARD,
    "aged": replace(CARD, feature_names=("age (years)", "sex (0 male, 1 female)"), feature_defaults=(60.0, 0.0)),
    "beats": cards.Card(("N", "V"), False, ("MLII/V5",), 100, 30, cutting=CUTTING),
    "segments": cards.Card(("A", "B"), False, ("I", "II"), 100, 1000, cutting={"task": "segments", "band": []}),
    "heartbeat": replace(CARD, cutting={"task": "heartbeat"}, data={"source": "the Kaggle files"}),
}


def write_model(path, card):
    """A graph whose probabilities are the means of leads over time, plus features/1000, in [0, 1]; one lead: p, 1 - p.

    `attention` is the absolute values of the first lead.
    """
    make, value = onnx.helper.make_node, functools.partial(onnx.helper.make_tensor_value_info, elem_type=1)
    leads, features = len(card.leads), len(card.feature_names)
    takes = [value("signals", shape=["batch", card.samples, leads])]
    nodes = [make("ReduceMean", ["signals"], ["mean"], axes=[1], keepdims=0)]
    if features:
        takes.append(value("features", shape=["batch", features]))
        nodes += [make("Mul", ["features", "small"], ["some"]), make("Add", ["mean", "some"], ["sum"])]
    last = "sum" if features else "mean"
    if leads == 1:
        nodes += [make("Sub", ["one", last], ["rest"]), make("Concat", [last, "rest"], ["both"], axis=1)]
        last = "both"
    nodes += [make("Identity", [last], ["probabilities"]), make("Abs", ["signals"], ["attention"])]
    gives = [
        value("probabilities", shape=["batch", len(card.classes)]),
        value("attention", shape=["batch", card.samples, leads]),
    ]
    numbers = {"small": 0.001} if features else {"one": 1.0} if leads == 1 else {}
    constants = [onnx.helper.make_tensor(name, 1, [1], [number]) for name, number in numbers.items()]
    graph = onnx.helper.make_graph(nodes, "tiny", takes, gives, constants)
    opset = onnx.helper.make_opsetid("", 15)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.helper.set_model_props(made, {"card": cards.as_json(card)})
    onnx.save(made, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    for name, card in MODELS.items():
        write_model(folder / f"{name}.onnx", card)
    return folder


@pytest.fixture(scope="module")
def client(folder):
    """A client of the service over those models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "DEFAULT", "records")
        with TestClient(serve.make_app(folder)) as client:
            yield client


@pytest.fixture
def record(tmp_path):
    """The path of a WFDB record of two leads and 3.5 s."""
    digital = np.random.default_rng(0).integers(0, 1000, (350, 2))
    tiny_wfdb.write(tmp_path, "record", digital)
    return tmp_path / "record"


def files_of(path, header=None, dat=None):
    """The files of a record as a form has them, or other bytes in their place."""
    header = path.with_suffix(".hea").read_bytes() if header is None else header
    dat = path.with_suffix(".dat").read_bytes() if dat is None else dat
    return [("files", (f"{path.name}.hea", header)), ("files", (f"{path.name}.dat", dat))]


def refused(response, status, *words):
    """Check that an answer refuses with these words, and quotes no path of this machine."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"detail"}
    detail = response.json()["detail"]
    assert all(word in detail for word in words), detail
    assert "Traceback" not in detail and "/tmp" not in detail


@pytest.mark.parametrize("name", ["records", "aged"])
def test_a_record_has_the_probabilities_that_the_command_gives(client, folder, record, capsys, name):
    data = {"model": name, "age": "50", "sex": "female"}
    told = client.post("/predict", files=files_of(record), data=data).json()
    predict.main([str(folder / f"{name}.onnx"), str(record), "--age", "50", "--sex", "female", "--json"])
    (expected,) = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(told["probabilities"], [expected["A"], expected["B"]], atol=1e-5)
    assert told["decisions"] == [True, name == "aged" and told["probabilities"][1] >= 0.6]
    assert (told["classes"], told["thresholds"]) == (["A", "B"], [0.4, 0.6])
    assert told["top_class"] == ("A" if told["probabilities"][0] > told["probabilities"][1] else "B")


def test_a_dat_alone_and_numbers_give_the_same(client, record):
    expected = client.post("/predict", files=files_of(record)).json()
    fields = {"sampling_rate": "100", "leads": "I, II", "format": "16", "gain": "1000"}
    alone = client.post("/predict", files=files_of(record)[1:], data=fields)
    samples = wfdb_files.read_record(record.parent, record.name).millivolts().tolist()
    numbers = client.post("/predict", json={"sampling_rate": 100, "leads": ["I", "II"], "samples": samples})
    assert alone.json() == expected
    np.testing.assert_allclose(numbers.json()["probabilities"], expected["probabilities"], atol=1e-6)


def test_age_and_sex_come_from_the_header_unless_they_are_sent(client, record):
    header = record.with_suffix(".hea").read_bytes() + b"# age: 40\n# sex: female\n"
    ask = functools.partial(client.post, "/predict", files=files_of(record, header))
    of_header, sent = ask(data={"model": "aged"}).json(), ask(data={"model": "aged", "age": "50"}).json()
    np.testing.assert_allclose(
        np.subtract(sent["probabilities"], of_header["probabilities"]), [0.01, 0], atol=1e-6
    )  # ten years at a thousandth each


def test_beats_and_segments_have_a_row_each_as_in_the_command(client, folder, tmp_path):
    tiny_wfdb.write(tmp_path, "r", np.tile(spikes({300}), (1, 2)), ("V5", "II"))
    told = client.post("/predict", files=files_of(tmp_path / "r"), data={"model": "beats"}).json()
    model, card = cards.load(folder / "beats.onnx")
    rows = predict.predict_parts(model, card, wfdb_files.read_record(tmp_path, "r"))
    assert [part["sample"] for part in told["parts"]] == rows["sample"].tolist() and len(rows) > 8
    assert [part["decision"] for part in told["parts"]] == rows["class"].tolist()
    np.testing.assert_allclose([part["probabilities"] for part in told["parts"]], rows[["N", "V"]], atol=1e-5)
    assert told["summary"] == predict.summary(rows, 100, ("N", "V"))
    tiny_wfdb.write(tmp_path, "s", np.tile(spikes({300}, 1500), (1, 2)))
    told = client.post("/predict", files=files_of(tmp_path / "s"), data={"model": "segments"}).json()
    assert [part["sample"] for part in told["parts"]] == [0, 500]


def test_on_request_the_answer_has_what_the_network_was_given_and_attended_to(client, record):
    told = client.post("/predict", files=files_of(record), data={"processed": "true", "attention": "true"}).json()
    signals = wfdb_files.read_record(record.parent, record.name).millivolts()
    # Windows of two seconds begin at 0 and 1 s.
    np.testing.assert_allclose(told["processed"], [signals[:200], signals[100:300]], rtol=1e-6)
    np.testing.assert_allclose(told["attention"], np.abs([signals[:200], signals[100:300]]), rtol=1e-6)
    assert "processed" not in client.post("/predict", files=files_of(record)).json()


def test_the_models_are_listed_and_have_their_cards(client):
    assert client.get("/health").json() == {"status": "ok", "models": 5}
    listed = {model["name"]: model for model in client.get("/models").json()}
    assert set(listed) == set(MODELS) and listed["beats"]["reads"] == "beats" and listed["records"]["default"]
    assert client.get("/models/records").json() == json.loads(cards.as_json(CARD))
    refused(client.get("/models/other"), 404, "no model 'other'; there are: aged, beats")


@pytest.mark.parametrize("default", ["records", "beats", "segments"])
def test_the_example_of_the_documentation_works_when_it_is_pasted(folder, monkeypatch, default):
    monkeypatch.setattr(serve, "DEFAULT", default)
    with TestClient(serve.make_app(folder)) as client:
        body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
        answer = client.post("/predict", json=body["content"]["application/json"]["example"])
    assert answer.status_code == 200 and answer.json()["model"] == default


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../record.dat", "other.dat", "http://127.0.0.1/x.dat", "s3://bucket/x.dat", "~", "a\\record.dat"],
)
def test_a_header_that_names_another_file_is_refused_before_anything_is_opened(client, record, monkeypatch, name):
    monkeypatch.setattr(wfdb_files.wfdb, "rdrecord", lambda *_, **__: pytest.fail("wfdb was asked to read"))
    header = record.with_suffix(".hea").read_bytes().replace(b"record.dat", name.encode())
    refused(client.post("/predict", files=files_of(record, header)), 422, "names the file", "'record.dat'")


@pytest.mark.parametrize(
    "old, new, words",
    [
        (b"record 2", b"record/3 2", ["not that of one WFDB record"]),
        (b"record 2", b"../record 2", ["not that of one WFDB record"]),
        (b"record 2", b"record 3", ["announces 3 signals, but has lines for 2"]),
        (b" 100 350", b" 100 349", ["349 samples of 2 leads in format 16 are 1,396 bytes, but 1,400 came"]),
        (b" 100 350", b" 100 999999999999", ["above 0 and up to 3600 s"]),
        (b" 100 350", b" 1 350", ["sampling rates from 50"]),
        (b"dat 16 ", b"dat 16x1000000 ", ["format 16x1000000 is not read"]),
        (b"dat 16 ", b"dat 16:99999999 ", ["format 16:99999999 is not read"]),
        (b"dat 16 ", b"dat 516 ", ["format 516 is not read; there are: 16, 212"]),
        (b" 1000.0(0)/mV", b" 0(0)/mV", ["a gain of 0 came"]),
        (b" 1000.0(0)/mV", b" 1e-90(0)/mV", ["not finite", "a wrong gain"]),
        (b" 1000.0(0)/mV", b" 0.1(0)/mV", ["are gain and unit right"]),
        (b"/mV", b"/mmHg", ["unknown unit"]),
        (b" II", b" I", ["lead I is named 2 times"]),
        (b" II", b" X", ["the model needs lead II, but the recording has I, X"]),
        (b" II", b" 2", ["a signal must be written as FILE FORMAT"]),
        (b" II", b"", ["a signal must be written as FILE FORMAT"]),
        (b"record 2", b"rec\0ord 2", ["not that of one WFDB record"]),
        (b" II\n", b" II\n# age: 200\n", ["an age of 200"]),
    ],
)
def test_a_header_that_is_wrong_is_refused_with_what_was_expected(client, record, old, new, words):
    header = record.with_suffix(".hea").read_bytes()
    assert old in header, header
    refused(client.post("/predict", files=files_of(record, header.replace(old, new))), 422, *words)


def test_archives_and_bytes_that_are_no_wfdb_are_refused(client, record):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("record.dat", bytes(50_000_000))
    for content, word in ((bomb.getvalue(), "zip"), (b"\x1f\x8b\x08" + bytes(99), "gzip")):
        refused(client.post("/predict", files=files_of(record, dat=content)), 422, f"a {word} file came", "unpacked")
        refused(client.post("/predict", files=files_of(record, header=content)), 422, f"a {word} file came")
    refused(client.post("/predict", files=files_of(record, header=b"\x89PNG\r\n")), 422, "not that of one WFDB record")
    refused(client.post("/predict", files=files_of(record, header=b"")), 422, "not that of one WFDB record")
    refused(client.post("/predict", files=files_of(record, dat=b"short")), 422, "are 1,400 bytes, but 5 came")
    packed = {"content-encoding": "gzip", "content-type": "application/json"}
    refused(client.post("/predict", content=b"{}", headers=packed), 415, "a compressed body came")


def test_samples_that_are_marked_as_missing_are_refused(client, record):
    header = b"record 2 100 350\n" + b"".join(
        b"record.dat 16 1000(0)/mV 16 0 0 " + lead + b"\n" for lead in (b"I", b"II")
    )
    dat = np.zeros(700, "<i2")
    dat[7] = -(2**15)
    answer = client.post("/predict", files=files_of(record, header, dat.tobytes()))
    refused(answer, 422, "samples of lead II are not finite")


def test_wrong_sets_of_files_and_fields_are_refused(client, record):
    header, dat = files_of(record)
    post = functools.partial(client.post, "/predict")
    refused(post(files=[header]), 422, "files record.hea came; a .dat and its .hea are expected")
    refused(post(files=[dat]), 422, "fields sampling_rate, leads, format, gain are needed")
    refused(post(files=[header, dat], data={"gain": "200"}), 422, "gain came, but the header says that")
    refused(post(files=[header, dat, dat]), 400, "Too many files")
    refused(post(files=[dat, dat]), 422, "a .dat and its .hea are expected")
    refused(post(files=[("other", dat[1]), header]), 422, "field 'other' came")
    refused(post(files=[header, dat], data={"agee": "3"}), 422, "agee: Extra inputs are not permitted")
    refused(post(files=[header, dat], data={"age": "nan"}), 422, "age: ")
    refused(post(files=[header, dat], data={"age": "-1"}), 422, "age: ")
    refused(post(files=[header, dat], data={"sex": "x"}), 422, "sex: Input should be 'female' or 'male'")
    refused(post(files=[header, dat], data={"model": "nothing"}), 404, "no model 'nothing'; there are: ")
    refused(post(files=[header, dat], data={"model": "heartbeat"}), 422, "reads single beats of the Kaggle files")
    fields = {"sampling_rate": "100", "leads": "I,../II", "format": "16", "gain": "1000"}
    refused(post(files=[dat], data=fields), 422, "'../II' is no name of a lead")
    refused(post(files=[dat], data=fields | {"leads": "I,II,V1"}), 422, "bytes, but 1,400 came")


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "Input should be"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, NaN]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1e999]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1e300]]}', "not finite"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 5000]]}', "up to 5000 mV came"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, "1"]]}', "samples.0.1"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 1], [0]]}', "row 1 of samples has 1 numbers"),
        (b'{"sampling_rate": 100, "leads": ["I", "II"], "samples": []}', "the recording lasts 0 s"),
        (b'{"sampling_rate": 0, "leads": ["I", "II"], "samples": [[0, 1]]}', "sampling_rate: "),
        (b'{"sampling_rate": 100, "leads": [], "samples": [[0, 1]]}', "leads: "),
        (b'{"sampling_rate": 100, "leads": ["I", "i"], "samples": [[0, 1]]}', "a lead is named twice"),
        (b'{"sampling_rate": 100, "leads": ["\\ud800", "i"], "samples": [[0, 1]]}', ""),
    ],
)
def test_numbers_that_are_no_recording_are_refused(client, body, words):
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    refused(answer, 422, words)


def test_too_many_numbers_about_the_network_are_refused(client, monkeypatch, record):
    monkeypatch.setattr(serve, "VALUES", 799)  # two windows of 200 samples and 2 leads have 800
    answer = client.post("/predict", files=files_of(record), data={"processed": "1"})
    refused(answer, 422, "processed has more than 799 numbers; ask for it with a shorter recording")


def test_what_is_too_large_or_of_another_kind_is_refused(client, monkeypatch, record):
    monkeypatch.setattr(serve, "BYTES", 1000)
    refused(client.post("/predict", files=files_of(record)), 413, "more than 1,000 bytes came")
    refused(client.post("/predict", content=(bytes(600) for _ in range(3))), 413, "more than 1,000 bytes came")
    refused(client.post("/predict", content=b"x"), 415, "nothing came; send application/json")
    refused(client.post("/predict", data={"age": "3"}), 415, "application/x-www-form-urlencoded came")
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x; charset=x"):
        refused(client.post("/predict", content=b"--y", headers={"content-type": kind}), 400)


async def ask(app, receive, kind=b"application/json"):
    """The status with which the service answers a request that comes as `receive` gives it."""
    statuses = []

    async def send(message):
        statuses.extend([message["status"]] if "status" in message else [])

    headers = [(b"content-type", kind)]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "query_string": b""}
    await app(scope | {"http_version": "1.1", "server": ("test", 80), "scheme": "http"}, receive, send)
    return statuses[0]


def test_a_wrong_body_is_read_to_its_end_so_that_the_client_hears_the_answer(folder):
    parts = [b"no boundary", b"no boundary", b"the end"]

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    assert asyncio.run(ask(serve.make_app(folder), receive, b"multipart/form-data; boundary=x")) == 400
    assert parts == []


def test_a_request_that_never_ends_or_breaks_off_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(serve, "RECEIVE", 0.05)
    app, never = serve.make_app(folder), asyncio.Event

    async def slow():
        await never().wait()

    async def broken():
        return {"type": "http.disconnect"}

    assert asyncio.run(ask(app, slow)) == 408
    assert asyncio.run(ask(app, broken)) == 400


def test_work_that_takes_too_long_is_answered_503_and_keeps_its_place_until_it_ends(folder, record, monkeypatch):
    monkeypatch.setattr(serve, "WORK", 0.1)
    monkeypatch.setattr(serve, "AT_ONCE", 1)
    ends = threading.Event()
    monkeypatch.setattr(serve, "answer", lambda *_: ends.wait(10) and b"{}")
    with TestClient(serve.make_app(folder)) as client:
        refused(client.post("/predict", files=files_of(record)), 503, "no answer within 0.1 s")
        full = client.post("/predict", files=files_of(record))
        refused(full, 503, "1 requests are under way; try again soon")
        assert full.headers["retry-after"] == "1"
        ends.set()
        time.sleep(0.2)
        assert client.post("/predict", files=files_of(record)).status_code == 200


def test_an_error_of_ours_is_answered_and_logged_without_what_was_sent(folder, record, monkeypatch, caplog):
    monkeypatch.setattr(serve.predict, "check", lambda *_: {}["secret of a patient"])
    with TestClient(serve.make_app(folder)) as client, caplog.at_level(logging.INFO, logs.NAME):
        refused(client.post("/predict?name=secret", files=files_of(record)), 500, "the service failed at this request")
    lines = [json.loads(logs.JsonLines().format(line)) for line in caplog.records if line.name == logs.NAME]
    failed, asked = lines
    assert (failed["error"], failed["at"].split(":")[0]) == ("KeyError", "test_serve.py")
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/predict", 500) and asked["ms"] > 0
    assert "secret" not in json.dumps(lines)


def test_a_few_hundred_made_up_uploads_are_answered_without_an_error_of_ours(client, hypothesis):
    from hypothesis import strategies as st

    line = st.from_regex(
        r"[-\w./:~ ]{0,12}\.?(dat)? (16|212|80|8|310|516|0|999)(x\d|:\d|\+\d)? [-\d.e()/mVu ]{0,20} [IVx ]{0,3}"
    )
    good = st.just("r.dat 16 200(0)/mV 16 0 0 I")
    first = st.tuples(st.sampled_from(["r", "r/2", "../r", ""]), *[st.integers(-1, 10**6).map(str)] * 3).map(" ".join)
    lines = st.lists(line | good | st.text(max_size=40), max_size=4)
    header = st.tuples(first | st.just("r 1 100 4"), lines).map(
        lambda parts: "\n".join([parts[0], *parts[1]]).encode("utf-8", "ignore")
    )
    values = st.text(max_size=20) | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["beats", "true"])
    names = st.sampled_from(
        ["model", "age", "sex", "sampling_rate", "leads", "format", "gain", "baseline", "processed"]
    )

    @hypothesis.settings(max_examples=150)
    @hypothesis.given(
        header | st.binary(max_size=99), st.binary(max_size=16), st.dictionaries(names, values, max_size=3)
    )
    def upload(header, dat, fields):
        for files in ([("files", ("r.hea", header)), ("files", ("r.dat", dat))], [("files", ("r.dat", dat))]):
            answer = client.post(
                "/predict", files=files, data={name: value.encode("utf-8", "ignore") for name, value in fields.items()}
            )
            assert answer.status_code < 500, (answer.text, header, dat, fields)

    upload()


def served(folder):
    """The service as a process of its own, on a free port; returns both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"ECG_MODELS": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return process, port


def test_a_folder_without_models_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_MODELS", str(tmp_path))
    monkeypatch.setattr(logs, "as_json", lambda: None)  # the log of the tests, and wfdb, stay as they are
    monkeypatch.setattr(wfdb_files, "quicken_headers", lambda: None)
    with pytest.raises(
        SystemExit, match=f"no .onnx file in {tmp_path}; make one with: python export.py MODEL --format"
    ):
        serve.app  # noqa: B018  it is made when it is asked for


def test_asked_to_stop_it_finishes_what_is_under_way_and_all_its_lines_are_json(folder):
    process, port = served(folder)
    body = json.dumps(
        {"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0.5, 0.25]] * 200, "model": "records"}
    ).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"content-type": "application/json"})
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
            break
        except OSError:
            time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        lines = ["POST /predict HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[:20])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(OSError):
            urllib.request.urlopen(request)
        connection.sendall(body[20:])
        connection.settimeout(20)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200") and b'"probabilities": [0.5, 0.25]' in answer
    lines = [json.loads(line) for line in process.communicate(timeout=30)[0].decode().splitlines()]
    assert any(line.get("route") == "/predict" for line in lines)


def test_neither_tensorflow_nor_keras_is_imported(folder):
    script = """
import sys, serve
from starlette.testclient import TestClient
with TestClient(serve.app) as client:
    recording = {"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 0]], "model": "aged"}
    answer = client.post("/predict", json=recording)
assert answer.status_code == 200, answer.text
assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
"""
    environment = os.environ | {"ECG_MODELS": str(folder)}
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_formats_of_samples_are_read_as_wfdb_writes_them(client, tmp_path):
    expected = None
    for kind in uploads.FORMATS:
        digital = np.random.default_rng(1).integers(0, 100, (201, 2))
        try:
            tiny_wfdb.write(tmp_path, f"f{kind}", digital, fmt=kind)
        except Exception:  # wfdb writes fewer formats than it reads
            continue
        told = client.post("/predict", files=files_of(tmp_path / f"f{kind}")).json()
        expected = expected or told
        assert told == expected, kind
