"""A run that was interrupted goes on, to the same bits, and only if it is the same run."""

import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_runs import TINY, command, process

import card as cards
import state as states
import training


def test_labels_that_changed_since_are_refused_on_resume(trained, demo):
    labels = np.roll(demo.labels, 1, axis=0)
    with pytest.raises(ValueError, match="cannot resume"):
        training.train(TINY, replace(demo, labels=labels), trained, resume=True)


def test_ctrl_c_keeps_the_best_epoch_so_far_and_resume_goes_on(demo, tmp_path, monkeypatch, capsys):
    begin = training.Validation.on_epoch_begin

    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.Validation, "on_epoch_begin", interrupt)
        training.train(TINY, demo, tmp_path)
    assert "keeping the best of 1 finished epochs" in capsys.readouterr().out
    cards.load(tmp_path / "model.h5")
    training.train(TINY, demo, tmp_path, resume=True)
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1, 2]


def test_resuming_a_finished_run_trains_no_more(trained, demo):
    before = pd.read_csv(trained / "log.csv")
    training.train(TINY, demo, trained, resume=True)
    pd.testing.assert_frame_equal(pd.read_csv(trained / "log.csv"), before)


def test_an_unfinished_run_is_not_overwritten(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(
        training, "fit", lambda model, feed, callbacks, _: model.fit(feed, callbacks=callbacks, verbose=0)
    )
    training.train(TINY, demo, tmp_path)  # one epoch of two
    with pytest.raises(ValueError, match="holds an unfinished run of 1 epochs; go on with --resume"):
        training.train(TINY, demo, tmp_path)


def test_resume_with_other_data_is_refused(trained, demo):
    with pytest.raises(ValueError, match=r"other settings: source of the data synthetic demo ECG \(now other\);"):
        training.train(TINY, replace(demo, source="other"), trained, resume=True)


def test_resume_with_nothing_to_resume_is_refused(demo, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume in"):
        training.train(TINY, demo, tmp_path, resume=True)


def test_resume_with_other_settings_names_them(trained, demo):
    with pytest.raises(ValueError, match=r"other settings: learning_rate 0.003 \(now 0.1\)"):
        training.train(replace(TINY, learning_rate=0.1), demo, trained, resume=True)


def weights(folder):
    return cards.load(folder / "model.keras")[0].get_weights()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("straight")
    output_of(command(folder))
    return folder


def output_of(run):
    output = run.communicate()[0].decode()
    assert run.returncode == 0, output
    return output


def assert_same_run(folder, other):
    pd.testing.assert_frame_equal(pd.read_csv(folder / "log.csv"), pd.read_csv(other / "log.csv"))
    for one, two in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_after_kill_9_resume_ends_at_the_same_bits_as_the_uninterrupted_run(straight, tmp_path):
    run = command(tmp_path)
    while not (tmp_path / "log.csv").exists() or len(pd.read_csv(tmp_path / "log.csv")) < 2:
        assert run.poll() is None, run.stdout.read().decode()
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    output_of(command(tmp_path, "--resume"))
    assert_same_run(tmp_path, straight)


@pytest.mark.slow
def test_the_run_of_a_card_ends_at_the_same_bits_again(straight, tmp_path):
    output = output_of(process(tmp_path, "--from-card", str(straight / "model.json")))
    assert_same_run(tmp_path, straight)
    assert "mind: not what the card was made with" not in output


def test_flags_change_what_a_card_says(trained):
    config, _ = training.arguments(["--from-card", str(trained / "model.json"), "--epochs", "7", "--seed", "3"])
    assert config == replace(TINY, epochs=7, seed=3)


@pytest.mark.parametrize("flag", ["--recipe", "--dataset"])
def test_a_card_has_its_own_recipe_and_dataset(trained, flag, capsys):
    with pytest.raises(SystemExit):
        training.arguments(["--from-card", str(trained / "model.json"), flag, "demo"])
    assert "leave --recipe and --dataset out" in capsys.readouterr().err


def test_the_card_of_an_ensemble_is_of_no_run(trained, tmp_path):
    path = tmp_path / "both.json"
    cards.write(path, cards.ensemble(path, [trained / "model.h5"] * 2))
    with pytest.raises(ValueError, match="both.json is of no training run"):
        training.arguments(["--from-card", str(path)])


@pytest.fixture
def again(trained, demo):
    """Asks whether the run of the card can be had again, with some settings or data changed."""
    card = cards.read(trained / "model.h5")

    def again(data=demo, versions=card.versions, **changes):
        config = replace(TINY, **changes)
        states.check_again(card, config, cards.manifest(config, data, data.rows("train")), versions)

    return again


def test_other_data_than_a_card_is_of_are_refused_and_named(again, demo):
    again()
    with pytest.raises(ValueError, match=r"not the data of the card: labels_checksum \w+ \(now \w+\); get those"):
        again(replace(demo, labels=np.roll(demo.labels, 1, axis=0)))
    with pytest.raises(ValueError, match=r"not the data of the card: checksum  \(now abc\)"):
        again(replace(demo, checksum="abc"))


def test_other_data_that_a_flag_asks_for_are_not_refused(again, demo):
    again(replace(demo, labels=np.roll(demo.labels, 1, axis=0)), task="form")


def test_other_versions_than_a_card_has_are_said(again, capsys):
    again(versions={"keras": "2.0", "commit": "abc"})
    assert "mind: not what the card was made with: keras " in capsys.readouterr().out
