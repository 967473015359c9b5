"""Shapes of beats: their size, how they differ from the usual beat, their wavelets; worked out by hand."""

import warnings

import numpy as np
import pywt
from test_beats import UNKNOWN

import beats


def pulse_windows(samples):
    """Five windows `(5, samples, 1)` of one second with a pulse of rising height in the middle, in millivolt."""
    times = np.linspace(-0.5, 0.5, samples)
    return np.float32(np.arange(1, 6)[:, None, None] * np.exp(-0.5 * (times / 0.05) ** 2)[:, None] + 0.2)


def shape(signals, causal=False):
    """The features of one lead's windows: name -> values."""
    columns = beats.features(np.asarray(signals, "float32"), np.arange(len(signals)) * 100, 100, causal)
    return {
        name.removeprefix("I "): values
        for name, values in zip(beats.feature_names(["I"], causal), columns.T, strict=True)
        if name.startswith("I ")
    }


SQUARE = np.tile([1.0, -1.0], 8)[:, None]  # 1, -1, 1, -1, ... mV


def test_size_and_likeness_of_beats_worked_out_by_hand():
    columns = shape([SQUARE, SQUARE, SQUARE, -SQUARE, 3 * SQUARE + 4])
    assert columns["standard deviation (mV)"].tolist() == [1, 1, 1, 1, 3]
    assert columns["RMS (mV)"].tolist() == [1, 1, 1, 1, 5]  # the last is 7, 1, 7, 1, ...: the root of 25
    assert columns["peak to peak (mV)"].tolist() == [2, 2, 2, 2, 6]
    assert columns["1 - correlation with the usual beat"].tolist() == [0, 0, 0, 2, 0]
    assert columns["difference from the usual beat (mV, RMS)"].tolist() == [0, 0, 0, 2, 2]


def test_looking_only_back_the_usual_beat_is_unknown_for_two_beats_and_then_the_median_of_those_before():
    columns = shape([SQUARE, SQUARE, 2 * SQUARE, 2 * SQUARE, 2 * SQUARE, 2 * SQUARE], causal=True)
    expected = [UNKNOWN, UNKNOWN, 1, 1, 0.5, 0.5]  # against 1, found at beat 2, and 1.5, found at beat 4
    np.testing.assert_allclose(columns["difference from the usual beat (mV, RMS)"], expected)


def test_a_deviation_is_what_is_left_without_the_usual_beat_over_its_size():
    windows = np.float32([SQUARE, SQUARE + 5, SQUARE, -2 * SQUARE])
    deviations = beats.deviations(2 * windows)
    np.testing.assert_allclose(deviations[:3], 0, atol=1e-6)  # heights and levels of the patient are gone
    np.testing.assert_allclose(deviations[3], -3 * SQUARE)


def test_looking_only_back_the_first_two_beats_deviate_from_nothing():
    deviations = beats.deviations(np.float32([SQUARE, -SQUARE, SQUARE, 3 * SQUARE]), causal=True)
    assert not deviations[:2].any()
    assert np.isfinite(deviations).all()


def test_a_flat_window_is_like_nothing_and_unlike_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = shape([SQUARE, SQUARE, 0 * SQUARE + 2])
    unlike = columns.pop("1 - correlation with the usual beat")
    np.testing.assert_array_equal(unlike, [0, 0, UNKNOWN])
    assert columns["RMS (mV)"].tolist() == [1, 1, 2]
    assert all(np.isfinite(values).all() for name, values in columns.items() if not name.startswith("beat "))


def test_wavelets_of_128_samples_are_those_of_pywavelets_and_have_all_of_the_energy():
    signals = pulse_windows(128)
    columns = shape(signals)
    slow = np.stack([columns[f"wavelet {i}, slow (mV)"] for i in range(1, 9)], axis=1)
    centred = signals[..., 0] - signals[..., 0].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(slow, pywt.wavedec(centred, "db4", "periodization", 4)[0], atol=1e-4)
    sizes = {4: 8, 3: 16, 2: 32, 1: 64}
    detail = sum(size * columns[f"wavelets of level {level} (mV, RMS)"] ** 2 for level, size in sizes.items())
    np.testing.assert_allclose((slow**2).sum(axis=1) + detail, (centred**2).sum(axis=1), rtol=1e-4)


def test_a_beat_has_about_the_same_features_at_another_sampling_rate():
    fine, coarse = (shape(pulse_windows(samples)) for samples in (1001, 251))
    for name in fine:
        np.testing.assert_allclose(coarse[name], fine[name], atol=0.01 * 5, err_msg=name)


def test_features_are_float32():
    assert beats.features(pulse_windows(64), np.arange(5), 1).dtype == np.float32


def test_each_lead_has_its_features_in_its_columns():
    small = pulse_windows(128)
    columns = beats.features(np.concatenate([small, 3 * small], axis=2), np.arange(5), 1)
    first, second = (columns[:, start : start + 28] for start in (34, 62))
    in_millivolt = ["mV" in name for name in beats.feature_names(("I", "II"))[34:62]]
    assert sum(in_millivolt) == 4 + 8 + 4  # sizes, slow wavelets, levels of wavelets
    np.testing.assert_allclose(second[:, in_millivolt], 3 * first[:, in_millivolt], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second[:, 3], first[:, 3], rtol=1e-4, atol=1e-5)  # 1 - correlation has no unit
