"""The command: what it searches, what it leaves behind, and that its last line trains the best trial again."""

import os
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import tiny_formulas
import tiny_search

import card as cards
import dataset
import processes
import recipes
import search
import training
import tune

FAST = ["--dataset", "demo", "--epochs", "1", "--lstm-units", "3", "--filters", "4"]
TINY = [
    *FAST,
    "--batch-size",
    "16",
    "--kernels",
    "3",
    "--dense-units",
    "4",
    "--combined-units",
    "4",
    "--crop",
    "1",
    "--deterministic",
]


@pytest.fixture
def by_formula(monkeypatch):
    """Trials that are not trained, in this process."""
    monkeypatch.setattr(search, "train", tiny_formulas.formula)
    monkeypatch.setattr(processes, "call", tiny_search.call_here)


@pytest.fixture
def alone(monkeypatch):
    """An environment that belongs to no cluster, and sixty records to read."""
    for name in tune.CLUSTER:
        monkeypatch.delenv(name, raising=False)
    for name in tune.THREADS:
        monkeypatch.setenv(name, "1")  # which a chief may change
    monkeypatch.setattr(recipes, "read_data", tiny_formulas.read)


def asked(*words):
    return tune.plan_of(tune.arguments(words))


def test_nothing_asked_for_is_a_bayesian_search_of_recipe_ptbxl():
    plan = asked()
    assert plan.config == recipes.RECIPES["ptbxl"]
    assert (plan.tuner, plan.trials, plan.executions, plan.keep) == ("bayesian", 30, 1, 3)
    assert str(plan.folder) == os.path.join("results", "tune-ptbxl")


def test_a_flag_of_training_changes_the_start_and_is_not_searched():
    plan = asked("--recipe", "ptbxl-crops", "--batch-size", "32", "--epochs", "4", "--precision", "mixed_bfloat16")
    assert (plan.config.batch_size, plan.config.epochs, plan.config.precision) == (32, 4, "mixed_bfloat16")
    assert "batch_size" not in plan.space and "learning_rate" in plan.space
    assert list(asked("--search", "dropout", "learning-rate").space) == ["dropout", "learning_rate"]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_can_be_searched(name):
    assert asked("--recipe", name).space


def test_hyperband_has_as_many_trials_as_its_brackets_unless_it_is_told():
    assert asked("--tuner", "hyperband").trials is None
    assert asked("--tuner", "hyperband", "--trials", "9").trials == 9


@pytest.mark.parametrize(
    "words, told",
    [
        (["--trials", "0"], "--trials must be at least 1, but 0 came"),
        (["--tuner", "annealing"], "invalid choice: 'annealing'"),
        (["--workers", "two"], "invalid int value: 'two'"),
    ],
)
def test_what_makes_no_sense_ends_with_the_usage(words, told, capsys, alone):
    with pytest.raises(SystemExit):
        tune.arguments(words)
    assert told in capsys.readouterr().err


def test_a_cluster_needs_all_of_its_variables(monkeypatch, capsys, alone):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    with pytest.raises(SystemExit):
        tune.arguments([])
    assert "KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT is not set" in capsys.readouterr().err


class Guarded:
    """Signals that raise when a record of the test split is read."""

    def __init__(self, signals, forbidden):
        self.signals, self.forbidden = signals, set(forbidden)
        self.shape, self.ndim, self.dtype = signals.shape, signals.ndim, signals.dtype

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, rows):
        if self.forbidden & set(np.atleast_1d(np.arange(len(self))[rows])):
            raise AssertionError("a record of the test split was read")
        return self.signals[rows]


class Unlooked(dataset.Dataset):
    """A Dataset whose signals are not even checked, since that reads them all."""

    def __post_init__(self):
        pass


def read_without_test_split(*_):
    """The demo data, with other labels and features in the test split, and signals that must not be read."""
    data = tiny_formulas.read()
    test, labels, features = data.rows("test"), data.labels.copy(), data.features.copy()
    labels[test], features[test] = 1 - labels[test], 1e6
    changed = vars(data) | {"labels": labels, "features": features, "signals": Guarded(data.signals, test)}
    return Unlooked(**changed)


def train_with_test_split(words):
    recipes.read_data = tiny_formulas.read
    training.main(words)


@pytest.mark.slow
def test_a_search_reads_no_test_split_and_its_last_line_trains_the_best_trial_to_the_same_score(
    tmp_path, capsys, alone, monkeypatch
):
    out = tmp_path / "search"
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "read_data", read_without_test_split)
        tune.main([*TINY, "--search", "learning_rate", "--trials", "2", "--tuner", "random", "--out", str(out)])
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:2] == ["python", "training.py"] and words[-2:] == ["--out", f"{out}-best"]
    processes.call(train_with_test_split, words[2:])
    rows = pd.read_csv(out / "trials.csv")
    again = cards.read(tmp_path / "search-best" / "model.h5")
    assert again.scores["validation"]["macro_auc"] == rows["score"].max()
    best = rows.loc[rows["score"].idxmax()]
    assert cards.read(out / f"trial_{best['trial']}" / "seed-0" / "model.h5").config == again.config


def test_the_guard_of_the_test_split_would_tell():
    data = read_without_test_split()
    assert len(data.signals[data.rows("train")]) == 48
    with pytest.raises(AssertionError, match="of the test split was read"):
        data.signals[data.rows("test")[:1]]


def test_a_search_leaves_tables_pictures_and_a_page_that_needs_no_other_file(tmp_path, by_formula, alone):
    tune.main([*FAST, "--trials", "7", "--executions", "2", "--out", str(tmp_path)])
    left = {path.name for path in tmp_path.glob("*.*")}
    pictures = {"history.png", "importance.png", "parallel-coordinates.png"}
    assert left >= {"trials.csv", "report.md", "report.html"} | pictures
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', page)
    text = (tmp_path / "report.md").read_text()
    assert "7 finished" in text and "python training.py --recipe demo" in text
    assert "| setting | importance |" in text and "| setting | published | best |" in text


def test_a_search_of_which_nothing_or_little_has_finished_reports_that(
    tmp_path, by_formula, alone, capsys, monkeypatch
):
    tune.main([*FAST, "--trials", "1", "--out", str(tmp_path / "one")])
    assert not (tmp_path / "one" / "importance.png").exists()
    monkeypatch.setattr(search, "train", tiny_formulas.never)
    tune.main([*FAST, "--trials", "1", "--out", str(tmp_path / "none")])
    assert "no trial has finished" in capsys.readouterr().out


def test_ctrl_c_reports_the_best_so_far_and_the_same_command_goes_on(tmp_path, by_formula, alone, capsys, monkeypatch):
    call, left = processes.call, [1, 1, 0]

    def interrupted(*arguments, **options):
        if not left.pop(0):
            raise KeyboardInterrupt
        return call(*arguments, **options)

    words = [*FAST, "--trials", "4", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(processes, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune.main(words)
    assert "2 finished, 1 running" in capsys.readouterr().out
    tune.main(words)
    assert pd.read_csv(tmp_path / "trials.csv")["status"].tolist() == ["finished"] * 4
    assert len(list(tmp_path.rglob("called-*"))) == 4


@pytest.mark.slow
def test_of_two_workers_one_is_killed_and_the_other_tries_its_trial_again(tmp_path, alone, capsys, monkeypatch):
    monkeypatch.setattr(search, "train", tiny_formulas.slow)
    monkeypatch.setattr(search, "work_for", tiny_search.work_lightly)
    wait, lost = search.wait, []

    def kill_one_and_wait(oracle, workers):
        tiny_search.wait_for(lambda: {"worker-1", "worker-2"} <= set(oracle.ongoing_trials))
        lost.append(oracle.ongoing_trials["worker-1"].trial_id)
        workers["worker-1"].kill()
        wait(oracle, workers)

    monkeypatch.setattr(search, "wait", kill_one_and_wait)
    tune.main([*FAST, "--trials", "6", "--workers", "2", "--out", str(tmp_path)])
    rows, told = pd.read_csv(tmp_path / "trials.csv"), capsys.readouterr().out
    assert rows["status"].tolist() == ["finished"] * 6
    assert rows["dropout"][0] == 0.25  # exactly, although the service has only 32 bits
    assert len(list(tmp_path.rglob("called-*"))) == 6
    assert "worker-1 is lost" in told and f"trial {lost[0]}: waiting" in told
