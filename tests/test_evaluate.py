"""Evaluation: everything comes from predictions.npz, and the numbers can be checked on paper."""

import json
import re

import numpy as np
import pytest
from test_card import tiny_model

import card as cards
import dataset
import evaluate
import report


@pytest.fixture
def predictions():
    """Four validation and four test records of two classes; of A one test record is missed, of B none."""
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    model = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4], [0.1, 0.6]])
    other = np.array([[0.9, 0.1], [0.8, 0.8], [0.3, 0.4], [0.1, 0.6]])
    return {
        "models": np.array(["model.h5", "other.h5"]),
        "probabilities": np.stack([np.tile(model, (2, 1)), np.tile(other, (2, 1))]),
        "labels": np.tile(labels, (2, 1)),
        "classes": np.array(["A", "B"]),
        "split": np.repeat(["validation", "test"], 4),
        "groups": np.arange(8),
        "names": np.array(list("stuvwxyz")),
        "features": np.array([[30, 0], [50, 1], [70, 1], [90, 0]] * 2, "float32"),
        "feature_names": np.array(["age (years)", "sex (0 male, 1 female)"]),
        "wrong": np.array([5]),
        "wrong_signals": np.zeros((1, 100, 2), "float32"),
        "leads": np.array(["I", "II"]),
        "sampling_rate": 100,
        "source": "four records",
        "log": "[]",
        "leaks_patients": False,
    }


def test_the_scores_are_those_worked_out_by_hand(predictions):
    result = evaluate.assess(predictions, "0.5", samples=50)
    one = result["classes"]["A"]
    assert (one["auc"], one["precision"], one["recall"]) == (0.75, 1.0, 0.5)
    scores = result["models"][0]["scores"]
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert (scores["subset_accuracy"], scores["hamming_loss"]) == (0.75, 0.125)
    assert result["confusion_matrices"]["A"] == [[2, 0], [1, 1]]  # true negative, false positive; false negative, true


def test_thresholds_come_from_validation_records_alone(predictions):
    before = evaluate.assess(predictions, "f1", samples=10)["models"][0]["thresholds"]
    test = predictions["split"] == "test"
    predictions["labels"][test] = 1 - predictions["labels"][test]
    assert evaluate.assess(predictions, "f1", samples=10)["models"][0]["thresholds"] == before


def test_a_model_differs_from_itself_by_nothing_and_from_another_by_an_interval(predictions):
    first, other = evaluate.assess(predictions, "0.5", samples=200)["models"]
    assert set(map(tuple, first["differences"].values())) == {(0, 0)}
    low, high = other["differences"]["subset_accuracy"]
    assert low == 0 < high  # the other is right about one record more, where that is in the sample


def test_a_sure_error_is_listed_with_its_record(predictions):
    errors = evaluate.assess(predictions, "0.5", samples=10)["errors"]
    assert errors == [{"record": "x", "class": "A", "truth": 1, "probability": pytest.approx(0.2)}]


def test_the_records_most_wrong_are_found_in_both_ways_and_on_test_records_only():
    labels = np.array([[0], [0], [0], [1], [1], [1]])
    probabilities = np.array([[0.9], [0.99], [0.1], [0.2], [0.3], [0.8]])
    counted = np.array([True, False, True, True, True, True])
    assert evaluate.most_wrong(labels, probabilities, counted).tolist() == [0, 2, 3, 4]


def test_subgroups_need_two_sorts_of_records_and_have_counts(predictions):
    predictions["features"][:, 0] = 70
    groups = {row["group"]: row["records"] for row in evaluate.assess(predictions, "0.5", samples=20)["subgroups"]}
    assert groups == {"age 60 to 79": 4, "male": 2, "female": 2}


def test_the_report_is_made_again_from_the_predictions_alone(predictions, tmp_path, capsys):
    np.savez(tmp_path / "predictions.npz", **predictions)
    command = ["--from", str(tmp_path / "predictions.npz"), "--thresholds", "0.5", "--samples", "20"]
    evaluate.main([*command, "--out", str(tmp_path / "again")])
    written = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(evaluate.assess(predictions, "0.5", samples=20)))
    assert "| A | 2 | 0.750 |" in capsys.readouterr().out


def test_the_page_needs_no_network_and_its_numbers_are_those_of_the_json(predictions, tmp_path):
    result = evaluate.assess(predictions, "0.5", samples=20)
    report.write(result, predictions, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert f"{result['models'][0]['scores']['macro_auc']:.4f}" in page
    assert page.count("<img") == 5  # four figures and the ECG of one error
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json",
        "models.csv",
        "classes.csv",
        "subgroups.csv",
        "errors.csv",
        "report.html",
    }


def test_a_leak_is_said_openly(predictions):
    leaky = evaluate.assess(predictions | {"leaks_patients": True}, samples=10)
    assert "not the scores for new patients" in report.as_text(leaky)
    assert "not the scores" not in report.as_text(evaluate.assess(predictions, samples=10))


@pytest.fixture
def small_demo(monkeypatch):
    """The demo dataset, but of sixty records."""
    load = dataset.load
    monkeypatch.setattr(dataset, "load", lambda *names: load(*names, records=60))


def saved_model(path, classes=("NORM", "MI", "STTC", "CD", "HYP")):
    card = cards.Card(classes, True, data_leads(), 100, 1000, config={"dataset": "demo"})
    return cards.save(path, tiny_model(1000, 12, len(classes)), card)


def data_leads():
    return ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def test_models_are_scored_with_their_mean_and_the_naive_predictor_and_the_look_is_noted(
    small_demo, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    paths = [str(saved_model(tmp_path / name)) for name in ("one", "two")]
    evaluate.main(
        [*paths, "--out", str(tmp_path / "out"), "--samples", "20", "--thresholds", "hamming", "--write-card"]
    )
    with np.load(tmp_path / "out" / "predictions.npz") as saved:
        assert saved["models"].tolist() == [*paths, "mean of these", "naive (class frequencies)"]
        np.testing.assert_allclose(saved["probabilities"][2], saved["probabilities"][:2].mean(axis=0), rtol=1e-6)
        assert set(saved["split"]) == {"validation", "test"}
    assert len((tmp_path / "readings.csv").read_text().splitlines()) == 3  # a heading and two models
    card = cards.read(paths[0])
    assert (card.threshold_goal, len(card.thresholds), len(card.temperatures)) == ("hamming", 5, 5)


def test_a_goal_that_is_unknown_is_refused_before_the_test_split_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    with pytest.raises(ValueError, match="no goal 'luck'"):
        evaluate.main([str(saved_model(tmp_path / "model")), "--thresholds", "luck"])
    assert not (tmp_path / "readings.csv").exists()


def test_the_card_of_a_model_is_left_alone_unless_asked(small_demo, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    path = saved_model(tmp_path / "model")
    before = cards.read(path)
    evaluate.main([str(path), "--out", str(tmp_path / "out"), "--samples", "5"])
    assert cards.read(path) == before


def test_the_model_of_a_run_is_named_after_its_folder(tmp_path):
    assert evaluate.name_of(tmp_path / "ptbxl" / "model.h5") == "ptbxl-test"
    assert evaluate.name_of(tmp_path / "Final-ECG-Model.h5") == "Final-ECG-Model"


def test_a_model_of_other_classes_is_refused(small_demo, tmp_path):
    path = saved_model(tmp_path / "model", classes=("A", "B"))
    with pytest.raises(ValueError, match=r"knows the classes \('A', 'B'\), but the data have \('NORM'"):
        evaluate.main([str(path), "--out", str(tmp_path)])
