"""A run that was interrupted goes on, to the same bits, and only if it is the same run."""

import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_runs import TINY, command

import card as cards
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


def test_after_kill_9_resume_ends_at_the_same_bits_as_the_uninterrupted_run(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    runs = command(straight), command(killed)
    while not (killed / "log.csv").exists() or len(pd.read_csv(killed / "log.csv")) < 2:
        assert runs[1].poll() is None, runs[1].stdout.read().decode()
        time.sleep(0.05)
    runs[1].send_signal(signal.SIGKILL)
    resumed = command(killed, "--resume")
    for run in (runs[0], resumed):
        output = run.communicate()[0].decode()
        assert run.returncode == 0, output
    pd.testing.assert_frame_equal(pd.read_csv(killed / "log.csv"), pd.read_csv(straight / "log.csv"))
    for one, other in zip(weights(straight), weights(killed), strict=True):
        np.testing.assert_array_equal(one, other)
