"""Exported files: every network becomes one, every way gives the same probabilities, and what differs is not kept."""

import functools
import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tiny_wfdb
from test_card import CARD, tiny_model
from tiny_runs import ROOT, TINY

import card as cards
import data_demo
import export
import models
import predict
import references
import runtimes
import wfdb_files

NEEDS = "needs pip install -r requirements-apps.txt"
onnx = pytest.importorskip("onnx", reason=NEEDS)
for name in ("onnxruntime", "tf2onnx", "ai_edge_litert"):
    pytest.importorskip(name, reason=NEEDS)


@pytest.fixture(scope="module", autouse=True)
def environment():
    """A copy: the backend that the command chooses for its own process is not for other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        yield


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A folder with all files of a tiny trained network."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "SMALL", 0)
        export.main([str(trained / "model.h5"), "--out", str(folder), "--records", "24"])
    return folder


@pytest.fixture(scope="module")
def batch(demo):
    """Signals and features of seven records."""
    return demo.signals[:7], np.tile(np.array([[60, 1]], "float32"), (7, 1))


def test_each_file_is_there_with_the_card_and_a_table(exported, trained):
    names = ["model-export.md", "model-float16.onnx", "model-int8.onnx", "model.json", "model.onnx", "model.tflite"]
    assert sorted(path.name for path in exported.iterdir()) == names
    assert cards.read(exported / "model.json") == cards.read(trained / "model.json")
    text = (exported / "model-export.md").read_text()
    assert "24 validation records of" in text and "not kept" not in text
    assert all(name in text for name in names[1:3] + names[4:])


def test_litert_tells_of_a_longer_recording_what_onnx_tells(exported, demo, tmp_path):
    digital = np.round(demo.signals[0] * 1000).astype(int)
    tiny_wfdb.write(tmp_path, "record", np.vstack([digital, digital]), data_demo.LEADS)  # 20 s: three windows
    record, known = wfdb_files.read_record(tmp_path, "record"), {"age": 50, "sex": 1}
    model, card = cards.load(exported / "model.onnx")
    told = predict.predict_record(runtimes.LiteRT(exported / "model.tflite"), card, record, known)
    np.testing.assert_allclose(told, predict.predict_record(model, card, record, known), atol=1e-5)


def test_the_card_is_inside_too(exported, tmp_path):
    for name in ("model.onnx", "model-int8.onnx", "model-float16.onnx"):
        alone = tmp_path / name
        alone.write_bytes((exported / name).read_bytes())
        assert cards.read(alone) == cards.read(exported / "model.json")


def test_any_number_of_records_at_once_gives_what_each_gives_alone(exported, batch):
    model = cards.load(exported / "model.onnx")[0]
    alone = [model.predict_on_batch([one[row : row + 1] for one in batch])[0] for row in range(7)]
    np.testing.assert_allclose(model.predict_on_batch(batch), alone, atol=1e-6)


def test_attention_is_an_output_with_the_values_of_the_layer(exported, trained, batch):
    attention = models.attention_of(cards.load(trained / "model.h5")[0]).predict_on_batch(list(batch))
    model = cards.load(exported / "model.onnx")[0]
    np.testing.assert_allclose(model.output(batch, "attention"), attention, atol=1e-6)
    assert [one.name for one in model.session.get_outputs()] == ["probabilities", "attention"]


def test_litert_takes_one_record_and_names_what_it_takes_and_gives(exported):
    run = runtimes.LiteRT(exported / "model.tflite").run
    takes = {name: one["shape"].tolist() for name, one in run.get_input_details().items()}
    assert takes == {"features": [1, 2], "signals": [1, 1000, 12]}
    assert set(run.get_output_details()) == {"probabilities", "attention"}


def test_variants_hold_smaller_numbers_and_tell_nearly_the_same(exported, batch):
    def kinds(name):
        return {one.data_type for one in onnx.load(exported / name).graph.initializer}

    assert onnx.TensorProto.FLOAT16 in kinds("model-float16.onnx") - kinds("model.onnx")
    assert onnx.TensorProto.UINT8 in kinds("model-int8.onnx") - kinds("model.onnx")
    expected = cards.load(exported / "model.onnx")[0].predict_on_batch(batch)
    for name, tolerance in (("float16", 0.01), ("int8", 0.05)):
        told = cards.load(exported / f"model-{name}.onnx")[0].predict_on_batch(batch)
        assert 0 < np.abs(told - expected).max() < tolerance


def network(name):
    """A tiny network of a kind, with random weights; three blocks where a shortcut is around three."""
    blocks = 3 if name == "inception_time" else 2
    config = replace(TINY, model=name, filters=(4,) * blocks, kernels=(8,) * blocks)
    scales = {"tokens": 20} if name == "token_lstm" else {"signals": (np.zeros(2), np.ones(2))}
    return models.build(config, 100, 2, 3, scales)


# `residual_bilstm` is the one above, and `xresnet1d101` is as `xresnet1d50` is.
SYSTEMS = ("cnn_lstm", "local_lead_attention", "segment_attention", "token_lstm")
REFERENCES = ("resnet1d_wang", "xresnet1d50", "inception_time", "transformer")
KINDS = [("onnx", name) for name in SYSTEMS + REFERENCES] + [("litert", name) for name in SYSTEMS]


@pytest.mark.parametrize("kind, name", KINDS)
def test_every_network_can_be_exported(kind, name, tmp_path, monkeypatch):
    monkeypatch.setitem(models.MODELS, "xresnet1d50", functools.partial(references.xresnet1d, depths=(1, 1)))
    keras.utils.set_random_seed(0)
    model, how = network(name), export.FORMATS[kind]
    values = np.random.default_rng(0).integers(0, 20, (3, *model.input.shape[1:])).astype(model.input.dtype)
    path = tmp_path / f"model{how.ending}"
    path.write_bytes(how.make(model, CARD))
    np.testing.assert_allclose(how.open(path).predict_on_batch(values), model(values), atol=1e-5)


def test_no_network_was_forgotten():
    assert {"residual_bilstm", "xresnet1d101", *SYSTEMS, *REFERENCES} == set(models.MODELS)


@pytest.fixture
def saved(tmp_path):
    """Two tiny models of a dataset that is at hand, saved."""
    card = replace(CARD, leads=("I", "II"), config={"dataset": "ptbxl"})
    return [cards.save(tmp_path / name, tiny_model(leads=2), card) for name in ("one", "two")]


def command(path, *flags, **environment):
    words = [sys.executable, "export.py", str(path), *flags]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_whatever_the_backend_and_without_the_dataset_an_ensemble_is_exported(saved, tmp_path):
    path = tmp_path / "both.json"
    cards.write(path, cards.ensemble(path, saved))
    flags = ["--format", "onnx", "--records", "20", "--out", str(tmp_path / "out")]
    run = command(path, *flags, KERAS_BACKEND="jax", ECG_DATA=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert "on 20 synthetic records" in run.stdout
    signals = np.random.default_rng(0).standard_normal((3, 4, 2)).astype("float32")
    told = cards.load(tmp_path / "out" / "both.onnx")[0].predict_on_batch(signals)
    expected = np.mean([cards.load(one)[0](signals) for one in saved], axis=0)
    np.testing.assert_allclose(told, expected, atol=1e-6)
    assert cards.load(tmp_path / "out" / "both.json")[1].members == ("../one.h5", "../two.h5")


def test_a_file_that_differs_too_much_or_cannot_be_made_is_not_kept(saved, monkeypatch, tmp_path, capsys):
    def fail(model, card):
        raise RuntimeError("no such operator\nat a place")

    def other(model, card):
        return export.as_onnx(tiny_model(leads=2), card)

    monkeypatch.setenv("ECG_DATA", str(tmp_path))
    monkeypatch.setitem(export.FORMATS, "onnx-int8", export.FORMATS["onnx-int8"]._replace(make=fail))
    monkeypatch.setitem(export.FORMATS, "onnx", export.FORMATS["onnx"]._replace(make=other))
    with pytest.raises(ValueError, match="not kept: one-int8.onnx, one.onnx; the table says why"):
        export.main([str(saved[0]), "--format", "onnx-int8", "onnx", "litert", "--records", "4"])
    told = capsys.readouterr().out
    assert "RuntimeError: no such operator |" in told
    assert "more than 1e-05 |" in told
    assert sorted(path.name for path in tmp_path.glob("one*")) == [
        "one-export.md", "one.h5", "one.json", "one.keras", "one.tflite"
    ]  # fmt: skip


def test_what_is_exported_already_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        export.main([str(tmp_path / "model.onnx")])
    assert "name the model that it was made from" in capsys.readouterr().err
