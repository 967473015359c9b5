"""Faults made on purpose: noise has the strength that was asked for, and electrodes obey Einthoven's law."""

import numpy as np
import pytest
from tiny_wfdb import write

import faults

LIMBS = ("I", "II", "III", "AVR", "AVL", "AVF")
CHEST = ("V1", "V2")
LEADS = (*LIMBS, *CHEST)


def ecg(samples=400):
    """Signals `(samples, 8)` of noise whose limb leads obey Einthoven's law."""
    signals = np.random.default_rng(0).standard_normal((samples, len(LEADS))).astype("float32")
    return faults.derive(signals, LEADS)


def lead(signals, name):
    return signals[:, LEADS.index(name)]


def assert_limbs_agree(signals):
    np.testing.assert_allclose(lead(signals, "I") + lead(signals, "III"), lead(signals, "II"), atol=1e-5)
    augmented = sum(lead(signals, name) for name in ("AVR", "AVL", "AVF"))
    np.testing.assert_allclose(augmented, 0, atol=1e-5)


@pytest.fixture
def alternating():
    """Noise of two channels: 1, -1, 1, ... and 2, -2, 2, ..., whose variances are 1 and 4 in any even stretch."""
    return np.outer(np.tile([1, -1], 50), [1, 2]).astype("float32")


def test_noise_at_20_decibels_has_a_tenth_of_the_signals_deviation(alternating):
    signals = np.tile([[5.0], [-1.0]], (10, 1)).astype("float32")  # 2 ± 3: its mean is no part of its strength
    noise = faults.add_noise(signals, ("I",), alternating, 20, np.random.default_rng(0)) - signals
    np.testing.assert_allclose(np.abs(noise), 0.3, rtol=1e-5)


@pytest.mark.parametrize("decibels", [24, 6, 0, -6])
def test_the_ratio_of_variances_is_the_one_asked_for_in_every_measured_lead(decibels):
    signals, noise = ecg(), np.random.default_rng(1).standard_normal((5000, 2)) + 7
    added = faults.add_noise(signals, LEADS, noise, decibels, np.random.default_rng(2)) - signals
    measured = [LEADS.index(name) for name in ("I", "II", *CHEST)]
    ratios = signals.var(axis=0)[measured] / added.var(axis=0)[measured]
    np.testing.assert_allclose(10 * np.log10(ratios), decibels, atol=0.01)
    np.testing.assert_allclose(added.mean(axis=0), 0, atol=1e-5)


def test_leads_get_different_noise_that_obeys_einthovens_law():
    noise = np.random.default_rng(1).standard_normal((5000, 2))
    noisy = faults.add_noise(ecg(), LEADS, noise, 0, np.random.default_rng(2))
    assert_limbs_agree(noisy)
    added = noisy - ecg()
    assert abs(np.corrcoef(lead(added, "V1"), lead(added, "V2"))[0, 1]) < 0.3


def test_noise_that_is_shorter_than_the_recording_begins_again(alternating):
    signals = ecg(1000)[:, -2:]
    noise = faults.add_noise(signals, CHEST, alternating, 0, np.random.default_rng(0)) - signals
    np.testing.assert_allclose(noise[:100], noise[100:200], atol=1e-6)


def test_the_same_seed_gives_the_same_noise_at_every_ratio(alternating):
    weak, strong = (
        faults.add_noise(ecg(), LEADS, alternating, decibels, np.random.default_rng(3)) - ecg() for decibels in (20, 0)
    )
    np.testing.assert_allclose(10 * weak, strong, atol=1e-5)


def test_a_flat_lead_stays_flat(alternating):
    signals = faults.lose(ecg(), LEADS, ("V1",))
    noisy = faults.add_noise(signals, LEADS, alternating, 0, np.random.default_rng(0))
    assert not lead(noisy, "V1").any()


def test_lost_leads_are_zero_and_others_as_they_were():
    signals = ecg()
    lost = faults.lose(signals, LEADS, ("II", "V2", "not there"))
    assert not lead(lost, "II").any() and not lead(lost, "V2").any()
    kept = [LEADS.index(name) for name in LEADS if name not in ("II", "V2")]
    np.testing.assert_array_equal(lost[:, kept], signals[:, kept])


def test_arms_reversed_turn_lead_one_and_exchange_two_with_three():
    signals = np.array([[1, 5, 4, -3, -1.5, 4.5, 7, 8]], "float32")  # AVR -(1 + 5) / 2, AVL 1 - 5 / 2, AVF 5 - 1 / 2
    reversed_arms = faults.reverse(signals, LEADS, "right and left arm")
    assert reversed_arms.tolist() == [[-1, 4, 5, -1.5, -3, 4.5, 7, 8]]


def test_right_arm_and_left_leg_reversed_turn_lead_two_under_either_name():
    assert faults.reverse(np.ones((1, 2)), ("MLII", "V1"), "right arm and left leg").tolist() == [[-1, 1]]
    signals = np.array([[1, 5, 4, -3, -1.5, 4.5, 7, 8]], "float32")
    reversed_leg = faults.reverse(signals, LEADS, "right arm and left leg")
    assert reversed_leg.tolist() == [[-4, -5, -1, 4.5, -1.5, -3, 7, 8]]


@pytest.mark.parametrize("electrodes", faults.REVERSED)
def test_electrodes_reversed_twice_are_as_before_and_once_they_obey_einthovens_law(electrodes):
    signals = ecg()
    once = faults.reverse(signals, LEADS, electrodes)
    assert_limbs_agree(once)
    np.testing.assert_array_equal(faults.reverse(once, LEADS, electrodes), signals)


def test_what_reversed_arms_show_cannot_be_made_of_lead_one_and_two_alone():
    with pytest.raises(ValueError, match="shows lead III, which I, II lack"):
        faults.reverse(np.ones((1, 2)), ("I", "II"), "right and left arm")


def test_noise_is_read_at_the_sampling_rate_that_is_wanted(tmp_path):
    times = np.arange(3600) / 360
    digital = np.round(1000 * np.sin(2 * np.pi * times))[:, None] * [1, 2]
    write(tmp_path, "bw", digital.astype(int), ("noise1", "noise2"), 360)
    noise = faults.read_noise(tmp_path, "bw", 100)
    assert noise.shape == (1000, 2)
    np.testing.assert_allclose(noise[25::100].mean(axis=0), [1, 2], atol=0.02)  # a quarter second: the sine's top


def test_without_the_database_the_error_says_where_it_is_published(tmp_path):
    with pytest.raises(FileNotFoundError, match="no noise em in .*physionet.org/files/nstdb"):
        faults.read_noise(tmp_path, "em", 100)
