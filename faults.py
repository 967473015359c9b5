"""What goes wrong between a patient and a file, done on purpose: real noise, lost leads, reversed electrodes."""

import numpy as np

import preprocessing
import wfdb_files

NOISES = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle"}  # records of NSTDB

# Leads that follow from I and II, as weights of these two: Einthoven's law and Goldberger's leads.
DERIVED = {"III": (-1, 1), "AVR": (-0.5, -0.5), "AVL": (1, -0.5), "AVF": (-0.5, 1)}

# What a lead becomes when two electrodes are reversed: a sign and the lead that it then is. Others stay, since the
# reference of the chest leads is the mean of all three limbs.
REVERSED = {
    "right and left arm": {
        "I": (-1, "I"),
        "II": (1, "III"),
        "III": (1, "II"),
        "AVR": (1, "AVL"),
        "AVL": (1, "AVR"),
    },
    "right arm and left leg": {
        "I": (-1, "III"),
        "II": (-1, "II"),
        "MLII": (-1, "MLII"),
        "III": (-1, "I"),
        "AVR": (1, "AVF"),
        "AVF": (1, "AVR"),
    },
}


def read_noise(folder, name, sampling_rate):
    """Half an hour of real noise `(samples, 2)` at some sampling rate, one of NOISES.

    From the MIT-BIH Noise Stress Test Database (Moody, Muldrow, Mark 1984, Computers in Cardiology 11).

    Raises:
        FileNotFoundError: the database is not in the folder.
    """
    try:
        record = wfdb_files.read_record(folder, name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no noise {name} in {folder} ({error}); get bw, em and ma from https://physionet.org/files/nstdb/1.0.0/"
        ) from error
    return preprocessing.resample(record.millivolts()[None], record.layout.sampling_rate, sampling_rate)[0]


def add_noise(signals, leads, noise, decibels, rng):
    """Signals `(samples, leads)` with another stretch of the noise in each lead, at a ratio of signal to noise.

    The ratio is that of the two variances, of each lead that is measured; III, AVR, AVL and AVF get the noise that
    follows from that of I and II, as in a device that computes them. An ECG is flat most of the time: by the measure
    of NSTDB's own program, an eighth of the squared height of QRS complexes to the power of the noise, the same
    noise has mostly 5 to 9 dB more.

    Args:
        noise: `(any samples, any channels)`, of which stretches are drawn; it begins again where it ends.
        decibels: 10 dB less is ten times the noise.
        rng: a NumPy Generator.
    """
    starts, channels = rng.integers(noise.shape, size=(len(leads), 2)).T
    drawn = noise[(starts + np.arange(len(signals))[:, None]) % len(noise), channels]
    drawn = drawn - drawn.mean(axis=0)
    sizes = signals.std(axis=0) / np.maximum(drawn.std(axis=0), np.finfo("float32").tiny)
    return signals + derive(drawn * sizes * 10 ** (-decibels / 20), leads).astype("float32")


def derive(signals, leads):
    """Signals `(samples, leads)` whose limb leads follow from I and II, where both are there."""
    if not {"I", "II"} <= set(leads):
        return signals
    measured = signals[:, [leads.index("I"), leads.index("II")]]
    columns = [
        measured @ DERIVED[lead] if lead in DERIVED else column for lead, column in zip(leads, signals.T, strict=True)
    ]
    return np.stack(columns, axis=-1)


def lose(signals, leads, lost):
    """Signals `(samples, leads)` with zeros in the leads that are lost; names that are not there lose nothing."""
    return np.where(np.isin(leads, lost), np.float32(0), signals)


def reverse(signals, leads, electrodes):
    """Signals `(samples, leads)` as they are recorded when two electrodes are reversed, by a name in REVERSED.

    Raises:
        ValueError: a lead is needed that is not there.
    """
    signs, sources = zip(*(REVERSED[electrodes].get(lead, (1, lead)) for lead in leads), strict=True)
    absent = set(sources) - set(leads)
    if absent:
        raise ValueError(f"{electrodes} reversed: that shows lead {', '.join(absent)}, which {', '.join(leads)} lack")
    return signals[:, [leads.index(source) for source in sources]] * np.asarray(signs, signals.dtype)
