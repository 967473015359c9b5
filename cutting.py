"""Beats and segments cut from whole recordings: leads, sampling rate, band-pass, then windows."""

from typing import NamedTuple

import numpy as np

import beats
import preprocessing

SECONDS = 10  # of a segment


class Cutting(NamedTuple):
    """What is cut from recordings.

    Attributes:
        task: "beats" or "segments".
        sampling_rate: samples a second that recordings are resampled to.
        leads: as `preprocessing.choose_leads` takes them.
        window: seconds of a beat before and after its R-peak.
        band: lowest and highest frequency of a band-pass, in hertz; () for none.
        causal: features of a beat, and what is usual for a recording, look only back.
        deviation: beats are what they differ by from their recording's usual one; see `beats.deviations`.
    """

    task: str
    sampling_rate: float
    leads: tuple
    window: tuple = ()
    band: tuple = ()
    causal: bool = False
    deviation: bool = False

    @classmethod
    def of(cls, card):
        """What the model of a card was trained on."""
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in card.cutting.items()}
        return cls(sampling_rate=card.sampling_rate, leads=card.leads, **settings)

    def for_card(self):
        """What a card does not say anyway, as a dict."""
        return {name: value for name, value in self._asdict().items() if name not in ("sampling_rate", "leads")}

    def checked(self):
        """Itself, if all is in range.

        Raises:
            ValueError: what is out of range.
        """
        if not self.sampling_rate > 0 or not self.leads:
            raise ValueError(f"a positive sampling rate and leads are needed: {self.sampling_rate:g}, {self.leads}")
        window = self.window
        if len(window) != 2 or min(window) < 0 or sum(window) > SECONDS or sum(self.window_samples()) < 2:
            raise ValueError(
                f"window must be seconds before and after the R-peak, in all {SECONDS} at most, not {window}"
            )
        if len(self.band) not in (0, 2):
            raise ValueError(f"band must be the lowest and the highest frequency, or nothing, not {self.band}")
        if self.band:
            preprocessing.band_pass(np.zeros((1, 1)), self.sampling_rate, *self.band)  # raises on wrong bounds
        return self

    def window_samples(self):
        """Samples of a window before and after the R-peak."""
        return [round(seconds * self.sampling_rate) for seconds in self.window]


def signals_of(record, cutting):
    """The wanted leads of a whole Record, float32 `(samples, leads)` in millivolt, resampled, then filtered.

    Raises:
        ValueError: a lead is missing, or constant.
    """
    signals = preprocessing.choose_leads(record.millivolts(), record.layout.leads, cutting.leads)
    for lead, spread in zip(cutting.leads, np.ptp(signals, axis=0), strict=True):
        if spread < preprocessing.FLAT:
            raise ValueError(f"lead {lead} is constant")
    signals = preprocessing.resample(signals[None], record.layout.sampling_rate, cutting.sampling_rate)[0]
    return preprocessing.band_pass(signals, cutting.sampling_rate, *cutting.band) if cutting.band else signals


def cut_beats(record, peaks, cutting):
    """Windows `(beats, samples, leads)`, or their deviations, and features `(beats, features)` of a Record's beats.

    Args:
        peaks: their R-peaks, in samples of the record.
    """
    return compare_beats(windows_of(record, peaks, cutting), peaks, record.layout.sampling_rate, cutting)


def windows_of(record, peaks, cutting):
    """Windows `(beats, samples, leads)` in millivolt around R-peaks, in samples of a whole Record."""
    places = np.round(np.asarray(peaks) * (cutting.sampling_rate / record.layout.sampling_rate)).astype(int)
    return beats.windows(signals_of(record, cutting), places, *cutting.window_samples())


def compare_beats(signals, peaks, sampling_rate, cutting):
    """Windows of all beats of a recording, or their deviations, and the features of the beats among each other.

    Args:
        peaks: their R-peaks, in samples at `sampling_rate`.
    """
    features = beats.features(signals, peaks, sampling_rate, cutting.causal)
    return beats.deviations(signals, cutting.causal) if cutting.deviation else signals, features


def cut_segments(record, cutting):
    """Segments `(segments, samples, leads)` of ten seconds, each sharing half with the next, and their first samples.

    The first samples are those of the record, at its own sampling rate.

    Raises:
        ValueError: the record is shorter than a segment.
    """
    signals, length = signals_of(record, cutting), round(SECONDS * cutting.sampling_rate)
    if len(signals) < length:
        raise ValueError(f"it lasts {len(signals) / cutting.sampling_rate:g} seconds, and a segment needs {SECONDS}")
    starts = np.arange(0, len(signals) - length + 1, length // 2)
    samples = np.round(starts * (record.layout.sampling_rate / cutting.sampling_rate)).astype(int)
    return signals[starts[:, None] + np.arange(length)], samples
