"""The service: it tells what predict.py tells, within its limits, and its log tells nothing of a patient."""

import asyncio
import functools
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

import numpy as np
import pytest
import tiny_wfdb
from test_predict import CARD, spikes
from tiny_runs import ROOT
from tiny_serve import MODELS, TestClient, client_of, files_of, refused

import card as cards
import logs
import predict
import serve
import wfdb_files


@pytest.mark.parametrize("name", ["records", "aged"])
def test_a_record_has_the_probabilities_that_the_command_gives(client, served, record, capsys, name):
    data = {"model": name, "age": "50", "sex": "female"}
    told = client.post("/predict", files=files_of(record), data=data).json()
    predict.main([str(served / f"{name}.onnx"), str(record), "--age", "50", "--sex", "female", "--json"])
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


def test_beats_and_segments_have_a_row_each_as_in_the_command(client, served, tmp_path):
    tiny_wfdb.write(tmp_path, "r", np.tile(spikes({300}), (1, 2)), ("V5", "II"))
    told = client.post("/predict", files=files_of(tmp_path / "r"), data={"model": "beats"}).json()
    model, card = cards.load(served / "beats.onnx")
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
    np.testing.assert_allclose(told["attention"], np.abs([signals[:200], signals[100:300]]).mean(axis=2), rtol=1e-6)
    assert "processed" not in client.post("/predict", files=files_of(record)).json()


def test_the_models_are_listed_and_have_their_cards(client):
    assert client.get("/health").json() == {"status": "ok", "models": 5}
    listed = {model["name"]: model for model in client.get("/models").json()}
    assert set(listed) == set(MODELS) and listed["beats"]["reads"] == "beats" and listed["records"]["default"]
    assert client.get("/models/records").json() == json.loads(cards.as_json(CARD))
    refused(client.get("/models/other"), 404, "no model 'other'; there are: aged, beats")


@pytest.mark.parametrize("default", ["records", "beats", "segments"])
def test_the_example_of_the_documentation_works_when_it_is_pasted(served, default):
    with client_of(served, default) as client:
        body = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
        answer = client.post("/predict", json=body["content"]["application/json"]["example"])
    assert answer.status_code == 200 and answer.json()["model"] == default


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


def test_a_wrong_body_is_read_to_its_end_so_that_the_client_hears_the_answer(served):
    parts = [b"no boundary", b"no boundary", b"the end"]

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    assert asyncio.run(ask(serve.make_app(served), receive, b"multipart/form-data; boundary=x")) == 400
    assert parts == []


def test_a_request_that_never_ends_or_breaks_off_is_given_up(served, monkeypatch):
    monkeypatch.setattr(serve, "RECEIVE", 0.05)
    app, never = serve.make_app(served), asyncio.Event

    async def slow():
        await never().wait()

    async def broken():
        return {"type": "http.disconnect"}

    assert asyncio.run(ask(app, slow)) == 408
    assert asyncio.run(ask(app, broken)) == 400


def test_work_that_takes_too_long_is_answered_503_and_keeps_its_place_until_it_ends(served, record, monkeypatch):
    monkeypatch.setattr(serve, "WORK", 0.1)
    monkeypatch.setattr(serve, "AT_ONCE", 1)
    ends = threading.Event()
    monkeypatch.setattr(serve, "answer", lambda *_: ends.wait(10) and b"{}")
    with TestClient(serve.make_app(served)) as client:
        refused(client.post("/predict", files=files_of(record)), 503, "no answer within 0.1 s")
        full = client.post("/predict", files=files_of(record))
        refused(full, 503, "1 requests are under way; try again soon")
        assert full.headers["retry-after"] == "1"
        ends.set()
        time.sleep(0.2)
        assert client.post("/predict", files=files_of(record)).status_code == 200


def test_an_error_of_ours_is_answered_and_logged_without_what_was_sent(served, record, monkeypatch, caplog):
    monkeypatch.setattr(serve.predict, "check", lambda *_: {}["secret of a patient"])
    with TestClient(serve.make_app(served)) as client, caplog.at_level(logging.INFO, logs.NAME):
        refused(client.post("/predict?name=secret", files=files_of(record)), 500, "the service failed at this request")
    lines = [json.loads(logs.JsonLines().format(line)) for line in caplog.records if line.name == logs.NAME]
    failed, asked = lines
    assert (failed["error"], failed["at"].split(":")[0]) == ("KeyError", "test_serve.py")
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/predict", 500) and asked["ms"] > 0
    assert "secret" not in json.dumps(lines)


def started(served):
    """The service over these models, as a process of its own on a free port; returns both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"ECG_MODELS": str(served), "PYTHONPATH": os.pathsep.join(sys.path)}
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


def test_asked_to_stop_it_finishes_what_is_under_way_and_all_its_lines_are_json(served):
    process, port = started(served)
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


def test_neither_tensorflow_nor_keras_is_imported(served):
    script = """
import sys, serve
from starlette.testclient import TestClient
with TestClient(serve.app) as client:
    recording = {"sampling_rate": 100, "leads": ["I", "II"], "samples": [[0, 0]], "model": "aged"}
    answer = client.post("/predict", json=recording)
assert answer.status_code == 200, answer.text
assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
"""
    environment = os.environ | {"ECG_MODELS": str(served)}
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
