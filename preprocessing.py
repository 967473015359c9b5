"""From a recording to a model's input: leads by name, sampling rate, length, features. `prepare` is the one road."""

from fractions import Fraction

import numpy as np
from scipy import signal


def prepare(signals, leads, sampling_rate, card):
    """Recordings as the model of `card` wants them: float32 `(records, samples, leads)` in millivolt.

    Args:
        signals: `(records, any samples, any leads)` in millivolt.
        leads: names of the last axis of `signals`.
        sampling_rate: samples a second of `signals`.
        card: anything with `leads`, `sampling_rate` and `samples`.

    Raises:
        ValueError: a lead that the model needs is missing or ambiguous.
    """
    signals = choose_leads(np.asarray(signals, "float32"), leads, card.leads)
    signals = resample(signals, sampling_rate, card.sampling_rate)
    return fit_length(signals, card.samples)


def choose_leads(signals, leads, wanted):
    """The wanted leads, in the wanted order; names are compared without regard to case (aVR is AVR)."""
    if tuple(leads) == tuple(wanted):
        return signals
    positions = {lead.upper(): position for position, lead in enumerate(leads)}
    if len(positions) < len(leads):
        raise ValueError(f"a lead is named twice in {', '.join(leads)}")
    missing = [lead for lead in wanted if lead.upper() not in positions]
    if missing:
        raise ValueError(f"the model needs lead {', '.join(missing)}, but the recording has {', '.join(leads)}")
    return signals[..., [positions[lead.upper()] for lead in wanted]]


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


def fill_features(features, defaults):
    """Features `(records, features)` with the defaults (training medians, from the card) where they are unknown."""
    return np.where(np.isnan(features), np.asarray(defaults, "float32"), features).astype("float32")
