"""Scores and reports: everything comes from predictions, and the numbers can be checked on paper."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import assessment
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
        "recordings": np.array(list("stuvwxyz")),
        "features": np.array([[30, 0], [50, 1], [70, 1], [90, 0]] * 2, "float32"),
        "feature_names": np.array(["age (years)", "sex (0 male, 1 female)"]),
        "wrong": np.array([5]),
        "wrong_signals": np.zeros((1, 100, 2), "float32"),
        "leads": np.array(["I", "II"]),
        "sampling_rate": 100,
        "source": "four records",
        "log": "[]",
        "notes": np.array(["two left out"]),
        "multilabel": True,
        "leaks_patients": False,
    }


def test_the_scores_are_those_worked_out_by_hand(predictions):
    result = assessment.assess(predictions, "0.5", samples=50)
    one = result["classes"]["A"]
    assert (one["auc"], one["precision"], one["recall"]) == (0.75, 1.0, 0.5)
    scores = result["models"][0]["scores"]
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert (scores["subset_accuracy"], scores["hamming_loss"]) == (0.75, 0.125)
    assert result["confusion_matrices"]["A"] == [[2, 0], [1, 1]]  # true negative, false positive; false negative, true


def test_thresholds_come_from_validation_records_alone(predictions):
    before = assessment.assess(predictions, "f1", samples=10)["models"][0]["thresholds"]
    test = predictions["split"] == "test"
    predictions["labels"][test] = 1 - predictions["labels"][test]
    assert assessment.assess(predictions, "f1", samples=10)["models"][0]["thresholds"] == before


def test_a_model_differs_from_itself_by_nothing_and_from_another_by_an_interval(predictions):
    first, other = assessment.assess(predictions, "0.5", samples=200)["models"]
    assert set(map(tuple, first["differences"].values())) == {(0, 0)}
    low, high = other["differences"]["subset_accuracy"]
    assert low == 0 < high  # the other is right about one record more, where that is in the sample


def test_a_sure_error_is_listed_with_its_record(predictions):
    errors = assessment.assess(predictions, "0.5", samples=10)["errors"]
    assert errors == [{"record": "x", "class": "A", "truth": 1, "probability": pytest.approx(0.2)}]


def test_the_records_most_wrong_are_found_in_both_ways_and_on_test_records_only():
    labels = np.array([[0], [0], [0], [1], [1], [1]])
    probabilities = np.array([[0.9], [0.99], [0.1], [0.2], [0.3], [0.8]])
    counted = np.array([True, False, True, True, True, True])
    assert evaluate.most_wrong(labels, probabilities, counted).tolist() == [0, 2, 3, 4]
    few = np.array([False, False, True, False, False, True])
    assert evaluate.most_wrong(labels, probabilities, few).tolist() == [2, 5]  # and none that does not count


def test_subgroups_need_two_sorts_of_records_and_have_counts(predictions):
    predictions["features"][:, 0] = 70
    groups = {row["group"]: row["records"] for row in assessment.assess(predictions, "0.5", samples=20)["subgroups"]}
    assert groups == {"age 60 to 79": 4, "male": 2, "female": 2}


def test_the_report_is_made_again_from_the_predictions_alone(predictions, tmp_path, capsys):
    np.savez(tmp_path / "predictions.npz", **predictions)
    command = ["--from", str(tmp_path / "predictions.npz"), "--thresholds", "0.5", "--samples", "20"]
    evaluate.main([*command, "--out", str(tmp_path / "again")])
    written = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(assessment.assess(predictions, "0.5", samples=20)))
    assert "| A | 2 | 0.750 |" in capsys.readouterr().out


def test_the_page_needs_no_network_and_its_numbers_are_those_of_the_json(predictions, tmp_path):
    result = assessment.assess(predictions, "0.5", samples=20)
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
        "report.md",
    }


def test_a_leak_is_said_openly(predictions):
    leaky = assessment.assess(predictions | {"leaks_patients": True}, samples=10)
    assert "not the scores for new patients" in report.as_text(leaky)
    assert "not the scores" not in report.as_text(assessment.assess(predictions, samples=10))


@pytest.fixture
def one_class(predictions):
    """The same records, each of one class: A is found twice and taken for B once, B is found once."""
    labels = np.array([[1, 0], [1, 0], [0, 1], [1, 0]])
    model = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    changes = {"labels": np.tile(labels, (2, 1)), "probabilities": np.tile(model, (2, 2, 1)), "multilabel": False}
    return predictions | changes


def test_one_class_a_record_has_one_matrix_and_no_thresholds(one_class):
    result = assessment.assess(one_class, samples=20)
    assert result["confusion_matrices"] == {"all classes": [[2, 1], [0, 1]]}
    first = result["models"][0]
    assert (first["thresholds"], len(first["temperatures"])) == ([], 1)
    assert first["scores"]["accuracy"] == 0.75
    assert result["classes"]["A"]["error_rate"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="leave --thresholds out"):
        assessment.assess(one_class, "f1", samples=20)


def test_the_report_of_one_class_a_record_says_how_it_decides_and_what_was_taken_for_what(one_class, tmp_path):
    report.write(assessment.assess(one_class, samples=20), one_class, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Decided: the most probable class. Recall, the mean of that of each class, is the balanced" in text
    assert "| model | macro AUC | precision | recall | F1 | accuracy | weighted F1 | ECE |" in text
    table = pd.read_csv(tmp_path / "classes.csv", index_col="class")
    assert table.loc["A", ["as A", "as B"]].tolist() == [2, 1]


def test_errors_are_counted_in_bands_of_confidence(one_class):
    bands = {row["confidence"]: (row["records"], row["errors"]) for row in assessment.assess(one_class)["confidence"]}
    # 0.9 lies in the band that it begins; the wrong record is decided with 0.8.
    assert bands == {
        "0 to 0.5": (0, 0),
        "0.5 to 0.7": (1, 0),
        "0.7 to 0.9": (2, 1),
        "0.9 to 0.99": (1, 0),
        "0.99 to 1": (0, 0),
    }


def test_records_that_are_cut_from_recordings_are_counted_for_each(one_class):
    one_class["recordings"] = np.array([*"aabb", *"ccdd"])
    rows = assessment.assess(one_class, samples=20)["recordings"]
    assert rows == [
        {"recording": "c", "records": 2, "accuracy": 0.5, "A": 2, "A found": 1, "B": 0, "B found": 0},
        {"recording": "d", "records": 2, "accuracy": 1.0, "A": 1, "A found": 1, "B": 1, "B found": 1},
    ]


# Rows are the truth N, S, V, F, Q; columns what was decided.
AAMI_MATRIX = np.array(
    [
        [90, 4, 3, 2, 1],
        [5, 10, 2, 1, 2],
        [2, 1, 30, 4, 3],
        [1, 1, 2, 5, 1],
        [1, 3, 4, 0, 2],
    ]
)


def test_aami_figures_are_those_worked_out_by_hand():
    figures = assessment.aami_figures(AAMI_MATRIX)
    assert figures["SVEB sensitivity"] == 10 / 20
    assert figures["SVEB positive predictivity"] == 10 / (10 + 4 + 1 + 1)  # three Q taken for S do not count
    assert figures["SVEB false positive rate"] == pytest.approx(6 / (100 + 40 + 10))
    assert figures["VEB sensitivity"] == 30 / 40
    assert figures["VEB positive predictivity"] == pytest.approx(30 / (30 + 3 + 2))  # nor F and Q taken for V
    assert figures["VEB false positive rate"] == pytest.approx(5 / (100 + 20))
    assert figures["VEB F1"] == pytest.approx(2 * 30 / (40 + 35))
    # Beats that are N, S or V: 97 are decided as N, 15 as S, 35 as V.
    expected = (2 * 90 / (100 + 97) + 2 * 10 / (20 + 15) + 2 * 30 / (40 + 35)) / 3
    assert figures["N, S, V macro F1"] == pytest.approx(expected)


def test_aami_figures_of_classes_without_beats_are_unknown(recwarn):
    only_normal = np.zeros((5, 5))
    only_normal[0, :2] = 3, 1  # one of four normal beats is decided as S
    figures = assessment.aami_figures(only_normal)
    assert np.isnan(figures["SVEB sensitivity"]) and np.isnan(figures["VEB F1"])
    assert (figures["SVEB positive predictivity"], figures["SVEB false positive rate"]) == (0, 1 / 4)
    assert figures["N, S, V macro F1"] == pytest.approx((2 * 3 / 7 + 0) / 2)  # of N and of S, which was decided
    assert not recwarn.list


def test_beats_have_aami_figures_with_intervals_over_patients(one_class, tmp_path):
    beats = one_class | {
        "classes": np.array(list("NSVFQ")),
        "labels": np.tile(np.eye(5)[[0, 1, 2, 0]], (2, 1)),
        "probabilities": np.tile(np.eye(5)[[0, 1, 2, 2]], (2, 2, 1)),
        "groups": np.array([0, 0, 0, 0, 1, 1, 1, 2]),
    }
    first = assessment.assess(beats, samples=200)["aami"][0]
    assert first["scores"]["VEB sensitivity"] == 1
    assert first["scores"]["VEB positive predictivity"] == 0.5
    # A sample of patient 1 twice has no false positive, one of patient 1 once one, one of patient 2 twice no V to find.
    assert first["intervals"]["VEB positive predictivity"] == [0, 1]
    assert first["intervals"]["VEB sensitivity"] == [1, 1]
    report.write(assessment.assess(beats, samples=20), beats, tmp_path)
    assert "| VEB F1 |" in (tmp_path / "report.md").read_text()
    assert pd.read_csv(tmp_path / "aami.csv")["VEB F1"][0] == pytest.approx(2 / 3)


def test_a_class_without_test_records_is_named_and_not_averaged(predictions):
    predictions["labels"][4:, 1] = 0
    result = assessment.assess(predictions, "0.5", samples=20)
    assert result["absent"] == ["B"]
    assert result["models"][0]["scores"]["macro_f1"] == pytest.approx(2 / 3)  # of A alone
    assert "No test record has B" in report.as_text(result)
