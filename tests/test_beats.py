"""Heartbeats: which symbols are beats of which class, where they are, and features worked out by hand."""

import warnings

import numpy as np
import pytest
import wfdb
from wfdb import processing

import beats
import wfdb_files


@pytest.mark.parametrize(
    "name, symbols", {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": ["/", "f", "Q"]}.items()
)
def test_symbols_have_the_classes_of_the_aami(name, symbols):
    assert [symbol for symbol, of_class in beats.AAMI.items() if of_class == name] == list(symbols)


@pytest.mark.parametrize("symbol", ["!", "+", "~", "|", "x", "[", "]", '"'])
def test_flutter_waves_rhythm_and_noise_are_no_beats(symbol):
    assert symbol not in beats.AAMI


def test_the_44_records_of_de_chazal_without_201_are_in_one_split_each():
    train, validation, test = beats.INTER_PATIENT.values()
    assert (len(train) + len(validation), len(test)) == (22 - 1, 22)
    assert len({*train, *validation, *test}) == 43
    assert not {"102", "104", "107", "217", "201"} & {*train, *validation, *test}


def ramp(samples=10):
    """Two leads: 0, 1, 2, ... and 100, 101, 102, ..."""
    return np.arange(samples)[:, None] + np.array([0.0, 100.0], "float32")


def test_a_window_begins_before_its_peak_and_ends_before_the_last_sample_counted():
    cut = beats.windows(ramp(), [4, 6], before=2, after=3)
    assert cut[:, :, 0].tolist() == [[2, 3, 4, 5, 6], [4, 5, 6, 7, 8]]
    assert cut[1, :, 1].tolist() == [104, 105, 106, 107, 108]


def test_a_beat_at_the_very_edge_keeps_its_window_which_the_last_samples_fill():
    cut = beats.windows(ramp(), [0, 9], before=2, after=3)
    assert cut[:, :, 0].tolist() == [[0, 0, 0, 1, 2], [7, 8, 9, 9, 9]]


def test_no_peaks_are_no_windows():
    assert beats.windows(ramp(), [], 2, 3).shape == (0, 5, 2)


def pulses(peaks, sampling_rate, height=1.0, seconds=20):
    """One lead: a pulse of 20 ms at each of the samples `peaks`, on a level of 0.3 mV and slow waves."""
    times = np.arange(round(seconds * sampling_rate)) / sampling_rate
    distance = times[:, None] - np.asarray(peaks) / sampling_rate
    return 0.3 + 0.05 * np.sin(times) + height * np.exp(-0.5 * (distance / 0.02) ** 2).sum(axis=1)


@pytest.mark.parametrize("height", [1.0, -1.0])
@pytest.mark.parametrize("sampling_rate", [100, 125, 360, 500, 1000])
def test_r_peaks_are_found_to_the_sample_whether_they_point_up_or_down(sampling_rate, height):
    peaks = np.round(np.arange(0.1, 20, 0.8) * sampling_rate).astype(int)  # the last at 19.3 of 20 s
    found = beats.find(pulses(peaks, sampling_rate, height), sampling_rate)
    assert found.tolist() == peaks.tolist()


@pytest.mark.parametrize("signal", [[], [1.0], np.zeros(3600), np.full(3600, 1.5, "float32"), np.sin(np.arange(20))])
def test_an_empty_a_flat_and_a_short_lead_have_no_r_peaks(signal):
    found = beats.find(np.asarray(signal), 360)
    assert (found.shape, found.dtype.kind) == ((0,), "i")


def test_a_sampling_rate_that_the_detector_cannot_work_at_is_refused():
    with pytest.raises(ValueError, match="found at 60 Hz or more, but 50 Hz came"):
        beats.find(np.zeros(500), 50)


@pytest.mark.real_data
def test_ninety_nine_of_a_hundred_beats_of_record_208_are_found_close_to_their_annotation(mitdb):
    record = wfdb_files.read_record(mitdb, "208")
    annotation = wfdb.rdann(str(mitdb / "208"), "atr")
    lead = (record.digital[:216_000, 0] - record.baselines[0]) / record.gains[0]  # ten minutes, many beats ventricular
    annotated = annotation.sample[np.isin(annotation.symbol, list(beats.AAMI)) & (annotation.sample < len(lead))]
    match = processing.compare_annotations(annotated, beats.find(lead, 360), window_width=54)
    assert min(match.sensitivity, match.positive_predictivity) > 0.99
    apart = np.array(match.matched_test_sample) - np.array(match.matched_ref_sample)
    assert np.mean(np.abs(apart) <= 5) > 0.9  # samples, 14 ms


def rhythm(*seconds, causal=False):
    """The features of beats at these times: name -> values."""
    signals = np.random.default_rng(0).normal(size=(len(seconds), 4, 1)).astype("float32")
    columns = beats.features(signals, np.multiply(seconds, 100), 100, causal)
    return dict(zip(beats.feature_names(["I"], causal), columns.T, strict=True))


EARLY = (0, 1, 2, 3, 3.5, 5, 6)  # beat 4 comes half a second early, and the next one after a pause
UNKNOWN = np.nan


def test_an_early_beat_and_its_pause_stand_out_from_the_usual_rhythm():
    expected = {  # RR intervals are 1, 1, 1, 0.5, 1.5, 1; their median is 1, and so is their mean
        "RR before (s)": [UNKNOWN, 1, 1, 1, 0.5, 1.5, 1],
        "RR one beat earlier (s)": [UNKNOWN, UNKNOWN, 1, 1, 1, 0.5, 1.5],
        "mean of 10 RR (s)": [1, 1, 1, 1, 1, 1, 1],
        "RR before / usual RR": [UNKNOWN, 1, 1, 1, 0.5, 1.5, 1],
        "RR before / mean RR": [UNKNOWN, 1, 1, 1, 0.5, 1.5, 1],
        "RR before / mean of 10 RR": [UNKNOWN, 1, 1, 1, 0.5, 1.5, 1],
        "RR before / short one of 41 RR": [UNKNOWN, *np.divide([1, 1, 1, 0.5, 1.5, 1], 0.75)],  # halfway from 0.5 to 1
        "RR before / long one of 41 RR": [UNKNOWN, *np.divide([1, 1, 1, 0.5, 1.5, 1], 1.25)],
        "irregularity of 41 RR (log)": [np.log(0.51)] * 7,  # changes are 0, 0, 0.5, 1, 0.5
        "mean heart rate (1/min)": [60, 60, 60, 60, 60, 60, 60],
        "RR before - usual RR (usual differences)": [UNKNOWN, 0, 0, 0, -20, 20, 0],  # steady: 20 is as far as it goes
        "RR after (s)": [1, 1, 1, 0.5, 1.5, 1, UNKNOWN],
        "RR one beat later (s)": [1, 1, 0.5, 1.5, 1, UNKNOWN, UNKNOWN],
        "RR after / usual RR": [1, 1, 1, 0.5, 1.5, 1, UNKNOWN],
        "RR after / mean RR": [1, 1, 1, 0.5, 1.5, 1, UNKNOWN],
        "RR after / RR before": [UNKNOWN, 1, 1, 0.5, 3, 2 / 3, UNKNOWN],
        "RR after - usual RR (usual differences)": [0, 0, 0, -20, 20, 0, UNKNOWN],
    }
    columns = rhythm(*EARLY)
    assert list(columns)[: len(expected)] == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-6, err_msg=name)


def test_early_beats_that_are_the_usual_ones_are_told_from_pauses_by_the_mean():
    times = np.cumsum([0, 0.8, 0.8, 2.4, 0.8, 0.8, 2.4, 0.8, 0.8])  # the median is 0.8 s, the mean 1.2 s
    columns = rhythm(*times)
    np.testing.assert_allclose(columns["RR before / usual RR"][1:4], [1, 1, 3])
    np.testing.assert_allclose(columns["RR before / mean RR"][1:4], [2 / 3, 2 / 3, 2], rtol=1e-6)


def test_a_pause_after_a_beat_of_another_shape_is_no_long_interval_of_usual_beats():
    times = np.cumsum([0, 0.8, 0.8, 0.5, 1.1, 0.8, 0.8])  # beat 3 comes early, and beat 4 after a pause
    same = np.tile([1.0, -1.0], 8)[:, None] * np.ones((7, 1, 1), "float32")
    other = same.copy()
    other[3] = np.repeat([1.0, -1.0], 8)[:, None]
    name = "log RR before / long of 41 RR of usual beats"
    for signals, longest in ((same, 0.95), (other, 0.8)):  # of 0.5, 0.8 four times and 1.1, nine tenths are under 0.95
        told = beats.features(signals, times * 100, 100)[:, beats.feature_names(["I"]).index(name)]
        np.testing.assert_allclose(told[1], np.log(0.8 / longest), atol=0.02)


def test_intervals_around_a_beat_are_told_as_logarithms_of_their_ratios():
    told = rhythm(*np.cumsum([0, 1, 1, 0.5, 2, 1]))  # intervals are 1, 1, 0.5, 2, 1; their median is 1
    expected = {
        "log RR one beat earlier / median RR": [UNKNOWN, UNKNOWN, 0, 0, -1, 1],
        "log RR two beats earlier / median RR": [UNKNOWN, UNKNOWN, UNKNOWN, 0, 0, -1],
        "log RR one beat earlier / RR before": [UNKNOWN, UNKNOWN, 0, 1, -2, 1],
        "log RR one / two beats earlier": [UNKNOWN, UNKNOWN, UNKNOWN, 0, -1, 2],
        "log RR one beat later / median RR": [0, -1, 1, 0, UNKNOWN, UNKNOWN],
        "log RR after / RR one beat later": [0, 1, -2, 1, UNKNOWN, UNKNOWN],
    }
    for name, halvings in expected.items():
        np.testing.assert_allclose(told[name], np.log(2) * np.array(halvings), atol=1e-6, err_msg=name)
    assert told["log RR: share of 41 as the one before"].tolist() == [0.25] * 6  # one of four changes is none


def test_what_is_said_of_the_beats_before_and_after_is_what_is_said_of_them():
    signals = np.random.default_rng(0).normal(size=(6, 32, 1)).astype("float32")
    told = dict(zip(beats.feature_names(["I"]), beats.features(signals, np.arange(6), 1).T, strict=True))
    for name in ("1 - correlation with the usual beat", "difference in fifth 3 (log of usual)"):
        np.testing.assert_array_equal(told[f"I beat before: {name}"], [UNKNOWN, *told[f"I {name}"][:-1]])
        np.testing.assert_array_equal(told[f"I beat after: {name}"], [*told[f"I {name}"][1:], UNKNOWN])


def test_an_early_beat_is_nothing_unusual_in_a_rhythm_that_always_changes():
    times = np.cumsum([0, 0.8, 1.2, 0.8, 1.2, 0.8, 1.2])  # the usual interval is 1 s, the usual difference 0.2 s
    unusual = rhythm(*times)["RR before - usual RR (usual differences)"]
    np.testing.assert_allclose(unusual, [UNKNOWN, -1, 1, -1, 1, -1, 1], rtol=1e-5)


def test_a_change_of_one_wave_is_found_in_its_fifth_of_the_window():
    windows = np.tile(np.sin(np.arange(100, dtype="float32"))[:, None], (9, 1, 1))  # nine equal beats
    windows += np.random.default_rng(0).normal(0, 0.1, windows.shape).astype("float32")  # but for noise of 0.1 mV
    windows[4, 20:40] += np.where(np.arange(20) % 2, 1, -1)[:, None]  # ten times the noise: its log is 2.3
    columns = beats.features(windows, np.arange(9), 1)
    names = beats.feature_names(["I"])
    fifths = columns[:, [names.index(f"I difference in fifth {i} (log of usual)") for i in range(1, 6)]]
    assert np.argwhere(fifths > 1.5).tolist() == [[4, 1]]


def test_looking_only_back_the_same_beats_are_compared_with_those_before_them():
    expected = {
        "RR before (s)": [UNKNOWN, 1, 1, 1, 0.5, 1.5, 1],
        "RR one beat earlier (s)": [UNKNOWN, UNKNOWN, 1, 1, 1, 0.5, 1.5],
        "mean of 10 RR (s)": [UNKNOWN, 1, 1, 1, 3.5 / 4, 5 / 5, 6 / 6],
        "RR before / usual RR": [UNKNOWN, UNKNOWN, 1, 1, 0.5, 1.5, 1],  # usual from beat 2 on
        "RR before / mean RR": [UNKNOWN, 1, 1, 1, 0.5 / (3.5 / 4), 1.5, 1],
        "RR before / mean of 10 RR": [UNKNOWN, 1, 1, 1, 0.5 / (3.5 / 4), 1.5, 1],
        "RR before / short one of 41 RR": [UNKNOWN, 1, 1, 1, 0.5 / 0.65, 1.5 / 0.7, 1 / 0.75],
        "RR before / long one of 41 RR": [UNKNOWN, 1, 1, 1, 0.5, 1.5 / 1.3, 1 / 1.25],
        "irregularity of 41 RR (log)": [UNKNOWN, UNKNOWN, *np.log([0.01, 0.01, 0.01, 0.26, 0.51])],
        "mean heart rate (1/min)": [UNKNOWN, 60, 60, 60, 60 * 4 / 3.5, 60, 60],
        "RR before - usual RR (usual differences)": [*[UNKNOWN] * 4, -20, 20, 0],  # usual difference from beat 4 on
    }
    columns = rhythm(*EARLY, causal=True)
    assert list(columns)[: len(expected)] == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-6, err_msg=name)


def test_the_local_mean_is_of_five_intervals_on_either_side_or_of_the_ten_before():
    times = np.cumsum([0, *[1] * 10, *[0.5] * 10])  # beat 10 is the last of the slow ones
    assert rhythm(*times)["mean of 10 RR (s)"][[5, 10, 12, 20]].tolist() == [1, 0.75, np.float32(0.65), 0.5]
    assert rhythm(*times, causal=True)["mean of 10 RR (s)"][[5, 10, 12, 20]].tolist() == [1, 1, np.float32(0.9), 0.5]


def test_looking_only_back_what_is_usual_is_found_anew_every_16_beats():
    times = np.cumsum([0, *[1] * 10, *[0.5] * 30])
    ratios = rhythm(*times, causal=True)["RR before / usual RR"]
    assert ratios[[10, 11, 31]].tolist() == [1, 0.5, 0.5]
    assert ratios[32] == 1  # of the 31 intervals before, 21 are half a second


def test_looking_only_back_what_is_usual_is_that_of_the_last_64_beats():
    times = np.cumsum([0, *[1] * 60, *[0.5] * 60])
    ratios = rhythm(*times, causal=True)["RR before / usual RR"]
    assert ratios[[95, 96]].tolist() == [0.5, 1]  # of the 64 intervals before beat 96, 35 are half a second


def test_early_beats_do_not_make_a_rhythm_irregular_but_changing_from_beat_to_beat_does():
    steady, early = np.full(50, 0.8), np.tile([0.8, 0.8, 0.8, 0.8, 0.5, 1.1, 0.8, 0.8], 6)  # changes of 3 in 8
    changing = 0.8 + 0.1 * np.tile([1, -1], 25)
    middle = [rhythm(*np.cumsum(each))["irregularity of 41 RR (log)"][25] for each in (steady, early, changing)]
    np.testing.assert_allclose(middle, np.log([0.01, 0.01, 0.01 + 0.2 / 0.8]), atol=0.15)


def test_a_stretch_of_more_than_ten_seconds_without_a_beat_is_no_interval():
    columns = rhythm(0, 1, 2, 20, 21, 22)
    assert columns["RR before (s)"][[2, 4]].tolist() == [1, 1]
    assert np.isnan([columns["RR before (s)"][3], columns["RR after (s)"][2]]).all()
    assert columns["mean of 10 RR (s)"].tolist() == [1] * 6
    assert columns["mean heart rate (1/min)"].tolist() == [60] * 6


@pytest.mark.parametrize("causal", [False, True])
def test_where_no_interval_is_known_no_rhythm_is(causal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = rhythm(0, 11, 22, 33, causal=causal)
    assert all(np.isnan(values).all() for name, values in columns.items() if not name.startswith("I "))


def test_a_fast_rhythm_has_the_same_ratios_as_a_slow_one():
    fast, slow = (rhythm(*np.multiply(EARLY, scale)) for scale in (0.5, 1))
    ratios = [name for name in fast if name.startswith("RR") and "/" in name]
    assert len(ratios) == 8
    for name in ratios:
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-6)
    np.testing.assert_allclose(fast["mean heart rate (1/min)"], 120)


def test_of_a_single_beat_no_interval_is_known_and_it_is_its_own_usual_shape():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = rhythm(7)
    known = {name for name, values in columns.items() if np.isfinite(values).all()}
    assert known == {
        name for name in columns if name.startswith("I ") and "beat before" not in name and "beat after" not in name
    }
    assert columns["I difference from the usual beat (mV, RMS)"].tolist() == [0]


def test_of_a_first_beat_looking_only_back_nothing_is_known_but_its_size_and_waves():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = rhythm(7, causal=True)
    unknown = {name for name, values in columns.items() if np.isnan(values).all()}
    assert {name for name in unknown if name.startswith("I ")} == {
        "I 1 - correlation with the usual beat",
        "I difference from the usual beat (mV, RMS)",
        *(f"I difference in fifth {i} (log of usual)" for i in range(1, 6)),
        "I beat before: 1 - correlation with the usual beat",
        *(f"I beat before: difference in fifth {i} (log of usual)" for i in (2, 3)),
    }
    assert len(unknown) == 26 + 10


@pytest.mark.parametrize("causal", [False, True])
def test_no_beats_have_no_features_but_names(causal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns = beats.features(np.zeros((0, 288, 2), "float32"), np.zeros(0, int), 360, causal)
    assert columns.shape == (0, len(beats.feature_names(("MLII", "V1"), causal)))


def test_live_features_of_a_beat_do_not_change_when_more_beats_come(hypothesis):
    @hypothesis.given(hypothesis.strategies.integers(1, 90), hypothesis.strategies.integers(0, 9))
    def holds(count, seed):
        rng = np.random.default_rng(seed)
        signals = rng.normal(size=(100, 6, 2)).astype("float32")
        peaks = np.cumsum(rng.integers(50, 400, 100))
        then, later = (beats.features(signals[:n], peaks[:n], 360, causal=True) for n in (count, 100))
        np.testing.assert_allclose(then, later[:count], rtol=1e-5, atol=1e-6)

    holds()


def test_names_are_different_and_as_many_as_columns_those_of_each_lead_together():
    names = beats.feature_names(("MLII", "V1"))
    assert (len(names), len(set(names))) == (34 + 2 * 28, 90)
    assert [name.split()[0] for name in names[34:]] == ["MLII"] * 28 + ["V1"] * 28
    assert len(beats.feature_names(("MLII",), causal=True)) == 26 + 25
