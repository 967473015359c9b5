"""Augmentations change signals within their bounds, labels only where they mix, and their input never."""

from types import SimpleNamespace

import numpy as np
import pytest

import augmentation
from augmentation import AUGMENTATIONS, Batch


@pytest.fixture
def seeds(hypothesis):
    return hypothesis.strategies.integers(0, 2**32 - 1)


def ones(records=4, samples=100, leads=3):
    return Batch(
        signals=np.ones((records, samples, leads), "float32"),
        features=np.full((records, 1), 50, "float32"),
        labels=np.eye(records, 2, dtype="float32"),
    )


def ramp():
    """One record of one lead with the samples 0, 1, ... 10."""
    batch = ones(records=1, samples=11, leads=1)
    return batch._replace(signals=np.arange(11, dtype="float32").reshape(1, 11, 1))


def drawing(value):
    """A generator whose uniform numbers are all `value`."""
    return SimpleNamespace(uniform=lambda low, high, size: np.full(size, value, float))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_input_stays_as_it_was_and_shapes_and_types_stay(name):
    batch = ones()
    changed = augmentation.apply([name], batch, np.random.default_rng(0), 100)
    for before, after, expected in zip(batch, changed, ones(), strict=True):
        np.testing.assert_array_equal(before, expected)
        assert (after.shape, after.dtype) == (before.shape, np.dtype("float32"))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_seed_gives_the_same_bits(name):
    first, second = (augmentation.apply([name], ones(), np.random.default_rng(7), 100) for _ in range(2))
    np.testing.assert_array_equal(first.signals, second.signals)


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"mixup"}))
def test_labels_and_features_are_untouched_by_all_but_mixup(name):
    changed = augmentation.apply([name], ones(), np.random.default_rng(0), 100)
    np.testing.assert_array_equal(changed.labels, ones().labels)
    np.testing.assert_array_equal(changed.features, ones().features)


def test_noise_is_at_most_as_strong_as_it_says():
    changed = augmentation.noise(ones(records=50, samples=2000), np.random.default_rng(0), 100)
    deviations = changed.signals.std(axis=1)
    assert 0.045 < deviations.max() < 0.0525  # 0.05 mV, and 5 % for having 2,000 samples only


def test_baseline_wander_stays_within_a_fifth_of_a_millivolt(hypothesis, seeds):
    @hypothesis.given(seeds)
    def holds(seed):
        changed = augmentation.baseline_wander(ones(), np.random.default_rng(seed), 100)
        assert 0 < np.abs(changed.signals - 1).max() <= 0.2 + 1e-6

    holds()


def test_a_shift_by_two_samples_moves_the_record_and_repeats_its_first_sample():
    shifted = augmentation.time_shift(ramp(), drawing(0.2), sampling_rate=10)
    assert shifted.signals.ravel().tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_warp_of_a_tenth_reads_further_from_the_centre_and_holds_the_ends():
    warped = augmentation.time_warp(ramp(), drawing(0.1), sampling_rate=10)
    expected = [0, 0.6, 1.7, 2.8, 3.9, 5, 6.1, 7.2, 8.3, 9.4, 10]
    np.testing.assert_allclose(warped.signals.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("change", [augmentation.time_shift, augmentation.time_warp])
def test_no_shift_and_a_warp_at_unchanged_speed_are_the_identity(change):
    np.testing.assert_array_equal(change(ramp(), drawing(0), sampling_rate=10).signals, ramp().signals)


@pytest.mark.parametrize("name", ["time-shift", "time-warp"])
def test_moving_in_time_makes_no_sample_that_lies_outside_the_record(hypothesis, seeds, name):
    @hypothesis.given(seeds)
    def holds(seed):
        moved = augmentation.apply([name], ramp(), np.random.default_rng(seed), 10)
        assert moved.signals.min() >= 0 and moved.signals.max() <= 10
        assert (np.diff(moved.signals, axis=1) >= 0).all()  # a rising record still rises

    holds()


@pytest.mark.parametrize("leads", [1, 2, 3])
def test_lead_dropout_never_drops_all_leads(hypothesis, seeds, leads):
    @hypothesis.given(seeds)
    def holds(seed):
        changed = augmentation.lead_dropout(ones(records=300, leads=leads), np.random.default_rng(seed), 100)
        assert changed.signals.any(axis=(1, 2)).all()

    holds()


def test_lead_dropout_drops_whole_leads_one_in_ten():
    changed = augmentation.lead_dropout(ones(records=2000, samples=3, leads=12), np.random.default_rng(0), 100)
    assert set(np.unique(changed.signals.sum(axis=1))) == {0, 3}
    assert 1 - changed.signals.mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("leads", [1, 2, 12])
def test_half_of_the_records_lose_neighbouring_leads_and_none_loses_all(leads):
    changed = augmentation.leads_unplugged(ones(records=4000, samples=3, leads=leads), np.random.default_rng(0), 100)
    kept = changed.signals.sum(axis=1) == 3
    np.testing.assert_array_equal(kept, changed.signals.any(axis=1))  # a lead is lost as a whole
    assert (kept != np.roll(kept, 1, axis=1)).sum(axis=1).max() <= 2  # where the lost begin, and where they end
    assert set(kept.sum(axis=1)) == {*range(1, leads + 1)}
    # Of those unplugged, each number from none to all but one is as likely.
    assert 1 - kept.all(axis=1).mean() == pytest.approx(0.5 * (1 - 1 / leads), abs=0.03)


def test_a_gain_of_half_to_twice_is_one_factor_for_all_leads_of_a_record():
    assert augmentation.gain(ones(), drawing(1), 100).signals.ravel().tolist() == [2] * 1200
    changed = augmentation.gain(ones(records=500), np.random.default_rng(0), 100).signals
    assert (changed == changed[:, :1, :1]).all()
    assert 0.5 <= changed.min() < 0.52 and 1.95 < changed.max() <= 2


def test_mixup_with_a_quarter_is_a_quarter_of_the_record_and_three_of_its_partner():
    batch = Batch(
        signals=np.array([[[1.0]], [[5.0]]], "float32"),
        features=np.array([[40, 0], [80, np.nan]], "float32"),
        labels=np.array([[1, 0], [0, 1]], "float32"),
    )
    rng = SimpleNamespace(beta=lambda a, b, size: np.full(size, 0.25), permutation=lambda size: np.array([1, 0]))
    mixed = augmentation.mixup(batch, rng, 100)
    assert mixed.signals.ravel().tolist() == [4.0, 2.0]
    assert mixed.features[:, 0].tolist() == [70, 50]
    assert np.isnan(mixed.features[:, 1]).all()
    assert mixed.labels.tolist() == [[0.25, 0.75], [0.75, 0.25]]


def test_mixed_labels_still_sum_to_one(hypothesis, seeds):
    @hypothesis.given(seeds)
    def holds(seed):
        mixed = augmentation.mixup(ones(records=2), np.random.default_rng(seed), 100)
        np.testing.assert_allclose(mixed.labels.sum(axis=1), 1, rtol=1e-6)

    holds()


def test_augmentations_are_applied_in_the_order_given(monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "double", lambda batch, *_: batch._replace(signals=batch.signals * 2))
    monkeypatch.setitem(AUGMENTATIONS, "add one", lambda batch, *_: batch._replace(signals=batch.signals + 1))
    assert augmentation.apply(["double", "add one"], ones(), None, 100).signals[0, 0, 0] == 3
    assert augmentation.apply(["add one", "double"], ones(), None, 100).signals[0, 0, 0] == 4


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="no augmentation 'nose'; there are: noise, baseline-wander"):
        augmentation.apply(["noise", "nose"], ones(), np.random.default_rng(0), 100)
