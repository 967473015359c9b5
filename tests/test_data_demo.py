"""The synthetic recordings obey the laws of the electrocardiogram and of a fair split."""

import numpy as np
import pytest

import beats
import data_demo


@pytest.fixture(scope="module")
def demo():
    return data_demo.load(None, "superclass", records=400)


def only(data, name):
    """Records whose one class is `name`."""
    return (data.labels.sum(axis=1) == 1) & (data.labels[:, data.classes.index(name)] == 1)


def lead(data, name):
    return data.signals[:, :, data.leads.index(name)]


def test_shape_leads_and_unit_are_those_of_ptbxl(demo):
    assert demo.signals.shape == (400, 1000, 12)
    assert demo.signals.dtype == np.float32
    assert " ".join(demo.leads) == "I II III AVR AVL AVF V1 V2 V3 V4 V5 V6"
    assert 0.5 < np.median(np.ptp(lead(demo, "II"), axis=1)) < 2.5


def test_ten_seconds_at_500_hz_are_5000_samples():
    assert data_demo.load(None, "superclass", records=12, sampling_rate=500).signals.shape == (12, 5000, 12)


def test_limb_leads_obey_einthoven_and_goldberger(demo):
    first, second = lead(demo, "I"), lead(demo, "II")
    np.testing.assert_allclose(lead(demo, "III"), second - first, atol=1e-6)
    np.testing.assert_allclose(lead(demo, "AVR"), -(first + second) / 2, atol=1e-6)
    np.testing.assert_allclose(lead(demo, "AVL"), first - second / 2, atol=1e-6)
    np.testing.assert_allclose(lead(demo, "AVF"), second - first / 2, atol=1e-6)


def test_v1_points_down_and_v5_up_in_normal_records(demo):
    normal = only(demo, "NORM")
    assert np.median(lead(demo, "V1")[normal].min(axis=1)) < -0.3
    assert np.median(lead(demo, "V5")[normal].max(axis=1)) > 0.7


def test_qrs_is_wider_in_conduction_disturbance():
    data = data_demo.load(None, "superclass", records=200, sampling_rate=500)
    slope = np.abs(np.diff(data.signals[:, :, 6:], axis=1)).sum(axis=-1)
    steep = (slope > 0.3 * slope.max(axis=1, keepdims=True)).mean(axis=1)
    assert steep[only(data, "CD")].mean() > 1.2 * steep[only(data, "NORM")].mean()


def test_voltage_is_higher_in_hypertrophy(demo):
    height = lead(demo, "V5").max(axis=1)
    assert height[only(demo, "HYP")].mean() > 1.2 * height[only(demo, "NORM")].mean()


def test_every_record_has_a_class_and_a_normal_one_no_other(demo):
    assert (demo.labels.sum(axis=1) >= 1).all()
    assert (demo.labels[demo.labels[:, 0] == 1].sum(axis=1) == 1).all()
    assert (demo.labels.sum(axis=1) > 1).any()


def test_class_shares_are_about_those_of_ptbxl():
    labels = data_demo.load(None, "superclass", records=1200, sampling_rate=20).labels
    np.testing.assert_allclose(labels.mean(axis=0), [0.44, 0.25, 0.24, 0.22, 0.12], atol=0.04)


def test_patients_with_a_finding_are_older_and_a_few_ages_are_unknown(demo):
    age, normal = demo.features[:, 0], demo.labels[:, 0] == 1
    assert np.nanmean(age[~normal]) > np.nanmean(age[normal]) + 5
    assert 0 < np.isnan(age).mean() < 0.1


def test_some_patients_have_two_records_but_none_stands_in_two_folds(demo):
    folds = demo.records.groupby(demo.groups)["fold"]
    assert folds.size().max() == 2
    assert (folds.nunique() == 1).all()
    assert set(demo.records["fold"]) == set(range(1, 11))
    assert (demo.split[demo.records["fold"] == 10] == "test").all()


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first, again, other = (data_demo.load(None, "superclass", records=12, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.signals, again.signals)
    assert not np.array_equal(first.signals, other.signals)


def test_a_record_is_the_same_however_many_there_are(demo):
    few = data_demo.load(None, "superclass", records=12)
    np.testing.assert_array_equal(few.signals, demo.signals[:12])
    np.testing.assert_array_equal(few.labels, demo.labels[:12])
    np.testing.assert_array_equal(few.features, demo.features[:12])


def test_twelve_records_are_enough_and_eleven_are_refused():
    with pytest.raises(ValueError, match="records=11 is too few .* ask for 12 or more"):
        data_demo.load(None, "superclass", records=11)


def test_a_strip_has_its_r_peaks_where_they_are_said_and_early_beats_come_early():
    signals, peaks, classes = data_demo.strip(seconds=120)
    assert signals.shape == (120 * 360, 2) and set(classes) == {"N", "S", "V"}
    found = beats.find(signals[:, 0], 360)
    assert np.abs(found[:, None] - peaks).min(axis=0).max() <= 18  # 50 ms
    intervals, early = np.diff(peaks), classes[1:] != "N"
    assert intervals[early].max() < intervals[~early].min()
