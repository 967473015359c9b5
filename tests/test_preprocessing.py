"""From a recording to a model's input: leads by name, sampling rate, length, features."""

from types import SimpleNamespace

import numpy as np
import pytest

import preprocessing


def numbered(*leads):
    """One record of three samples, whose lead i holds 10 i, 10 i + 1, 10 i + 2."""
    return np.array([[[10 * i + sample for i in range(len(leads))] for sample in range(3)]], "float32"), leads


def sine(hertz, sampling_rate, seconds=10):
    """One record `(1, samples, 1)` of a sine."""
    times = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return np.sin(2 * np.pi * hertz * times).astype("float32").reshape(1, -1, 1)


def test_leads_come_in_the_wanted_order_and_others_are_dropped():
    chosen = preprocessing.choose_leads(*numbered("I", "II", "V1"), wanted=("V1", "I"))
    assert chosen.tolist() == [[[20, 0], [21, 1], [22, 2]]]


def test_leads_are_named_in_any_case():
    chosen = preprocessing.choose_leads(*numbered("aVR", "v1"), wanted=("V1", "AVR"))
    assert chosen.tolist() == [[[10, 0], [11, 1], [12, 2]]]


def test_missing_leads_are_named():
    with pytest.raises(ValueError, match="the model needs lead V1, V6, but the recording has I, II"):
        preprocessing.choose_leads(*numbered("I", "II"), wanted=("I", "V1", "V6"))


def test_a_lead_named_twice_is_ambiguous_and_refused():
    with pytest.raises(ValueError, match="a lead is named twice in aVR, I, AVR"):
        preprocessing.choose_leads(*numbered("aVR", "I", "AVR"), wanted=("AVR",))


@pytest.mark.parametrize("before, after", [(500, 100), (360, 100), (100, 500)])
def test_a_sine_at_another_sampling_rate_is_the_same_sine(before, after):
    resampled = preprocessing.resample(sine(7, before), before, after)
    assert resampled.dtype == np.float32
    away_from_ends = slice(after // 2, -after // 2)
    np.testing.assert_allclose(resampled[:, away_from_ends], sine(7, after)[:, away_from_ends], atol=0.005)


def test_what_is_too_fast_for_the_new_rate_is_filtered_out_and_not_folded_down():
    resampled = preprocessing.resample(sine(80, 500), 500, 100)  # above 50 Hz; folded, it would be a sine of 20 Hz
    assert np.abs(resampled[:, 50:-50]).max() < 0.01


@pytest.mark.parametrize("before, after", [(500, 100), (100, 500)])
def test_a_constant_stays_constant_at_both_ends(before, after):
    resampled = preprocessing.resample(np.full((2, 1000, 3), 1.5, "float32"), before, after)
    np.testing.assert_allclose(resampled, np.full((2, 1000 * after // before, 3), 1.5), rtol=1e-3)


def test_the_same_rate_changes_nothing():
    signals, _ = numbered("I")
    assert preprocessing.resample(signals, 100, 100.0) is signals


def test_another_rate_keeps_the_seconds(hypothesis):
    rates = hypothesis.strategies.sampled_from([100, 125, 128, 200, 250, 257, 360, 400, 500, 512, 1000])

    @hypothesis.given(hypothesis.strategies.integers(1, 700), rates, rates)
    def holds(samples, before, after):
        resampled = preprocessing.resample(np.ones((1, samples, 1), "float32"), before, after)
        # The samples of the new rate that lie before the end: those at 0, 1 / after, ... < samples / before.
        assert (resampled.shape[1] - 1) * before < samples * after <= resampled.shape[1] * before

    holds()


def test_a_long_record_is_cut_and_a_short_one_padded_with_zeros():
    signals, _ = numbered("I")
    assert preprocessing.fit_length(signals, 2).ravel().tolist() == [0, 1]
    assert preprocessing.fit_length(signals, 3).ravel().tolist() == [0, 1, 2]
    assert preprocessing.fit_length(signals, 5).ravel().tolist() == [0, 1, 2, 0, 0]


def test_unknown_features_become_the_training_medians_and_known_ones_stay():
    features = np.array([[np.nan, 1], [40, np.nan], [70, 0]], "float32")
    filled = preprocessing.fill_features(features, defaults=(62.0, 0.5))
    assert filled.tolist() == [[62, 1], [40, 0.5], [70, 0]]
    assert filled.dtype == np.float32


def test_no_features_stay_none():
    assert preprocessing.fill_features(np.zeros((3, 0), "float32"), defaults=()).shape == (3, 0)


CARD = SimpleNamespace(leads=("I", "II"), sampling_rate=100, samples=3)


def test_a_recording_as_the_model_wants_it_is_passed_on_without_a_copy():
    signals, leads = numbered("I", "II")
    prepared = preprocessing.prepare(signals, leads, 100, CARD)
    np.testing.assert_array_equal(prepared, signals)
    assert np.shares_memory(prepared, signals)


def test_a_recording_of_other_leads_rate_and_length_becomes_what_the_model_wants():
    ramps = np.arange(10.0).reshape(1, 10, 1) * [1.0, 0.0, 2.0]  # double precision: II rises twice as fast as I
    prepared = preprocessing.prepare(ramps, ("i", "V1", "ii"), 200, CARD)
    assert (prepared.shape, prepared.dtype) == ((1, 3, 2), np.float32)
    np.testing.assert_allclose(prepared[0], [[0, 0], [2, 4], [4, 8]], atol=1e-5)


def test_integers_and_double_precision_become_float32_even_where_nothing_else_is_to_do():
    signals, leads = numbered("I", "II")
    for kind in ("float64", "int16"):
        assert preprocessing.prepare(signals.astype(kind), leads, 100, CARD).dtype == np.float32
