"""The released model: it opens with TensorFlow alone, far from our code, and the shipped card fits it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import card as cards
import data_demo
from inputs import Inputs, Recorded, predict_rows

RELEASE = Path(cards.__file__).parent / "saved_models" / "Final-ECG-Model"
SCRIPT = """
import sys
import numpy as np
from tensorflow.keras.models import load_model

def focal_loss_with_class_weights(labels, probabilities):
    return 0.0

signals, features = np.load("signals.npy"), np.load("features.npy")
plain = load_model(sys.argv[1])
custom = load_model(sys.argv[1], custom_objects={"focal_loss_with_class_weights": focal_loss_with_class_weights})
probabilities = plain.predict([signals, features], verbose=0)
np.testing.assert_array_equal(custom.predict([signals, features], verbose=0), probabilities)
np.save("probabilities.npy", probabilities)
assert not {"models", "training", "card", "losses", "dataset"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def demo():
    """Twelve synthetic records, all features known."""
    data = data_demo.load(None, "superclass", records=12)
    return data.signals, np.nan_to_num(data.features, nan=60.0).astype("float32")


@pytest.mark.parametrize("name", ["Final-ECG-Model.h5", "Final-ECG-Model.keras"])
def test_it_opens_and_predicts_in_an_empty_folder_without_our_code(name, demo, tmp_path):
    shutil.copy(RELEASE.with_name(name), tmp_path)
    for array, file in zip(demo, ("signals", "features"), strict=True):
        np.save(tmp_path / f"{file}.npy", array)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", SCRIPT, name]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ours = cards.load(RELEASE.with_suffix(".h5"))[0].predict(list(demo), verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), ours, atol=1e-6)


def test_its_card_says_what_goes_in_and_what_comes_out():
    card = cards.read(RELEASE.with_suffix(".h5"))
    assert card.classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert card.leads == data_demo.LEADS
    assert (card.sampling_rate, card.samples) == (100, 1000)
    assert card.feature_names == ("age (years)", "sex (0 male, 1 female)")
    assert card.data["records"] == {"train": 17084, "validation": 2146, "test": 2158}


def test_it_is_at_least_as_good_on_fold_9_as_it_was_asked_to_be():
    assert cards.read(RELEASE.with_suffix(".h5")).scores["validation"]["macro_auc"] >= 0.935


SHIPPED = sorted(path.stem for path in RELEASE.parent.glob("*.json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_opens_with_its_card_and_gives_probabilities_which_its_onnx_file_gives_too(name):
    path = RELEASE.with_name(f"{name}.h5")
    model, card = cards.load(path if path.exists() else path.with_suffix(".json"))
    signals = np.random.default_rng(0).standard_normal((2, card.samples, len(card.leads))).astype("float32")
    unknown = np.full((2, len(card.feature_names)), np.nan, "float32")
    recorded = Recorded(signals, card.leads, card.sampling_rate, unknown, card.feature_names)
    told = predict_rows(model, Inputs(recorded, card), np.arange(2))
    exported = path.with_suffix(".onnx")
    if exported.exists() and importlib.util.find_spec("onnxruntime"):
        by_onnx = predict_rows(cards.load(exported)[0], Inputs(recorded, card), np.arange(2))
        np.testing.assert_allclose(by_onnx, told, atol=1e-5)
    assert told.shape == (2, len(card.classes))
    assert np.all((told >= 0) & (told <= 1))
    assert len(card.thresholds) == (len(card.classes) if card.multilabel else 0)
    assert all((path.parent / member).exists() for member in card.members)


@pytest.mark.real_data
def test_it_scores_on_real_records_what_its_card_says(ptbxl):
    import dataset
    import metrics

    model, card = cards.load(RELEASE.with_suffix(".keras"))
    data = dataset.load("ptbxl", data_dir=ptbxl)
    rows = data.rows("validation")
    scores = metrics.macro_auc(data.labels[rows], predict_rows(model, Inputs(data, card), rows))
    # A part of the fold, where only a part of PTB-XL is at hand, scatters by some hundredths.
    tolerance = 1e-4 if len(rows) == card.data["records"]["validation"] else 0.06
    assert scores == pytest.approx(card.scores["validation"]["macro_auc"], abs=tolerance)


@pytest.mark.real_data
def test_the_command_tells_of_real_records_what_evaluation_tells(ptbxl, capsys):
    """Headers of PTB-XL tell neither age nor sex: they come as flags, or else are as for evaluation without them."""
    pytest.importorskip("onnxruntime", reason="needs pip install -r requirements-apps.txt")
    import dataset
    import predict

    def told(records, *flags):
        predict.main([str(RELEASE.with_suffix(".onnx")), *map(str, records), *flags, "--json"])
        return [[row[name] for name in card.classes] for row in json.loads(capsys.readouterr().out)]

    model, card = cards.load(RELEASE.with_suffix(".h5"))
    data = dataset.load("ptbxl", data_dir=ptbxl)
    rows = data.rows("validation")[:20]
    records = [ptbxl / name for name in data.records["name"].iloc[rows]]
    with_flags = []
    for record, (age, sex) in zip(records, data.features[rows], strict=True):
        known = [] if np.isnan(age) else ["--age", str(age)]
        known += [] if np.isnan(sex) else ["--sex", "female" if sex else "male"]
        with_flags += told([record], *known)
    np.testing.assert_allclose(with_flags, predict_rows(model, Inputs(data, card), rows), atol=1e-5)
    unknown = replace(data, features=np.full_like(data.features, np.nan))
    np.testing.assert_allclose(told(records), predict_rows(model, Inputs(unknown, card), rows), atol=1e-5)
