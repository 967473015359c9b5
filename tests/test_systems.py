"""Every system, trained on tiny recordings: whichever way a recording goes, its probabilities are those of evaluation.

A way is a saved file, a command, or a request to the service.
"""

import contextlib
import functools
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import wfdb
from tiny_wfdb import write

import beats
import card as cards
import data_mitbih
import evaluate
import models
import predict
import recipes
import training
import wfdb_files
from inputs import as_inputs

TINY = {"filters": (4, 8), "kernels": (3, 3), "lstm_units": 3, "combined_units": 4, "batch_size": 16, "epochs": 1}
SMALLER = {
    "cnn-lstm-context": {},
    "local-lead-attention": {"smote": 0.0},
    "segment-attention": {"pooling": 20, "class_weight_power": 0.0, "learning_rate": 1e-4, "seed": 2},  # not yet sure
    "beat-tokens": {"filters": (), "kernels": (), "clusters": 3, "letters": 3},
}
SECONDS, RATE = 40, 360


class System(NamedTuple):
    """A trained network, and a recording that it was not trained on.

    Attributes:
        path: of its `.h5` file; the `.keras` file lies beside. folder: of its ONNX file, alone.
        record: of the recording, without extension. known: of the patient.
        expected: probabilities `(records, classes)` of evaluation.
    """

    path: Path
    folder: Path
    record: Path
    known: dict
    expected: np.ndarray

    @property
    def onnx(self):
        """The path of the ONNX file, which is made when it is asked for first."""
        pytest.importorskip("tf2onnx", reason="needs pip install -r requirements-apps.txt")
        path = self.folder / "model.onnx"
        if not path.exists():
            import export  # here, since it is for those who have the libraries

            path.write_bytes(export.as_onnx(*cards.load(self.path)))
        return path

    def read(self):
        return wfdb_files.read_record(self.record.parent, self.record.name)


@pytest.fixture(scope="module", autouse=True)
def no_cache_elsewhere():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ECG_CACHE", raising=False)
        yield


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A patient to train on, one to validate and one to test; in the first half of each beats are ventricular.

    Annotated are the R-peaks that are found, since the service has no others.
    """
    folder, rng = tmp_path_factory.mktemp("mitdb"), np.random.default_rng(0)
    for name in ("101", "124", "100"):
        signals = rng.normal(0, 10, (SECONDS * RATE, 2))
        for peak in range(RATE // 2, SECONDS * RATE, RATE):
            ventricular = peak < SECONDS * RATE / 2
            signals[peak - 20 : peak + 20] += (500 if ventricular else 200) * np.hanning(40)[:, None]
        write(folder, name, signals.astype(int), ("MLII", "V1"), RATE)
        peaks = beats.find(wfdb_files.read_record(folder, name).millivolts()[:, 0], RATE)
        assert len(peaks) > 0.9 * SECONDS
        symbols = np.where(peaks < SECONDS * RATE / 2, "V", "N")
        wfdb.wrann(name, "atr", peaks, list(symbols), write_dir=str(folder))
    return folder


@pytest.fixture(scope="module", params=["ptbxl", *SMALLER])
def system(request, tmp_path_factory):
    """Each System."""
    folder = tmp_path_factory.mktemp("system")
    if request.param == "ptbxl":
        return of_whole_records(folder, request.getfixturevalue("trained"), request.getfixturevalue("demo"))
    return of_parts(request.param, folder, request.getfixturevalue("recordings"))


def of_whole_records(folder, trained, demo):
    """The System of the session's tiny run; its recording is the first of those to validate whose patient is known."""
    digital = np.round(demo.signals * 1000)
    data = replace(demo, signals=(digital / 1000).astype("float32"))
    row = np.flatnonzero((demo.split == "validation") & np.isfinite(demo.features).all(axis=1))[0]
    age, sex = demo.features[row].tolist()
    write(folder, "record", digital[row].astype(int), demo.leads)
    told = evaluate.predict([trained / "model.h5"], lambda card: data)
    expected = told["probabilities"][0][told["names"] == evaluate.names_of(demo.records)[row]]
    known = {"age": age, "sex": "female" if sex else "male"}
    return System(trained / "model.h5", folder, folder / "record", known, expected)


def of_parts(recipe, folder, recordings):
    """The System of a recipe for MIT-BIH; its recording is that of the patient to test."""
    config = recipes.choose(recipe, **(TINY | {"class_weight_power": 0.0} | SMALLER[recipe]))
    given = {name: getattr(config, name) for name in recipes.READING if getattr(config, name) is not None}
    data = data_mitbih.load(recordings, config.task or "beats", **given)
    path = training.train(config, data, folder / "run")
    told = evaluate.predict([path], lambda card: data)
    test = told["split"] == "test"
    counts = dict(zip(data.classes, told["labels"][test].sum(axis=0).tolist(), strict=True))
    assert cards.read(path).data["counts"]["test"] == counts
    expected = told["probabilities"][0][test]
    assert np.ptp(expected, axis=0).min() > 1e-3, "all rows are alike, so that a wrong one would not be seen"
    return System(path, folder, recordings / "100", {}, expected)


def by_file(ending, system):
    """What the functions of `predict` tell with a file of this kind."""
    model, card = cards.load(system.onnx if ending == ".onnx" else system.path.with_suffix(ending))
    if card.cutting:
        return predict.predict_parts(model, card, system.read())[list(card.classes)]
    known = {"age": system.known["age"], "sex": predict.FEMALE[system.known["sex"]]}
    return [predict.predict_record(model, card, system.read(), known)]


def by_command(flags, system):
    """What the command prints or writes; of parts, what it writes to the folder `--out`."""
    card, table = cards.read(system.path), system.folder / "table.csv"
    words = [system.onnx, system.record, "--out", system.folder, *flags, *([table] if "--csv" in flags else [])]
    words += [word for name, value in system.known.items() for word in (f"--{name}", value)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        predict.main([str(word) for word in words])
    if card.cutting:
        return pd.read_csv(system.folder / "100.csv")[list(card.classes)]
    if "--csv" in flags:
        return pd.read_csv(table)[list(card.classes)]
    if "--json" in flags:
        return pd.DataFrame(json.loads(printed.getvalue()))[list(card.classes)]
    names, row = (line.split() for line in printed.getvalue().splitlines())
    return [[float(row[names.index(name)]) for name in card.classes]]


def by_request(body_of, system):
    """What the service answers."""
    answer = asked(system, **body_of(system)).json()
    return [part["probabilities"] for part in answer.get("parts", [answer])]


def asked(system, **body):
    """The answer of the service to a request."""
    import tiny_serve  # here, since it is for those who have the libraries

    with tiny_serve.client_of(system.onnx.parent, "model") as client:
        return client.post("/predict", **body)


def with_header(system):
    """A form with both files of the recording."""
    files = [("files", system.record.with_suffix(suffix).open("rb")) for suffix in (".hea", ".dat")]
    return {"files": files, "data": system.known}


def without_header(system):
    """A form with its samples, and with fields for what the header says."""
    layout = system.read().layout
    fields = {"sampling_rate": layout.sampling_rate, "leads": ",".join(layout.leads), "format": "16", "gain": "1000"}
    return {"files": with_header(system)["files"][1:], "data": system.known | fields}


def as_numbers(system):
    """JSON with its samples in millivolt."""
    record = system.read()
    fields = {"sampling_rate": record.layout.sampling_rate, "leads": record.layout.leads}
    return {"json": system.known | fields | {"samples": record.millivolts().tolist()}}


WAYS = {
    ".h5": functools.partial(by_file, ".h5"),
    ".keras": functools.partial(by_file, ".keras"),
    ".onnx": functools.partial(by_file, ".onnx"),
    "predict.py": functools.partial(by_command, ["--annotations", "atr"]),
    "predict.py --json": functools.partial(by_command, ["--json"]),
    "predict.py --csv": functools.partial(by_command, ["--csv"]),
    "HTTP, .hea and .dat": functools.partial(by_request, with_header),
    "HTTP, .dat alone": functools.partial(by_request, without_header),
    "HTTP, JSON": functools.partial(by_request, as_numbers),
}


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("way", WAYS)
def test_a_recording_has_the_probabilities_of_evaluation_on_every_way(system, way):
    np.testing.assert_allclose(WAYS[way](system), system.expected, atol=1e-5)


def test_attention_over_http_is_that_of_the_layer_where_there_is_one(system):
    model, card = cards.load(system.path)
    numbers = as_numbers(system)["json"] | {"processed": True, "attention": True}
    answer = asked(system, json=numbers)
    if "attention" not in [layer.name for layer in model.layers]:
        assert answer.status_code == 422 and "this model has no attention" in answer.text
        return
    told = answer.json()
    signals = np.array(told["processed"], "float32")
    features = np.zeros((len(signals), len(card.feature_names)), "float32")  # they change no attention
    attention = models.attention_of(model).predict_on_batch(as_inputs(signals, features))
    expected = attention.mean(axis=(1, 2)) if card.config["model"] == "segment_attention" else attention
    np.testing.assert_allclose(told["attention"], expected.reshape(len(signals), -1), atol=1e-5)
    np.testing.assert_allclose(np.sum(told["attention"], axis=1), 1, atol=1e-5)
