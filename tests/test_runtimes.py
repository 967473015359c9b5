"""ONNX files through the doors of Keras models: the same calls, without Keras, and clear words about bad files."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
from test_predict import CARD
from tiny_runs import ROOT

import card as cards
import runtimes

onnx = pytest.importorskip("onnx", reason="needs pip install -r requirements-apps.txt")
pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-apps.txt")


def mean_of_leads(path, card=None, samples=200):
    """Write a graph whose probabilities are the means of lead I and II over time."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("ReduceMean", ["signals"], ["probabilities"], axes=[1], keepdims=0)
    takes = helper.make_tensor_value_info("signals", kind, ["batch", samples, 2])
    gives = helper.make_tensor_value_info("probabilities", kind, ["batch", 2])
    opset = helper.make_opsetid("", 15)
    made = helper.make_model(helper.make_graph([node], "mean", [takes], [gives]), opset_imports=[opset], ir_version=8)
    helper.set_model_props(made, {"card": cards.as_json(card)} if card else {})
    onnx.save(made, path)
    return path


@pytest.fixture
def path(tmp_path):
    """An ONNX file with its card inside."""
    return mean_of_leads(tmp_path / "model.onnx", CARD)


def test_it_predicts_as_a_keras_model_does_with_the_card_inside(path):
    model, card = cards.load(path)
    assert card == CARD
    signals = np.zeros((3, 200, 2))
    signals[1, :100, 0] = 0.5
    np.testing.assert_allclose(model.predict_on_batch(signals), [[0, 0], [0.25, 0], [0, 0]])


def test_the_card_beside_goes_first_since_thresholds_may_be_chosen_anew(path):
    cards.write(path, replace(CARD, thresholds=(0.1, 0.2)))
    assert cards.load(path)[1].thresholds == (0.1, 0.2)


def test_a_file_that_is_older_than_the_card_beside_it_is_refused(path):
    cards.write(path, replace(CARD, log=({"loss": 0.1},)))
    with pytest.raises(ValueError, match="model.onnx was exported before the training that .*model.json is of"):
        cards.load(path)


def test_the_command_predicts_without_tensorflow_and_without_keras(path):
    tiny_wfdb.write(path.parent, "record", np.tile([250, 500], (200, 1)))
    table = path.with_name("table.csv")
    script = f"""
import sys, predict
predict.main([{str(path)!r}, {str(path.with_name("record"))!r}, "--csv", {str(table)!r}])
assert not {{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert pd.read_csv(table)[["A", "B"]].to_numpy().tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize("content", [b"", b"no ONNX", None])
def test_a_damaged_file_and_one_that_is_no_onnx_are_named(path, content):
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ValueError, match="model.onnx is damaged, or not an ONNX file"):
        cards.load(path)


def test_a_file_without_a_card_inside_or_beside_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no card .*model.json"):
        cards.load(mean_of_leads(tmp_path / "model.onnx"))


def test_a_file_of_others_does_not_fit_the_card_beside_it(path):
    with pytest.raises(ValueError, match="model.onnx takes and gives .* its card is of another model"):
        cards.load(mean_of_leads(path, CARD, samples=300))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model .*nothing.onnx"):
        cards.load(tmp_path / "nothing.onnx")


def test_an_ensemble_is_of_keras_models(path):
    with pytest.raises(ValueError, match="model.onnx cannot be in an ensemble"):
        cards.ensemble(path.with_name("both.json"), [path, path])


def test_what_to_install_is_said(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not there
    with pytest.raises(ValueError, match="model.onnx needs onnxruntime: pip install -r requirements-apps.txt"):
        runtimes.Onnx(path)
