"""Cards of shipped models in docs/: each has one, and its numbers are those that were measured."""

import importlib
import json
import sys

import pytest

import assessment
import card as cards
import dataset
import evaluate

SHIPPED = sorted((dataset.HERE / "saved_models").glob("*.json"))


@pytest.fixture
def model_cards(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(dataset.HERE / "benchmarks")])
    return importlib.import_module("model_cards")


def test_a_card_tells_what_was_measured_of_this_model_alone(model_cards, trained, demo, monkeypatch, tmp_path):
    path = trained / "model.h5"
    predictions = evaluate.predict([path], lambda card: demo)
    result = assessment.assess(model_cards.only(predictions, str(path)), samples=20)
    rows = [
        {"database": "PTB-XL", "model": name, "family": family, "condition": condition, "scores": {"macro_auc": score}}
        for name, low in (("tiny", 0.41), ("other", 0.11))
        for family, conditions in (("as recorded", [""]), ("gain", ["x 2"]))
        for condition, score in zip(conditions, [0.8 if family == "as recorded" else low], strict=True)
    ]
    rows += [
        {"database": "PTB-XL", "model": "tiny", "family": kind, "condition": f"{dB} dB", "scores": {"macro_auc": 0.79}}
        for kind in ("baseline wander", "electrode motion", "muscle")
        for dB in (24, 18, 12, 6, 0, -6)
    ]
    monkeypatch.setattr(model_cards.robustness, "RESULTS", tmp_path / "robustness.json")
    model_cards.robustness.RESULTS.write_text(json.dumps(rows))
    monkeypatch.setitem(model_cards.WORDS, "tiny", model_cards.Words("", "Tiny.", "Tests.", ("It knows nothing.",)))
    text = "\n\n".join(model_cards.sections("tiny", cards.read(path), result))
    assert f"| {result['models'][0]['scores']['macro_auc']:.4f} [" in text
    assert "| gain | x 2 | 0.410 |" in text and "0.110" not in text
    assert "Where it falls by more than 0.05, or refuses: gain: x 2." in text
    assert "| muscle | 0.790 |" in text
    assert "- It knows nothing." in text
    assert "6 test records" in text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_model_has_a_card_with_the_scores_of_its_file(path, model_cards):
    text = (model_cards.FOLDER / f"{path.stem}.md").read_text(encoding="utf-8")
    card = cards.read(path)
    assert card.data["source"] in text
    for score in card.scores.get("test", {}).values():
        assert f"{score:.4f}" in text
    for member in card.members or (f"{path.stem}.h5",):
        assert (model_cards.FOLDER / member).with_suffix(".png").exists()
