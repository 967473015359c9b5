"""The benchmark that copies measured tables into documents: what was not measured again stays as it stands."""

import importlib
import json
import sys

import pytest

import dataset

STANDING = """<!-- results/systems.md table 1 -->
| system | protocol | score | ours |
| --- | --- | --- | --- |
| `a` | random | F1 | 0.5000 |
| `b` | random | F1 | 0.6000 |
<!-- end -->"""


@pytest.fixture
def tables(monkeypatch, tmp_path):
    """The module, with an empty `results/` of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(dataset.HERE / "benchmarks")])
    module = importlib.import_module("tables")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "results" / "seen").mkdir(parents=True)
    return module


def wanted(tables, system, models):
    return tables.Measured(system, "random", "seen", models, {"macro_f1": "0.4"})


def evaluated(tmp_path, **scores):
    """What an evaluation writes of models with these F1 scores."""
    rows = [
        {"model": name, "scores": {"macro_f1": score}, "intervals": {"macro_f1": [0.1, 0.9]}}
        for name, score in scores.items()
    ]
    (tmp_path / "results" / "seen" / "metrics.json").write_text(json.dumps({"models": rows, "aami": []}))


def test_a_table_in_a_document_is_read_as_rows(tables):
    assert tables.rows_in(STANDING)[1] == {"system": "`b`", "protocol": "random", "score": "F1", "ours": "0.6000"}


def test_a_system_that_was_measured_has_the_mean_of_its_seeds(tables, tmp_path):
    evaluated(tmp_path, one=0.7, two=0.8)
    [row] = tables.rows_of(wanted(tables, "`a`", ("one", "two")), tables.rows_in(STANDING))
    assert (row["ours"], row["seeds"], row["published"]) == ("0.7500", "0.700, 0.800", "0.4")
    assert row["command"] == "`python evaluate.py one two`"


def test_a_system_of_which_a_seed_is_not_at_hand_keeps_its_rows_and_no_others(tables, tmp_path, capsys):
    evaluated(tmp_path, one=0.7)
    standing = tables.rows_in(STANDING)
    assert list(tables.rows_of(wanted(tables, "`b`", ("one", "two")), standing)) == [standing[1]]
    assert "`b`, random stays as it is" in capsys.readouterr().out


def test_a_marked_table_without_its_file_stays_and_with_it_is_replaced(tables, tmp_path):
    assert tables.MARKED.sub(tables.filled, STANDING) == STANDING
    (tmp_path / "results" / "systems.md").write_text("text\n\n| new |\n| --- |\n| 1 |\n")
    assert tables.MARKED.sub(tables.filled, STANDING) == (
        "<!-- results/systems.md table 1 -->\n| new |\n| --- |\n| 1 |\n<!-- end -->"
    )
