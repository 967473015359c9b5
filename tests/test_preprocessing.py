"""From a recording to a model's input: filter, leads by name, sampling rate, length, scale, features."""

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


@pytest.mark.parametrize(
    "leads, wanted, chosen",
    [
        (("MLII", "V1"), ("MLII/V5",), [0]),
        (("V5", "MLII"), ("MLII/V5",), [10]),  # the order of preference, not that of the recording
        (("V5", "V2"), ("mlii/v5",), [0]),
        (("V5", "MLII"), ("MLII/V5", "other"), [10, 0]),
        (("V5", "MLII", "V1"), ("other", "MLII"), [0, 10]),
        (("V5", "MLII", "V1"), ("V5/V1", "V5/V1", "other"), [0, 20, 10]),  # each lead is taken once
        (("MLII/V5",), ("MLII/V5",), [0]),  # already chosen, as a Dataset names it
    ],
)
def test_a_wanted_lead_may_be_one_of_several_or_any_other(leads, wanted, chosen):
    assert preprocessing.choose_leads(*numbered(*leads), wanted)[0, 0].tolist() == chosen


@pytest.mark.parametrize(
    "wanted, missing", [(("V1/V6",), "V1/V6"), (("I", "other", "II"), "other"), (("I/II", "I"), "I")]
)
def test_alternatives_and_others_may_be_missing_too(wanted, missing):
    with pytest.raises(ValueError, match=f"needs lead {missing}, but the recording has I, II"):
        preprocessing.choose_leads(*numbered("I", "II"), wanted)


def test_a_lead_named_twice_is_ambiguous_and_refused():
    with pytest.raises(ValueError, match="a lead is named twice in aVR, I, AVR"):
        preprocessing.choose_leads(*numbered("aVR", "I", "AVR"), wanted=("AVR",))


@pytest.mark.parametrize("hertz, left", [(0.05, 0), (0.5, 0.5), (8, 1), (40, 0.5), (150, 0)])
def test_a_band_pass_halves_what_lies_at_its_bounds_and_moves_no_wave(hertz, left):
    before = sine(hertz, 360, seconds=40)
    after = preprocessing.band_pass(before, 360, 0.5, 40)
    assert after.dtype == np.float32
    away_from_ends = slice(10 * 360, -10 * 360)
    np.testing.assert_allclose(after[:, away_from_ends], left * before[:, away_from_ends], atol=0.01)


def test_a_band_pass_sees_each_record_and_lead_alone():
    signals = np.random.default_rng(0).standard_normal((2, 500, 3))
    together = preprocessing.band_pass(signals, 250, 1, 30)
    for record, lead in np.ndindex(2, 3):
        alone = preprocessing.band_pass(signals[record, :, [lead]].T, 250, 1, 30)  # (500, 1)
        np.testing.assert_allclose(together[record, :, [lead]].T, alone, atol=1e-6)


def test_a_recording_that_begins_and_ends_on_a_peak_is_filtered_there_as_anywhere():
    recording = np.cos(2 * np.pi * 2 * np.arange(3601) / 360).reshape(1, -1, 1)  # ten seconds of two hertz
    filtered = preprocessing.band_pass(recording + 2.5, 360, 0.5, 40)
    np.testing.assert_allclose(filtered, recording, atol=0.02)


@pytest.mark.parametrize("samples", [1, 2, 50, 5000])
def test_a_flat_lead_of_any_length_is_zero_after_a_band_pass(samples):
    filtered = preprocessing.band_pass(np.full((samples, 2), [1.3, -500]), 360, 0.5, 40)
    np.testing.assert_allclose(filtered, np.zeros((samples, 2)), atol=1e-9)


@pytest.mark.parametrize("low, high", [(0, 40), (-1, 40), (40, 0.5), (5, 5), (0.5, 180), (float("nan"), 40)])
def test_a_band_that_the_sampling_rate_cannot_hold_is_refused(low, high):
    with pytest.raises(ValueError, match=f"0 < low < high < 180 Hz, .* but low {low:g} and high {high:g} came"):
        preprocessing.band_pass(sine(8, 360), 360, low, high)


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


def test_min_max_goes_from_zero_to_one_in_each_lead_of_each_record():
    signals = np.array([[[1, -2], [3, 0], [2, 2]], [[0, 10], [10, 20], [5, 15]]], "float32")
    scaled = preprocessing.scale(signals, "min-max")
    assert scaled.tolist() == [[[0, 0], [1, 0.5], [0.5, 1]], [[0, 0], [1, 1], [0.5, 0.5]]]


def test_a_z_score_has_zero_mean_and_unit_variance_in_each_lead_of_each_record():
    signals = np.array([[[1, 0], [3, 10]], [[5, -2], [5.5, -4]]], "float32")
    assert preprocessing.scale(signals, "z-score").tolist() == [[[-1, -1], [1, 1]], [[-1, 1], [1, -1]]]


@pytest.mark.parametrize("name", ["min-max", "z-score"])
def test_a_lead_without_signal_is_scaled_to_zeros_beside_one_with_a_single_spike(name):
    flat, spike = np.full(3601, 500.1), np.eye(1, 3601)[0]
    rounding = 1e-8 * (np.arange(3601) % 2)  # as a filter leaves of a flat lead
    scaled = preprocessing.scale(np.stack([flat, rounding, spike], axis=-1)[None].astype("float32"), name)
    assert scaled.dtype == np.float32
    assert not scaled[..., :2].any()
    assert scaled[0, 0, 2] == pytest.approx({"min-max": 1, "z-score": 60}[name], rel=1e-4)  # the square root of 3600


@pytest.mark.parametrize("name", ["min-max", "z-score"])
def test_neither_gain_nor_offset_of_the_recorder_changes_what_is_scaled(hypothesis, name):
    numbers = hypothesis.strategies.floats
    signals = np.random.default_rng(0).standard_normal((2, 50, 3)).astype("float32")

    @hypothesis.given(numbers(0.01, 100), numbers(-5, 5))
    def holds(gain, offset):
        other = (gain * signals + offset).astype("float32")
        np.testing.assert_allclose(preprocessing.scale(other, name), preprocessing.scale(signals, name), atol=1e-3)

    holds()


def test_an_unknown_scaling_is_refused_with_a_list():
    with pytest.raises(ValueError, match="no scaling 'robust'; there are: none, min-max, z-score"):
        preprocessing.scale(sine(8, 360), "robust")


def test_unknown_features_become_the_training_medians_and_known_ones_stay():
    features = np.array([[np.nan, 1], [40, np.nan], [70, 0]], "float32")
    filled = preprocessing.fill_features(features, defaults=(62.0, 0.5))
    assert filled.tolist() == [[62, 1], [40, 0.5], [70, 0]]
    assert filled.dtype == np.float32


def test_no_features_stay_none():
    assert preprocessing.fill_features(np.zeros((3, 0), "float32"), defaults=()).shape == (3, 0)


CARD = SimpleNamespace(leads=("I", "II"), sampling_rate=100, samples=3, scaling="none")


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


def test_what_the_model_does_not_see_has_no_part_in_its_scale():
    signals, leads = np.array([[[4, 9], [6, 9], [8, 9], [100, 9]]]), ("I", "II")
    prepared = preprocessing.prepare(signals, leads, 100, SimpleNamespace(**{**vars(CARD), "scaling": "min-max"}))
    assert prepared.tolist() == [[[0, 0], [0.5, 0], [1, 0]]]


def test_integers_and_double_precision_become_float32_even_where_nothing_else_is_to_do():
    signals, leads = numbered("I", "II")
    for kind in ("float64", "int16"):
        assert preprocessing.prepare(signals.astype(kind), leads, 100, CARD).dtype == np.float32
