"""A search goes on whatever happens to it: trials that fail, processes that are killed, chiefs and workers that go."""

import json
import socket
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_formulas import failing, slow
from tiny_search import SPACE, call_here, plan, run, run_lightly, wait_for

import oracles
import processes
import recipes
import search
import trials

CALL_APART = processes.call


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Trials in this process, but for those that are killed."""
    monkeypatch.setattr(processes, "call", call_here)


def calls(folder):
    """How often each trial was run, by its number."""
    return {int(path.name.removeprefix("trial_")): len(list(path.rglob("called-*"))) for path in folder.glob("trial_*")}


def finished(folder):
    """How many trials have finished, as the table in the folder says."""
    path = folder / "trials.csv"
    return (pd.read_csv(path)["status"] == "finished").sum() if path.exists() else 0


@pytest.mark.parametrize("tuner", oracles.ORACLES)
def test_the_published_values_are_tried_first(tuner, tmp_path):
    asked = plan(tmp_path, tuner=tuner)
    first = oracles.build(asked).create_trial("worker")
    assert replace(asked.config_of(first), epochs=asked.config.epochs) == asked.config
    assert asked.config_of(oracles.build(asked).create_trial("worker")) == asked.config_of(first)  # the same, anew


def test_a_row_tells_all_of_a_trial(tmp_path):
    run(plan(tmp_path, trials=1, executions=2))
    (row,) = pd.read_csv(tmp_path / "trials.csv").to_dict("records")
    assert row.pop("seconds") > 0
    # 1 - |0.003 - 0.001| - 32 / 1,000,000, and a thousandth more for seed 1
    assert row == pytest.approx(
        {
            "trial": 0,
            "status": "finished",
            "score": 0.998468,
            "seed_0": 0.997968,
            "seed_1": 0.998968,
            "epochs_run": 10,
            "error": np.nan,
            "learning_rate": 0.003,
            "lstm_units": 32,
            "filters": "32 32",
        },
        nan_ok=True,
    )


def test_a_row_tells_what_was_chosen_even_where_fewer_blocks_need_less_of_it(tmp_path):
    space = {"filters": ((8,),), "kernels": ((15, 7, 3), (5,))}
    config = replace(recipes.RECIPES["demo"], filters=(8,), kernels=(15, 7, 3))
    asked = plan(tmp_path, tuner="grid", config=config, space=space)
    oracle = run(asked)
    assert oracle.table()["kernels"].tolist() == ["15 7 3", "5"]
    assert [asked.config_of(trial).kernels for trial in oracle.trials.values()] == [(15,), (5,)]
    assert trials.places(asked, oracle.table())["kernels"].tolist() == [0, 1]


def test_hyperband_trains_few_epochs_first_and_the_best_for_longer(tmp_path):
    rows = run(plan(tmp_path, tuner="hyperband", trials=None)).table()
    assert set(rows["epochs"]) == {2, 4, 10}  # a third of ten, and of that
    assert (rows["epochs_run"] == rows["epochs"]).all()
    again = rows[rows["epochs"] == 4].iloc[0]
    assert again["score"] == rows[rows["epochs"] == 2]["score"].max()


def test_a_trial_that_fails_is_marked_with_its_reason_and_the_search_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "call", CALL_APART)
    rows = run(plan(tmp_path, failing, tuner="grid", trials=6)).table()
    assert rows["status"].tolist() == ["failed"] * 4 + ["finished"] * 2
    assert rows["error"][0] == "FloatingPointError: the loss became nan"
    assert "killed by signal 9" in rows["error"][2]


def test_only_the_checkpoints_of_the_best_stay_but_every_log(tmp_path):
    asked = plan(tmp_path, tuner="random", trials=8, keep=2)
    rows = run(asked).table()
    kept = {int(path.parent.parent.name.removeprefix("trial_")) for path in tmp_path.rglob("model.h5")}
    assert kept == set(rows.nlargest(2, "score")["trial"])
    assert len(list(tmp_path.rglob("state.npz"))) == 2
    assert len(list(tmp_path.rglob("log.csv"))) == 8


def test_after_kill_9_the_search_goes_on_and_repeats_nothing_that_had_finished(tmp_path):
    asked = plan(tmp_path, slow)
    first = processes.start(run_lightly, asked)
    wait_for(lambda: finished(tmp_path) == 2)
    first.kill()
    first.join()
    before = pd.read_csv(tmp_path / "trials.csv").head(2)
    after = run(asked).table()
    assert (after["status"] == "finished").all() and len(after) == 5
    pd.testing.assert_frame_equal(before.drop(columns="error"), after.head(2).drop(columns="error"), check_dtype=False)
    assert calls(tmp_path) == dict.fromkeys(range(5), 1)  # the one that was killed had not come to its end


@pytest.mark.parametrize("tuner", oracles.ORACLES)
def test_every_tuner_goes_on_where_it_was(tuner, tmp_path, monkeypatch):
    asked, attempt, left = plan(tmp_path, tuner=tuner, trials=14), search.attempt, [True] * 5

    def stopped_after_five(*arguments):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        attempt(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(search, "attempt", stopped_after_five)
        with pytest.raises(KeyboardInterrupt):
            run(asked)
    rows = run(asked).table()
    assert rows["trial"].tolist() == list(range(14)) and not rows.duplicated(list(trials.bounds(asked, rows))).any()
    assert calls(tmp_path) == dict.fromkeys(range(14), 1)


def test_a_kill_between_the_files_of_a_search_neither_loses_nor_repeats_a_trial(tmp_path):
    asked = plan(tmp_path, trials=3)
    run(asked)
    state, running = json.loads((tmp_path / "oracle.json").read_text()), tmp_path / "trial_1" / "trial.json"
    state["ongoing_trials"] = {"worker": "2"}  # killed after trial 2 was written, but before this was
    (tmp_path / "oracle.json").write_text(json.dumps(state))
    running.write_text(running.read_text().replace("COMPLETED", "RUNNING"))  # and trial 1 had begun only here
    run(asked)
    assert calls(tmp_path) == {0: 1, 1: 2, 2: 1}


def test_more_trials_go_on_from_where_a_search_ended(tmp_path):
    run(plan(tmp_path, trials=3))
    assert len(run(plan(tmp_path, trials=12)).trials) == 12
    assert set(calls(tmp_path).values()) == {1}


def test_a_folder_with_a_search_of_something_else_is_refused_with_what_differs(tmp_path, demo):
    plan(tmp_path).begin(demo)
    plan(tmp_path, trials=90, keep=7).begin(demo)
    other = plan(tmp_path, tuner="grid", config=replace(recipes.RECIPES["demo"], epochs=3))
    with pytest.raises(ValueError, match=r"epochs 10 \(now 3\), tuner bayesian \(now grid\); use them, or name"):
        other.begin(demo)
    narrower = plan(tmp_path, space=SPACE | {"lstm_units": (32, 64)})
    with pytest.raises(ValueError, match=r"values of lstm_units \[32, 64, 128\] \(now \[32, 64\]\)"):
        narrower.begin(demo)


def test_no_trial_begins_after_the_time_limit(tmp_path):
    asked = plan(tmp_path)
    oracle = oracles.build(asked, deadline=time.monotonic() - 1)
    search.work(oracle, asked, "worker")
    assert oracle.over and not oracle.trials


def test_a_trial_whose_workers_are_lost_twice_has_failed(tmp_path):
    oracle = oracles.build(plan(tmp_path, trials=1))
    for name in ("one", "two"):
        assert oracle.create_trial(name).status == "RUNNING"
        oracle.gone = lambda name=name: {name}
    assert oracle.create_trial("three").status == "STOPPED"
    assert oracle.table()["status"].tolist() == ["failed"] and oracle.over


def test_a_worker_that_was_not_heard_of_for_long_is_lost_and_one_that_was_is_not(tmp_path, monkeypatch):
    oracle = oracles.build(plan(tmp_path, trials=2))
    for name in ("silent", "alive"):
        oracle.create_trial(name)
    now = time.monotonic() + processes.SILENCE + 1
    monkeypatch.setattr(time, "monotonic", lambda: now)
    oracle.get_trial("1")
    assert oracle.create_trial("third").trial_id == "0"
    assert set(oracle.ongoing_trials) == {"alive", "third"}


def test_a_chief_without_workers_ends(tmp_path, monkeypatch):
    oracle = oracles.build(plan(tmp_path))
    ended = processes.start(time.sleep, 0)
    with pytest.raises(ConnectionError, match="no worker is left; the same command goes on"):
        search.wait(oracle, {"one": ended})
    monkeypatch.setattr(search, "LONELY", 0)
    with pytest.raises(ConnectionError, match="no worker is left"):
        search.wait(oracle, {})


def test_a_worker_without_a_chief_ends(tmp_path, monkeypatch):
    for name in ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
    monkeypatch.setattr(processes, "SILENCE", 0.3)
    with search.chief(oracles.build(plan(tmp_path)), "127.0.0.1:0") as port:
        pass
    with pytest.raises(ConnectionError, match=f"no answer from the chief at 127.0.0.1:{port}"):
        search.work_for(plan(tmp_path), "127.0.0.1", port, "worker")


def test_a_port_that_is_in_use_is_refused(tmp_path):
    oracle = oracles.build(plan(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "{}:{}".format(*other.getsockname())
        with (
            pytest.raises(OSError, match=f"cannot listen at {address}; is another chief"),
            search.chief(oracle, address),
        ):
            pass
    with search.chief(oracle, "127.0.0.1:0") as port, pytest.raises(OSError, match="cannot listen"):
        search.chief(oracle, f"127.0.0.1:{port}").__enter__()


def test_importance_is_of_what_changes_the_score(tmp_path):
    asked = plan(tmp_path, tuner="random", trials=30)
    rows = run(asked).table()
    worth = trials.importance(asked, rows)
    assert worth.index[0] == "learning_rate" and worth.iloc[0] > 0.9
    assert worth.sum() == pytest.approx(1)
    assert not len(trials.importance(asked, rows.head(4)))
