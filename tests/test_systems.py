"""The systems for MIT-BIH, each trained on tiny recordings: what `predict` says of one is what `evaluate` says."""

import numpy as np
import pytest
import wfdb
from tiny_wfdb import write

import card as cards
import data_mitbih
import evaluate
import predict
import recipes
import training
import wfdb_files

TINY = {"filters": (4, 8), "kernels": (3, 3), "lstm_units": 3, "combined_units": 4, "batch_size": 16, "epochs": 1}
SMALLER = {
    "cnn-lstm-context": {},
    "local-lead-attention": {"smote": 0.0},
    "segment-attention": {"pooling": 20, "class_weight_power": 0.0},
    "beat-tokens": {"filters": (), "kernels": (), "clusters": 3, "letters": 3},
}
SECONDS, RATE = 40, 360


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A patient to train on, one to validate and one to test; in the first half of each beats are ventricular."""
    folder, rng = tmp_path_factory.mktemp("mitdb"), np.random.default_rng(0)
    peaks = np.arange(RATE // 2, SECONDS * RATE, RATE)
    symbols = np.where(peaks < SECONDS * RATE / 2, "V", "N")
    for name in ("101", "124", "100"):
        signals = rng.normal(0, 10, (SECONDS * RATE, 2))
        for peak, symbol in zip(peaks, symbols, strict=True):
            signals[peak - 20 : peak + 20] += 500 if symbol == "V" else 200 * np.hanning(40)[:, None]
        write(folder, name, signals.astype(int), ("MLII", "V1"), RATE)
        wfdb.wrann(name, "atr", peaks, list(symbols), write_dir=str(folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_cache_elsewhere():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ECG_CACHE", raising=False)
        yield


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("recipe", SMALLER)
def test_a_recording_gets_the_probabilities_that_evaluation_gives_it(recipe, folder, tmp_path):
    config = recipes.choose(recipe, **(TINY | {"class_weight_power": 0.0} | SMALLER[recipe]))
    given = {name: getattr(config, name) for name in recipes.READING if getattr(config, name) is not None}
    data = data_mitbih.load(folder, config.task or "beats", **given)
    path = training.train(config, data, tmp_path)
    model, card = cards.load(path)
    record = wfdb_files.read_record(folder, "100")
    peaks, _ = wfdb_files.read_annotations(folder, "100", len(record.digital))
    rows = predict.predict_parts(model, card, record, peaks)
    told = evaluate.predict([path], lambda card: data)
    test = told["split"] == "test"
    np.testing.assert_allclose(rows[list(card.classes)], told["probabilities"][0][test], atol=1e-6)
    assert card.data["counts"]["test"] == dict(
        zip(card.classes, told["labels"][test].sum(axis=0).tolist(), strict=True)
    )
