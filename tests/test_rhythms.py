"""Rhythms made of a recording's beats: whose beats they are, in which order and when."""

import numpy as np
import pytest
from test_data_mitbih import SYMBOLS, of_record, write_record

import data_mitbih
import rhythms

N, S, V = rhythms.NORMAL, rhythms.SUPRAVENTRICULAR, rhythms.VENTRICULAR
MIXED = np.array([N] * 60 + [S] * 10 + [V] * 5 + [N] * 25)
SEEDS = range(20)


def drawn(rhythm, classes=MIXED):
    """Classes of the beats, and intervals, of twenty made recordings."""
    for seed in SEEDS:
        order, intervals = rhythm(classes, np.random.default_rng(seed))
        assert len(order) == len(intervals) >= rhythms.BEATS
        yield classes[order], intervals


def test_in_fibrillation_no_beat_is_supraventricular_and_no_interval_foretells_the_next():
    for classes, intervals in drawn(rhythms.fibrillation):
        assert S not in classes
        logs = np.log(intervals[(classes == N) & (np.roll(classes, 1) == N)])
        assert 0.08 < logs.std() < 0.4  # drawn from 0.1 to 0.35
        assert abs(np.corrcoef(logs[:-1], logs[1:])[0, 1]) < 0.25
        assert intervals.min() >= 0.25


def test_in_fibrillation_ventricular_beats_come_sooner_than_others():
    pairs = [(c, i) for c, i in drawn(rhythms.fibrillation) if np.mean(c == V) > 0.05]
    assert len(pairs) > 3
    assert np.mean([i[c == V].mean() / i[c == N].mean() for c, i in pairs]) == pytest.approx(0.75, abs=0.1)


def test_in_atrial_runs_early_beats_are_shorter_and_from_few_to_nearly_all():
    shares = []
    for classes, intervals in drawn(rhythms.atrial_runs):
        assert set(classes) == {N, S}
        assert np.median(intervals[classes == S]) < 0.9 * np.median(intervals[classes == N])
        shares.append(np.mean(classes == S))
    assert min(shares) < 0.3 and max(shares) > 0.7


def test_after_a_run_comes_a_pause():
    for classes, intervals in drawn(rhythms.atrial_runs):
        after_run = (classes == N) & (np.roll(classes, 1) == S)
        within = (classes == N) & (np.roll(classes, 1) == N)
        if within.sum() > 20:
            assert np.median(intervals[after_run]) > 0.95 * np.median(intervals[within])


@pytest.mark.parametrize("classes, possible", [([N] * 9, 1), ([S] * 9, 0), ([S] * 3 + [N] * 9, 1), ([N, S] * 4, 2)])
def test_what_cannot_be_made_of_these_beats_is_not(classes, possible):
    assert len(list(rhythms.made(np.array(classes), 3))) == 3 * possible


def test_made_recordings_differ_but_are_the_same_the_next_time():
    first, again = (list(rhythms.made(MIXED, 2)) for _ in range(2))
    for (order, times), (order_again, times_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(order, order_again)
        np.testing.assert_array_equal(times, times_again)
        assert (np.diff(times) > 0).all() and times[0] > 0
    assert len({tuple(times[:300]) for _, times in first}) == 4


def test_beats_follow_each_other_as_in_the_recording_and_after_the_last_comes_the_first():
    order, _ = rhythms.fibrillation(np.zeros(100, int), np.random.default_rng(0))
    assert set(np.diff(order)) == {1, -99}


def test_other_rhythms_are_made_of_the_beats_of_training_records_alone(tmp_path):
    for name, symbols in {**SYMBOLS, "101": "NNAANNAANNNN"}.items():
        write_record(tmp_path, name, symbols)
    data, plain = (data_mitbih.load(tmp_path, "beats", rhythms=count) for count in (2, 0))
    made = data.records["rhythm"].to_numpy() > 0
    assert set(data.records["name"][made]) == {f"101 rhythm {number}" for number in (1, 2, 3, 4)}
    assert set(data.groups[made]) == {101} and set(data.split[made]) == {"train"}
    np.testing.assert_array_equal(data.signals[~made], plain.signals)
    np.testing.assert_array_equal(data.features[~made], plain.features)
    assert data.notes[-1] == f"and {made.sum():,} beats of recordings made of training ones, in other rhythms"
    assert data.notes[-2] == plain.notes[-1]  # counts are of recorded beats
    window = {tuple(signal) for signal in plain.signals[of_record(plain, "101"), :, 0].tolist()}
    assert {tuple(signal) for signal in data.signals[made, :, 0].tolist()} <= window
    before = data.feature_names.index("RR before (s)")
    times = data.records["sample"].to_numpy()[of_record(data, "101 rhythm 1")] / 360
    np.testing.assert_allclose(data.features[of_record(data, "101 rhythm 1"), before][1:], np.diff(times), rtol=1e-5)


def test_made_rhythms_train_in_every_fold_but_are_judged_in_none(tmp_path):
    for name in ("100", "101", "106", "124"):
        write_record(tmp_path, name, "NNAANNAANNNN")
    for fold in data_mitbih.load(tmp_path, "beats", rhythms=1).grouped_folds(3):
        made = fold.records["rhythm"].to_numpy() > 0
        assert set(fold.split[made]) <= {"train"}
        assert set(fold.split) == {"train", "validation", "test"}


@pytest.mark.parametrize("options", [{"task": "segments"}, {"task": "beats", "protocol": "random"}])
def test_rhythms_are_refused_where_their_beats_would_be_judged_too(options):
    with pytest.raises(ValueError, match="rhythms are made of the beats of training patients: not for"):
        data_mitbih.load(None, rhythms=1, **options)


def test_fewer_rhythms_than_none_are_refused():
    with pytest.raises(ValueError, match="rhythms must be 0 or more, but -1 came"):
        data_mitbih.load(None, "beats", rhythms=-1)
