"""From a recording to a model's input: filter, leads by name, sampling rate, length, scale, features.

`prepare` is the one road to a model; `band_pass` comes before it, where beats are cut from whole recordings.
"""

from fractions import Fraction

import numpy as np
from scipy import signal

OTHER = "OTHER"  # a wanted lead: the first of the recording that no other wanted lead is
FLAT = 1e-6  # mV, far below what an electrode picks up: a lead that varies less holds nothing but rounding


def prepare(signals, leads, sampling_rate, card):
    """Recordings as the model of `card` wants them: float32 `(records, samples, leads)`.

    In millivolt, unless the card asks for a scaling.

    Args:
        signals: `(records, any samples, any leads)` in millivolt.
        leads: names of the last axis of `signals`.
        sampling_rate: samples a second of `signals`.
        card: anything with `leads`, `sampling_rate`, `samples` and `scaling`.

    Raises:
        ValueError: a lead that the model needs is missing or ambiguous, or there is no such scaling.
    """
    signals = choose_leads(np.asarray(signals, "float32"), leads, card.leads)
    signals = resample(signals, sampling_rate, card.sampling_rate)
    return scale(fit_length(signals, card.samples), card.scaling)


def choose_leads(signals, leads, wanted):
    """The wanted leads, in the wanted order; names are compared without regard to case (aVR is AVR).

    Args:
        signals: `(..., leads)`.
        leads: names of its last axis.
        wanted: names; "MLII/V5" is MLII or, where there is none, V5; "other" is a lead that no other name takes.

    Raises:
        ValueError: a wanted lead is missing, or a lead of the recording is named twice.
    """
    if tuple(leads) == tuple(wanted):
        return signals
    free = {lead.upper(): position for position, lead in enumerate(leads)}
    if len(free) < len(leads):
        raise ValueError(f"a lead is named twice in {', '.join(leads)}")
    positions = {}
    for place in sorted(range(len(wanted)), key=lambda place: wanted[place].upper() == OTHER):  # names go first
        name = wanted[place].upper()
        alternatives = [name, *(free if name == OTHER else name.split("/"))]  # leads chosen before keep their names
        positions[place] = next((free.pop(lead) for lead in alternatives if lead in free), None)
    missing = [lead for place, lead in enumerate(wanted) if positions[place] is None]
    if missing:
        raise ValueError(f"the model needs lead {', '.join(missing)}, but the recording has {', '.join(leads)}")
    return signals[..., [positions[place] for place in range(len(wanted))]]


def band_pass(signals, sampling_rate, low, high):
    """Whole recordings `(..., samples, leads)` without what is slower than `low` or faster than `high`, both in hertz.

    A Butterworth filter of order two, run forwards and backwards so that no wave is moved: at both bounds half the
    amplitude is left. For recordings, not for beats cut from them: their edges would be filtered as well.

    Args:
        signals: in millivolt, any number of axes before the last two.
        sampling_rate: samples a second.

    Raises:
        ValueError: the bounds do not rise from above zero to below half the sampling rate.
    """
    if not 0 < low < high < sampling_rate / 2:
        raise ValueError(
            f"a band-pass needs 0 < low < high < {sampling_rate / 2:g} Hz, half the sampling rate, "
            f"but low {low:g} and high {high:g} came"
        )
    sections = signal.butter(2, (low, high), "bandpass", fs=sampling_rate, output="sos")
    # Beyond both ends a mirror image of one slowest wave's length, or what there is. On MIT-BIH the ends of a cut then
    # err by a third of what they do with SciPy's default, a half turn about the last sample, even if that is an R peak.
    padding = min(round(sampling_rate / low), np.shape(signals)[-2] - 1)
    return signal.sosfiltfilt(sections, signals, axis=-2, padtype="even", padlen=padding).astype("float32")


def resample(signals, sampling_rate, wanted):
    """Signals at another sampling rate, by a polyphase filter that keeps out aliases."""
    ratio = Fraction(wanted / sampling_rate).limit_denominator(1000)
    if ratio == 1:
        return signals
    # "line" goes on beyond both ends with the slope from first to last sample: with zeros there, both would ring.
    return signal.resample_poly(signals, ratio.numerator, ratio.denominator, axis=1, padtype="line").astype("float32")


def fit_length(signals, samples):
    """Cut or zero-pad `(records, any, leads)` to `(records, samples, leads)`."""
    missing = samples - signals.shape[1]
    if missing <= 0:
        return signals[:, :samples]
    return np.pad(signals, ((0, 0), (0, missing), (0, 0)))


def scale(signals, name):
    """Each lead of each record of `(records, samples, leads)` on a scale of its own; `name` is one of SCALINGS.

    Raises:
        ValueError: no such scaling.
    """
    if name not in SCALINGS:
        raise ValueError(f"no scaling {name!r}; there are: {', '.join(SCALINGS)}")
    return SCALINGS[name](signals)


def min_max(signals):
    """From 0 at the lowest sample of a record's lead to 1 at its highest."""
    lowest = signals.min(axis=1, keepdims=True)
    return _unless_flat(signals - lowest, signals.max(axis=1, keepdims=True) - lowest)


def z_score(signals):
    """Zero mean and unit variance in each lead of each record."""
    centred = signals - signals.mean(axis=1, keepdims=True)
    return _unless_flat(centred, centred.std(axis=1, keepdims=True))


def _unless_flat(signals, spread):
    """Signals divided by their spread `(records, 1, leads)`; zeros for a flat lead, not its rounding made large."""
    return np.where(spread < FLAT, 0, signals / np.maximum(spread, FLAT)).astype("float32")


SCALINGS = {"none": lambda signals: signals, "min-max": min_max, "z-score": z_score}


def fill_features(features, defaults):
    """Features `(records, features)` with the defaults (training medians, from the card) where they are unknown."""
    return np.where(np.isnan(features), np.asarray(defaults, "float32"), features).astype("float32")
