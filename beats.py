"""Heartbeats within a recording: their classes, R-peaks, windows, and features of rhythm and shape."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pywt
from wfdb import processing

CLASSES = ("N", "S", "V", "F", "Q")

# Annotated symbols that are beats, by class: ANSI/AAMI EC57; de Chazal, O'Dwyer, Reilly 2004, IEEE TBME 51(7).
SYMBOLS = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
AAMI = {symbol: name for name, symbols in SYMBOLS.items() for symbol in symbols}  # "!", a flutter wave, is no beat

# Records of MIT-BIH by patient (de Chazal et al. 2004): DS1 trains and validates, DS2 tests, as published. Paced
# records (102 104 107 217) are in neither. 201 is the same person as 202 of DS2, and so leaves DS1.
# The validation patients have 18 % of the N, 25 % of the S and 16 % of the V of DS1; S come from three of them, so
# that no single patient decides. Left to train on are 208 (nearly all F), 209 (half of all S), 118 (right bundle
# branch block with S, of which DS2 has many) and both records with left bundle branch block.
_NUMBERS = {
    "train": (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 203, 207, 208, 209, 215, 230),
    "validation": (124, 205, 220, 223),
    "test": (100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228)
    + (231, 232, 233, 234),
}
INTER_PATIENT = {split: tuple(map(str, numbers)) for split, numbers in _NUMBERS.items()}
SPLIT_OF = {name: split for split, names in INTER_PATIENT.items() for name in names}
SAME_PATIENT = {"202": "201"}  # record -> the record that its patient is named after

LOWEST_RATE = 60  # Hz, below which the detector cannot work
FLAT = 1e-3  # mV; the smallest QRS complex is a hundred times taller
LEAD_IN = 0.5  # seconds of the first sample before the recording, or the detector misses a beat right at the start
LEAD_OUT = 3  # seconds mirrored behind its end: the last beat is only believed when something comes after it
SEARCH = (0.05, 0.12)  # seconds before and after the detector's mark, which comes early: the R-peak is in there
BASELINE = 0.4  # seconds on either side, of which the median is the level that a peak stands on

GAP = 10  # seconds; a longer interval is one without annotations, as in ventricular flutter, and not from beat to beat
STEADY = 0.01  # s; a rhythm whose intervals usually differ by less is as steady as annotations are exact
FAR = 20.0  # usual differences; more says no more
FAINT = 0.005  # mV; differences under this are noise
LOCAL = 10  # RR intervals of the local mean
NEARBY = 41  # RR intervals of which quantiles and the irregularity are: about half a minute
FEW, MANY = 11, 301  # RR intervals, where half a minute is too long or too short
ALIKE = 0.2  # 1 - correlation, under which a beat has the shape of the usual one
SAME = 0.05  # share of an interval by which the next one may differ and still be as long
PAST = 64  # beats that say what is usual, looking only back: about a minute
RENEWED = 16  # after so many beats, looking only back, is what is usual found anew
POINTS = 128  # of a window before its wavelet transform: so many coefficients at any sampling rate
LEVELS = 4

UNLIKE = "1 - correlation with the usual beat"
DIFFERENCES = tuple(f"difference in fifth {number} (log of usual)" for number in range(1, 6))


def find(signal, sampling_rate):
    """R-peaks of one lead `(samples,)` in millivolt, for recordings without annotations: sample numbers, rising.

    By gqrs of wfdb, which misses far fewer ventricular beats than its xqrs (in ten minutes of MIT-BIH's 208, 2 instead
    of 137 of 1,013 beats); each mark is moved to the largest deflection near it. None for a flat or short lead.

    Raises:
        ValueError: the sampling rate is too low for the detector.
    """
    if sampling_rate < LOWEST_RATE:
        raise ValueError(f"R-peaks are found at {LOWEST_RATE} Hz or more, but {sampling_rate:g} Hz came")
    signal = np.asarray(signal, "float64")
    if len(signal) < BASELINE * sampling_rate or np.ptp(signal) < FLAT:
        return np.zeros(0, int)
    seconds = (LEAD_IN, LEAD_OUT, *SEARCH, BASELINE)
    start, end, before, after, wide = (round(sampling_rate * each) for each in seconds)
    padded = np.pad(np.pad(signal, (start, 0), "edge"), (0, end), "reflect")
    marks = np.array(processing.gqrs_detect(sig=padded, fs=sampling_rate), int) - start
    marks = marks[marks < len(signal)]
    level = np.median(windows(signal, marks, wide, wide + 1), axis=1, keepdims=True)
    deflection = np.abs(windows(signal, marks, before, after + 1) - level)
    return np.unique(np.clip(marks - before + deflection.argmax(axis=1), 0, len(signal) - 1))


def windows(signals, peaks, before, after):
    """The samples around each peak: `(samples, ...)` becomes `(beats, before + after, ...)`.

    A window begins `before` samples ahead of its peak. Beyond the ends of the recording its last samples go on.
    """
    places = np.asarray(peaks, int)[:, None] + np.arange(-before, after)
    return signals[np.clip(places, 0, len(signals) - 1)]


def features(signals, peaks, sampling_rate, causal=False):
    """What the rhythm and the shapes of a recording's beats are like: float32 `(beats, features)`, NaN where unknown.

    Columns are those of `feature_names`. Unknown are intervals beyond the first and last beat or of more than GAP
    seconds, and how like the others a flat window is. Ratios against what is usual for the patient tell early beats
    from those of a fast rhythm.

    Args:
        signals: `(beats, samples, leads)` in millivolt: the windows of all beats of one recording, in order.
        peaks: their R-peaks, in samples.
        sampling_rate: that of `peaks`, which may be another one than that of the signals.
        causal: look only back, for live use: nothing about later beats, and what is usual is that of up to PAST
            beats before, found anew every RENEWED beats.
    """
    shape = _shape(signals, causal)
    rhythm = _rhythm(np.asarray(peaks) / sampling_rate, shape[UNLIKE][:, 0] < ALIKE, causal)
    shape = np.stack(list(shape.values()), axis=-1)
    columns = np.column_stack([*rhythm.values(), shape.reshape(len(shape), shape.shape[1] * shape.shape[2])])
    return np.where(np.isfinite(columns), columns, np.nan).astype("float32")


def deviations(signals, causal=False):
    """What windows `(beats, samples, leads)` of one recording differ by from its usual beat, over that one's size.

    The size is the root mean square of the usual beat. Zeros where, looking only back, nothing is usual yet: what is
    the patient's own is gone, so that a network learns what changes, and not whose heart it is.
    """
    centred = _centred(signals)
    usual = _centred(_usual(centred, causal))
    return np.nan_to_num((centred - usual) / np.maximum(_root_mean_square(usual), FAINT)[:, None])


def feature_names(leads, causal=False):
    """Names, with units, of the columns of `features`: those of the rhythm, then those of each lead."""
    one_beat = np.zeros((1, 2, 1), "float32")
    rhythm = _rhythm(np.zeros(1), np.zeros(1, bool), causal)
    return (*rhythm, *(f"{lead} {name}" for lead in leads for name in _shape(one_beat, causal)))


@np.errstate(divide="ignore", invalid="ignore")
def _rhythm(times, alike, causal):
    """Features of the RR intervals: name -> `(beats,)`.

    Args:
        times: of R-peaks, in seconds `(beats,)`. alike: whether a beat has the usual shape `(beats,)`.
    """
    before = np.diff(times, prepend=np.nan)
    before[(before > GAP) | (before <= 0)] = np.nan
    usual = _usual(before, causal)
    local = _local_mean(before, *((LOCAL, 0) if causal else (LOCAL // 2, LOCAL // 2)))
    overall = _local_mean(before, len(times), 0 if causal else len(times))
    change = np.abs(np.diff(before, prepend=np.nan))
    columns = {
        "RR before (s)": before,
        "RR one beat earlier (s)": _of_beat(before, -1),
        f"mean of {LOCAL} RR (s)": local,
        "RR before / usual RR": before / usual,
        "RR before / mean RR": before / overall,  # tells even where early beats are the usual ones
        f"RR before / mean of {LOCAL} RR": before / local,
        f"RR before / short one of {NEARBY} RR": before / _nearby(before, causal).quantile(0.1),
        f"RR before / long one of {NEARBY} RR": before / _nearby(before, causal).quantile(0.9),
        # An early beat is nothing special in atrial fibrillation. The median does not see single early beats.
        f"irregularity of {NEARBY} RR (log)": np.log(_nearby(change, causal).median() / usual + STEADY),
        "mean heart rate (1/min)": 60 / overall,
        "RR before - usual RR (usual differences)": _unusual(before, usual, causal),
    }
    if not causal:
        after = _of_beat(before, 1)
        columns |= {
            "RR after (s)": after,
            "RR one beat later (s)": _of_beat(before, 2),
            "RR after / usual RR": after / usual,
            "RR after / mean RR": after / overall,
            "RR after / RR before": after / before,
            "RR after - usual RR (usual differences)": _unusual(after, usual, causal),
        }
    return columns | _context(before, alike, causal)


def _context(before, alike, causal):
    """Logarithms of ratios between RR intervals `(beats,)` that stand near each other: name -> `(beats,)`.

    Which interval is long for a patient is asked of those between beats of the usual shape alone: the pause after a
    ventricular beat is not. How many are as long as the one before tells fibrillation from early beats in runs.
    """
    logs = np.log(before)
    between_alike = np.where(alike & np.append(False, alike[:-1]), logs, np.nan)
    changes = np.abs(np.diff(logs, prepend=np.nan))
    nearby = _nearby(logs, causal)
    middle = nearby.median().to_numpy()
    columns = {
        f"log RR before / {kind} of {count} RR of usual beats": logs - _nearby(between_alike, causal, count).quantile(q)
        for count in (NEARBY, MANY)
        for kind, q in (("short", 0.1), ("median", 0.5), ("long", 0.9))
    }
    columns |= {
        f"log spread of {NEARBY} RR": nearby.std(),
        f"log spread of {FEW} RR": _nearby(logs, causal, FEW).std(),
        f"log spread of the middle half of {NEARBY} RR": nearby.quantile(0.75) - nearby.quantile(0.25),
        f"log RR: share of {NEARBY} as the one before": _share_under(SAME, changes, causal, NEARBY),
        f"log RR: share of {FEW} about as the one before": _share_under(2 * SAME, changes, causal, FEW),
        "log RR one beat earlier / median RR": _of_beat(logs, -1) - middle,
        "log RR two beats earlier / median RR": _of_beat(logs, -2) - middle,
        "log RR one beat earlier / RR before": _of_beat(logs, -1) - logs,
        "log RR one / two beats earlier": _of_beat(logs, -1) - _of_beat(logs, -2),
    }
    if not causal:
        columns["log RR one beat later / median RR"] = _of_beat(logs, 2) - middle
        columns["log RR after / RR one beat later"] = _of_beat(logs, 1) - _of_beat(logs, 2)
    return columns


def _unusual(intervals, usual, causal):
    """How far intervals `(beats,)` are from the usual one, in the differences that are usual for this patient.

    A fifth too early is much where the rhythm is steady, and nothing in atrial fibrillation.
    """
    return np.clip((intervals - usual) / np.maximum(_usual(np.abs(intervals - usual), causal), STEADY), -FAR, FAR)


def _of_beat(values, later):
    """For each beat, what `values` `(beats, ...)` has of the beat that comes `later` beats after it; NaN of none."""
    return pd.DataFrame(values).shift(-later).to_numpy().reshape(np.shape(values))


def _local_mean(before, back, ahead):
    """Mean of the `back` intervals up to each beat and the `ahead` next ones, of those that are known `(beats,)`."""
    places = np.arange(len(before))
    first, last = np.maximum(places - back + 1, 0), np.minimum(places + ahead + 1, len(before))
    total, count = (np.append(0, np.cumsum(values)) for values in (np.nan_to_num(before), ~np.isnan(before)))
    return (total[last] - total[first]) / (count[last] - count[first])


def _nearby(values, causal, count=NEARBY):
    """For each beat the known ones of `count` `values` `(beats,)`: around it, or up to it, for statistics of them."""
    return pd.Series(values).rolling(count, center=not causal, min_periods=1)


def _share_under(limit, values, causal, count):
    """For each beat the share of `count` nearby `values` `(beats,)` under `limit`, of those that are known."""
    return _nearby(np.where(np.isnan(values), np.nan, values < limit), causal, count).mean()


@np.errstate(divide="ignore", invalid="ignore")
def _shape(signals, causal):
    """Features of windows `(beats, samples, leads)`: name -> `(beats, leads)`."""
    centred = _centred(signals)
    usual = _centred(_usual(centred, causal))
    deviation = _root_mean_square(centred)
    likeness = np.mean(centred * usual, axis=1) / (deviation * _root_mean_square(usual))
    approximation, *details = pywt.wavedec(_stretch(centred), "db4", "periodization", LEVELS, axis=1)
    columns = {
        "standard deviation (mV)": deviation,
        "RMS (mV)": _root_mean_square(signals),
        "peak to peak (mV)": np.ptp(signals, axis=1),
        UNLIKE: 1 - likeness,
        "difference from the usual beat (mV, RMS)": _root_mean_square(centred - usual),
    }
    columns |= dict(zip(DIFFERENCES, _by_fifths(centred - usual, causal), strict=True))
    neighbours = {"beat before": -1} if causal else {"beat before": -1, "beat after": 1}
    columns |= {
        f"{which}: {name}": _of_beat(columns[name], later)
        for name in (UNLIKE, *DIFFERENCES[1:3])
        for which, later in neighbours.items()
    }
    columns |= {f"wavelet {i + 1}, slow (mV)": approximation[:, i] for i in range(approximation.shape[1])}
    columns |= {f"wavelets of level {LEVELS - i} (mV, RMS)": _root_mean_square(part) for i, part in enumerate(details)}
    return columns


def _by_fifths(differences, causal):
    """How large differences `(beats, samples, leads)` are in each fifth of the window, against what is usual there.

    P wave, QRS complex and T wave change apart: an early atrial beat is like any other but for its P wave.
    """
    for part in np.array_split(differences, 5, axis=1):
        size = _root_mean_square(part) if part.shape[1] else np.zeros(part.shape[::2])
        yield np.log((size + FAINT) / (_usual(size, causal) + FAINT))


def _centred(signals):
    return signals - signals.mean(axis=1, keepdims=True)


def _root_mean_square(signals):
    return np.sqrt(np.mean(np.square(signals), axis=1))


def _stretch(signals):
    """Windows `(beats, samples, leads)` at POINTS equal steps, in straight lines from sample to sample."""
    places = np.linspace(0, signals.shape[1] - 1, POINTS, dtype="float32")
    left = places.astype(int)
    right = np.minimum(left + 1, signals.shape[1] - 1)
    share = (places - left)[:, None]
    return signals[:, left] * (1 - share) + signals[:, right] * share


def _usual(values, causal):
    """For each beat the median of `values` `(beats, ...)`: of the recording, or of the beats before it alone."""
    if not causal:
        return np.broadcast_to(_median(values), values.shape)
    usual = np.full_like(values, np.nan)
    for start, stop in pairwise((2, 4, 8, *range(RENEWED, len(values), RENEWED), len(values))):
        usual[start:stop] = _median(values[max(0, start - PAST) : start])
    return usual


def _median(values):
    """Median over the beats of `(beats, ...)` that are known; NaN where there are none."""
    known = values[np.isfinite(values).all(axis=tuple(range(1, values.ndim)))]
    return np.median(known, axis=0) if len(known) else np.nan
