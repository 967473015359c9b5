"""A folder of tiny models for the service, and what its tests ask and expect."""

import functools
from dataclasses import replace

import pytest
from test_predict import CARD

import card as cards

NEEDS = "needs pip install -r requirements-apps.txt"
onnx = pytest.importorskip("onnx", reason=NEEDS)
for name in ("onnxruntime", "fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason=NEEDS)
pytest.importorskip("httpx2", reason="needs pip install -r requirements-dev.txt")

from starlette.testclient import TestClient  # noqa: E402  only where it is installed

import serve  # noqa: E402

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

    `attention` is the mean of the leads' absolute values at each sample.
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
    nodes += [make("Identity", [last], ["probabilities"]), make("Abs", ["signals"], ["absolute"])]
    nodes += [make("ReduceMean", ["absolute"], ["attention"], axes=[2], keepdims=1)]
    gives = [
        value("probabilities", shape=["batch", len(card.classes)]),
        value("attention", shape=["batch", card.samples, 1]),
    ]
    numbers = {"small": 0.001} if features else {"one": 1.0} if leads == 1 else {}
    constants = [onnx.helper.make_tensor(name, 1, [1], [number]) for name, number in numbers.items()]
    graph = onnx.helper.make_graph(nodes, "tiny", takes, gives, constants)
    opset = onnx.helper.make_opsetid("", 15)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.helper.set_model_props(made, {"card": cards.as_json(card)})
    onnx.save(made, path)


def write_models(folder):
    """Write a tiny model of each kind; returns the folder."""
    for name, card in MODELS.items():
        write_model(folder / f"{name}.onnx", card)
    return folder


def client_of(folder, default):
    """A client of the service over the models of a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "DEFAULT", default)
        return TestClient(serve.make_app(folder))


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
