"""Evaluation: everything comes from predictions.npz, and the numbers can be checked on paper."""

import json

import numpy as np
import pytest
from test_card import tiny_model

import card as cards
import evaluate

PREDICTIONS = {  # four records, two classes: A is right three times of four, B always
    "labels": np.array([[1, 0], [1, 1], [0, 0], [0, 1]], "float32"),
    "probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4], [0.1, 0.6]]),
    "thresholds": np.array([0.5, 0.5]),
    "threshold_goal": "f1",
    "groups": np.arange(4),
    "names": np.array(["a", "b", "c", "d"]),
    "classes": np.array(["A", "B"]),
    "split": "test",
    "model": "model.h5",
    "leaks_patients": False,
}


def test_the_report_holds_the_scores_worked_out_by_hand():
    report = evaluate.report(PREDICTIONS)
    assert report["classes"]["A"] == {"auc": 0.75, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert report["scores"]["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert report["scores"]["subset_accuracy"] == 0.75
    assert report["scores"]["hamming_loss"] == 0.125
    assert report["confusion_matrices"]["A"] == [[2, 0], [1, 1]]  # true negative, false positive; false negative, true


def test_another_threshold_takes_the_place_of_the_cards():
    report = evaluate.report(PREDICTIONS, threshold=0.15)
    assert report["threshold_rule"] == "0.15"
    assert report["classes"]["A"]["recall"] == 1.0


def test_the_text_names_the_threshold_rule_and_warns_of_a_leak():
    assert "thresholds chosen on validation for f1" in evaluate.as_text(evaluate.report(PREDICTIONS))
    leaky = evaluate.as_text(evaluate.report(PREDICTIONS | {"leaks_patients": True}))
    assert "not the scores for new patients" in leaky


def test_the_report_can_be_made_again_from_the_predictions_alone(tmp_path, capsys):
    np.savez(tmp_path / "predictions.npz", **PREDICTIONS)
    evaluate.main(["--from", str(tmp_path / "predictions.npz"), "--out", str(tmp_path / "again")])
    assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == evaluate.report(PREDICTIONS)
    assert "| A | 0.750 | 1.000 | 0.500 | 0.667 | 1 | 0 | 1 | 2 |" in capsys.readouterr().out


def test_a_model_of_other_classes_is_refused(tmp_path):
    card = cards.Card(("A", "B"), True, ("I",), 100, 4, config={"dataset": "demo"})
    path = cards.save(tmp_path / "model", tiny_model(), card)
    with pytest.raises(ValueError, match=r"knows the classes \('A', 'B'\), but the data have \('NORM'"):
        evaluate.main([str(path), "--out", str(tmp_path)])
