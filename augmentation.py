"""Changes of training signals that keep what their labels say, by name."""

from typing import NamedTuple

import numpy as np

NOISE = 0.05  # mV, the largest standard deviation: as much as tense muscles give
WANDER = 0.2  # mV, the largest drift from the baseline
WANDER_FREQUENCIES = (0.05, 0.5)  # Hz, from slow drift to breathing
WANDER_SINUSOIDS = 3  # a record; more look no less regular
SHIFT = 0.25  # s to either side, about a third of a beat
WARP = 0.1  # largest change of speed: 70 beats a minute become 63 to 77
DROPOUT = 0.1  # probability that a lead is lost
UNPLUGGED = 0.5  # probability that a record loses neighbouring leads
GAIN = 2  # how many times too large or too small, at the most
MIXUP = 0.2  # both parameters of the Beta distribution; the smaller, the less is mixed


class Batch(NamedTuple):
    """Training records side by side.

    Attributes:
        signals: float32 `(batch, samples, leads)` in millivolt.
        features: float32 `(batch, features)`; may hold NaN for unknown and may have no columns.
        labels: float32 `(batch, classes)`.
    """

    signals: np.ndarray
    features: np.ndarray
    labels: np.ndarray


def noise(batch, rng, sampling_rate):
    """Add white noise, of a different strength to each record."""
    deviation = rng.uniform(0, NOISE, (len(batch.signals), 1, 1)).astype("float32")
    return batch._replace(signals=batch.signals + deviation * rng.standard_normal(batch.signals.shape, "float32"))


def baseline_wander(batch, rng, sampling_rate):
    """Add slow sinusoids, the same course in all leads of a record, of a different size in each."""
    records, samples, leads = batch.signals.shape
    times = np.arange(samples)[:, None] / sampling_rate
    frequencies = rng.uniform(*WANDER_FREQUENCIES, (records, 1, WANDER_SINUSOIDS))
    phases = rng.random((records, 1, WANDER_SINUSOIDS))
    course = np.sin(2 * np.pi * (times * frequencies + phases)).mean(axis=-1, keepdims=True)
    sizes = rng.uniform(-WANDER, WANDER, (records, 1, leads))
    return batch._replace(signals=batch.signals + (course * sizes).astype("float32"))


def time_shift(batch, rng, sampling_rate):
    """Move each record by up to a quarter of a second; its first or last sample fills the gap."""
    records, samples, _ = batch.signals.shape
    # Whole samples, so that the shift smooths nothing.
    shifts = np.rint(rng.uniform(-SHIFT, SHIFT, (records, 1)) * sampling_rate)
    return batch._replace(signals=_read_at(batch.signals, np.arange(samples) - shifts))


def time_warp(batch, rng, sampling_rate):
    """Play each record faster or slower about its centre; a faster one is filled with its end samples."""
    records, samples, _ = batch.signals.shape
    speeds = 1 + rng.uniform(-WARP, WARP, (records, 1))
    centre = (samples - 1) / 2
    return batch._replace(signals=_read_at(batch.signals, centre + (np.arange(samples) - centre) * speeds))


def _read_at(signals, positions):
    """Signals at fractional `positions (records, samples)`, by linear interpolation; outside, the end samples."""
    last = signals.shape[1] - 1
    positions = np.clip(positions, 0, last)[:, :, None]
    before = positions.astype(int)
    share = (positions - before).astype("float32")
    left = np.take_along_axis(signals, before, axis=1)
    return left + share * (np.take_along_axis(signals, np.minimum(before + 1, last), axis=1) - left)


def lead_dropout(batch, rng, sampling_rate):
    """Set leads to zero, as when an electrode falls off; a record that would lose every lead loses none."""
    records, _, leads = batch.signals.shape
    lost = rng.random((records, 1, leads)) < DROPOUT
    lost &= ~lost.all(axis=-1, keepdims=True)
    return batch._replace(signals=np.where(lost, np.float32(0), batch.signals))


def leads_unplugged(batch, rng, sampling_rate):
    """Set neighbouring leads of half of the records to zero, any number but all: as when a plug comes off."""
    records, _, leads = batch.signals.shape
    first, count = rng.integers(leads, size=(records, 1)), rng.integers(leads, size=(records, 1))
    count *= rng.random((records, 1)) < UNPLUGGED
    lost = (np.arange(leads) - first) % leads < count  # the last lead's neighbour is the first
    return batch._replace(signals=np.where(lost[:, None], np.float32(0), batch.signals))


def gain(batch, rng, sampling_rate):
    """Multiply each record by a factor from one half to two, as when its gain is not what its file says."""
    factors = GAIN ** rng.uniform(-1, 1, (len(batch.signals), 1, 1))
    return batch._replace(signals=batch.signals * factors.astype("float32"))


def mixup(batch, rng, sampling_rate):
    """Weighted means of pairs of records, labels included (Zhang et al. 2018, arXiv:1710.09412).

    A feature that is unknown in either record of a pair is unknown in their mean.
    """
    shares = rng.beta(MIXUP, MIXUP, len(batch.signals)).astype("float32")
    partners = rng.permutation(len(batch.signals))
    return Batch(*(_mean(values, values[partners], shares) for values in batch))


def _mean(values, others, shares):
    shares = shares.reshape(-1, *[1] * (values.ndim - 1))
    return shares * values + (1 - shares) * others


AUGMENTATIONS = {
    "noise": noise,
    "baseline-wander": baseline_wander,
    "time-shift": time_shift,
    "time-warp": time_warp,
    "lead-dropout": lead_dropout,
    "leads-unplugged": leads_unplugged,
    "gain": gain,
    "mixup": mixup,
}


def mixes(names):
    """Whether one of these augmentations makes a record of several, so that none can be made by itself."""
    return "mixup" in names


def check(names):
    """Raise a ValueError, before any training, if one of `names` is no augmentation."""
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(f"no augmentation {', '.join(map(repr, unknown))}; there are: {', '.join(AUGMENTATIONS)}")


def apply(names, batch, rng, sampling_rate):
    """The Batch after the augmentations `names`, in the order given; `batch` itself stays as it was.

    Args:
        names: keys of `AUGMENTATIONS`.
        batch: a Batch.
        rng: a NumPy Generator; the same state gives the same bits.
        sampling_rate: samples a second.

    Raises:
        ValueError: a name is unknown.
    """
    check(names)
    for name in names:
        batch = AUGMENTATIONS[name](batch, rng, sampling_rate)
    return batch
