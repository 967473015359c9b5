"""Signals are millivolts of what is indexed, however it is indexed."""

import numpy as np
import pytest

import records

DIGITAL = np.arange(5 * 4 * 3, dtype="int16").reshape(5, 4, 3)


def halves():
    """Five records of four samples and three leads: half of 0 to 59."""
    return records.Signals(DIGITAL, gains=np.full((5, 3), 2), baselines=np.zeros((5, 3)))


def test_signals_look_like_a_float32_array():
    signals = halves()
    assert (signals.shape, signals.ndim, signals.dtype, len(signals)) == ((5, 4, 3), 3, np.float32, 5)
    assert signals[4].dtype == signals[1:3].dtype == np.float32
    assert signals[4, 3].tolist() == [28.5, 29.0, 29.5]


def test_each_record_and_lead_has_its_own_gain_and_baseline():
    digital = np.full((2, 1, 2), 100, "int16")
    signals = records.Signals(digital, gains=[[100, 50], [10, 200]], baselines=[[0, 50], [-100, 0]])
    assert signals[:].tolist() == [[[1.0, 1.0]], [[20.0, 0.5]]]


def test_the_range_of_16_bits_does_not_overflow():
    digital = np.array([[[-32768, 32767]]], "int16")
    signals = records.Signals(digital, gains=[[1, 1]], baselines=[[1000, -1000]])
    assert signals[:].tolist() == [[[-33768.0, 33767.0]]]


@pytest.mark.parametrize(
    "index",
    [
        1,
        -1,
        np.int64(2),
        slice(None),
        slice(4, 0, -2),
        slice(3, 3),
        [4, 0, 0],
        np.array([[0, 1], [3, 2]]),
        np.array([True, False, True, False, False]),
        (0, 1),
        (2, slice(0, 2), 1),
        ([1, 3], slice(None), 0),
        (slice(1, 4), 2),
        (slice(None), slice(None), [2, 0]),
        (..., 1),
        (..., [2, 0]),
        ...,
    ],
    ids=str,
)
def test_an_index_gives_what_it_gives_on_an_array(index):
    expected = DIGITAL.astype("float32")[index] / 2
    came = halves()[index]
    assert came.shape == expected.shape
    assert came.tolist() == expected.tolist()


def test_more_records_than_are_converted_at_once_are_all_converted():
    digital = np.arange(150, dtype="int16").reshape(150, 1, 1)
    signals = records.Signals(digital, gains=np.full((150, 1), 10), baselines=np.full((150, 1), 5))
    np.testing.assert_allclose(signals[:].ravel(), (np.arange(150) - 5) / 10, rtol=1e-6)


def test_a_position_too_far_is_an_index_error_so_that_iteration_ends():
    assert len(list(halves())) == 5
    with pytest.raises(IndexError):
        halves()[5]


def test_rows_are_taken_without_reading_and_can_be_taken_again():
    signals = halves()
    some = signals.take(np.array([True, False, True, False, True])).take([2, 0])
    assert some.shape == (2, 4, 3) and some.digital is signals.digital
    assert some[:].tolist() == signals[[4, 0]].tolist()


def test_numpy_takes_signals_for_an_array():
    assert np.asarray(halves()).tolist() == (DIGITAL / 2).tolist()
    assert np.asarray(halves(), dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match="always a copy"):
        np.array(halves(), copy=False)
