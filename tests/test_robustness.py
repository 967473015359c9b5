"""The benchmark of robustness: scores are measured once, an ensemble is the mean of its members, a refusal no score."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import dataset

LEADS = ("I", "II")
CARD = SimpleNamespace(thresholds=(0.5,), classes=("NORM",))
LABELS = np.array([[1], [0]])


@pytest.fixture
def robustness(monkeypatch):
    """The module, whose models are names: what they tell is in `TOLD`."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(dataset.HERE / "benchmarks")])
    module = importlib.import_module("robustness")
    monkeypatch.setattr(module, "opened", lambda path: None)
    monkeypatch.setattr(module.cards, "read", lambda path: CARD)
    monkeypatch.setattr(module, "members_of", lambda path: [Path("a"), Path("b")] if path.stem == "both" else [path])
    return module


TOLD = {"a": [[0.2], [0.4]], "b": [[0.9], [0.1]]}  # together 0.55 and 0.25


def tell(path, recordings):
    if path.stem not in TOLD:
        raise ValueError("lead II is constant")
    return LABELS, np.array(TOLD[path.stem])


def test_an_ensemble_is_the_mean_of_its_members_and_a_refusal_has_a_reason(robustness):
    paths = [Path(name) for name in ("a", "both", "c")]
    scores = {path.stem: scores for path, scores in robustness.scores_of(paths, tell, [])}
    assert scores["a"]["macro_auc"] == 0.0
    assert scores["both"]["macro_auc"] == scores["both"]["macro_f1"] == 1.0
    assert scores["c"] == {"refused": "lead II is constant"}


def test_what_was_measured_is_not_measured_again(robustness, monkeypatch, tmp_path):
    asked = []
    database = robustness.Database(
        read=lambda records: [],
        amount="records",
        tell=lambda path, recordings: asked.append(path) or tell(path, recordings),
        score="",
        lost={},
        reversed=(),
    )
    monkeypatch.setitem(robustness.DATABASES, "made", database)
    monkeypatch.setattr(robustness, "RESULTS", tmp_path / "robustness.json")
    conditions, rows, options = len(robustness.conditions(database)), [], SimpleNamespace(records=2)
    for prints in ({Path("a"): "1"}, {Path("a"): "1", Path("b"): "2"}):
        robustness.measure("made", prints, options, rows)
    assert [path.stem for path in asked] == ["a"] * conditions + ["b"] * conditions
    assert json.loads((tmp_path / "robustness.json").read_text()) == rows
    robustness.measure("made", {Path("a"): "trained anew"}, options, rows)
    assert len(asked) == 3 * conditions


def test_conditions_of_a_database_have_different_names(robustness):
    for database in robustness.DATABASES.values():
        names = [(condition.family, condition.name) for condition in robustness.conditions(database)]
        assert len(set(names)) == len(names)


def test_a_recording_is_as_its_condition_says(robustness):
    record = robustness.record_of(np.ones((200, 2), "float32"), LEADS, 100)
    rng = np.random.default_rng(0)
    twice = robustness.worsened(record, robustness.Condition("gain", "x 2", gain=2.0), rng)
    assert twice.millivolts().tolist() == [[2, 2]] * 200
    slower = robustness.worsened(record, robustness.Condition("rate", "50 Hz", rate=50), rng)
    assert slower.layout == (100, LEADS, 50)
    lost = robustness.worsened(record, robustness.Condition("lost", "II", lost=("II",)), rng)
    assert lost.millivolts().tolist() == [[1, 0]] * 200


def test_falls_are_named_by_family_and_small_ones_are_not(robustness):
    conditions = [("as recorded", ""), ("muscle", "6 dB"), ("muscle", "0 dB"), ("gain", "x 2"), ("leads missing", "II")]
    index = pd.MultiIndex.from_tuples(conditions, names=["family", "condition"])
    table = pd.DataFrame({"a": [0.9, 0.84, 0.8, 0.86, np.nan]}, index)
    [row] = robustness.falls(table)
    assert row["as recorded"] == "0.900"
    assert row[robustness.FALLS] == "muscle: 6 dB, 0 dB; leads missing: II"
