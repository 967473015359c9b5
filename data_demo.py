"""Synthetic ECG for demonstrations and tests: twelve leads with PTB-XL's classes, or beats in two leads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from dataset import Dataset

TASKS = {"superclass": ("NORM", "MI", "STTC", "CD", "HYP")}
LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SECONDS = 10
FEWEST = 12  # records that hold ten patients, one for each fold
UNKNOWN = 0.03  # share of ages and of sexes that are missing
PATIENT, RECORD, STRIP = 1, 2, 3  # which random stream: one for each patient, for each record and for each strip
STRIP_LEADS = ("MLII", "V1")
EARLY = {"S": 0.08, "V": 0.10}  # shares of early beats from the atria and from a ventricle

# The eight measured leads seen from the heart's dipole (x left, y down, z back), in millivolt:
# Dower, Machado, Osborne 1980, Clinical Cardiology 3(2).
DOWER = np.array(
    [
        (0.632, -0.235, 0.059),  # I
        (0.235, 1.066, -0.132),  # II
        (-0.515, 0.157, -0.917),  # V1
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),  # V6
    ]
)

# Probabilities of MI, STTC, CD, HYP as the first and as a further class of the ill; they give about PTB-XL's shares.
FIRST = (0.30, 0.29, 0.27, 0.14)
FURTHER = (0.20, 0.20, 0.18, 0.09)

# Directions of the dipole that point away from a dead wall.
AWAY_FROM = np.array([(-0.3, 0.0, 0.9), (0.0, -1.0, 0.1)])  # anterior, inferior


@dataclass
class Wave:
    """One Gaussian of a beat: seconds after the R-peak, its standard deviation, its dipole `(3,)`."""

    centre: float
    width: float
    dipole: np.ndarray


# A beat from a ventricle: no P, a wide QRS, and T against it.
VENTRICULAR = {
    "R": Wave(0.0, 0.032, np.array([0.5, 1.5, -0.5])),
    "S": Wave(0.08, 0.034, np.array([-0.3, -0.6, 0.6])),
    "T": Wave(0.29, 0.06, np.array([-0.2, -0.5, 0.2])),
}


def load(folder, task, records=1200, sampling_rate=100, seed=0):
    """A Dataset of made-up recordings; `folder` is not read, and record i is the same however many there are.

    The beat is a sum of Gaussians (McSharry et al. 2003, IEEE TBME 50(3)) of a dipole, which eight leads see.
    Classes change it as the textbook says, by a random severity: faint cases look normal.
    """
    if records < FEWEST:
        raise ValueError(f"records={records} is too few for a patient in each of ten folds; ask for {FEWEST} or more")
    groups = np.arange(records) * 7 // 8  # PTB-XL too has about seven patients to eight records
    patients = [_patient(np.random.default_rng((seed, PATIENT, number))) for number in range(groups[-1] + 1)]
    features, labels, beats = zip(*(patients[number] for number in groups), strict=True)
    streams = (np.random.default_rng((seed, RECORD, number)) for number in range(records))
    fold = groups % 10 + 1
    return Dataset(
        signals=np.stack([_record(beat, sampling_rate, rng) for beat, rng in zip(beats, streams, strict=True)]),
        features=np.stack(features),
        feature_names=("age (years)", "sex (0 male, 1 female)"),
        labels=np.stack(labels),
        classes=TASKS[task],
        leads=LEADS,
        sampling_rate=sampling_rate,
        groups=groups,
        split=np.select([fold <= 8, fold == 9], ["train", "validation"], "test"),
        records=pd.DataFrame({"name": [f"demo-{number:05d}" for number in range(1, records + 1)], "fold": fold}),
        task=task,
        source="synthetic demo ECG",
        licence="MIT (made by this project)",
        notes=("made by a formula, for trying things out: scores on it say nothing about real patients",),
    )


def strip(seconds=60, sampling_rate=360, seed=0):
    """A healthy heart with early beats: `(samples, 2)` of STRIP_LEADS in millivolt, R-peaks, and classes N, S or V.

    R-peaks are samples `(beats,)`, classes letters `(beats,)`.
    """
    rng = np.random.default_rng((seed, STRIP))
    times = np.arange(round(seconds * sampling_rate)) / sampling_rate
    peaks, classes = _early_and_late(seconds, rng)
    beat = _healthy_beat(rng, 0)
    kinds = {"N": beat, "S": beat | {"P": Wave(-0.12, 0.018, beat["P"].dipole * (0.3, -0.8, 1))}, "V": VENTRICULAR}
    dipole = np.zeros((len(times), 3))
    for kind, waves in kinds.items():
        for wave in waves.values():
            centres = peaks[classes == kind] + wave.centre
            heights = np.exp(-0.5 * ((times[:, None] - centres) / wave.width) ** 2).sum(axis=1)
            dipole += heights[:, None] * wave.dipole
    eight = dipole @ DOWER.T + _noise(times, rng.uniform(0.2, 0.35), rng)
    return eight[:, 1:3].astype("float32"), np.round(peaks * sampling_rate).astype(int), classes


def _early_and_late(seconds, rng):
    """Times in seconds and classes of beats: some come early, and the one after a ventricular one comes late."""
    usual, time, kind, found = rng.normal(0.85, 0.08), 0.5, "N", []
    while time < seconds - 0.5:
        found.append((time, kind))
        late = 1.4 if kind == "V" else 1  # the sinus node keeps its time
        kind = "N" if kind != "N" else rng.choice(["N", *EARLY], p=[1 - sum(EARLY.values()), *EARLY.values()])
        time += usual * rng.normal(1, 0.02) * (late if kind == "N" else 0.62)
    times, classes = zip(*found, strict=True)
    return np.array(times), np.array(classes)


def _patient(rng):
    """Features, labels and beat of one patient: the older the likelier ill, women some years later than men."""
    age, sex = np.clip(rng.normal(60, 17), 18, 95).round(), int(rng.integers(2))
    labels = np.zeros(5, "float32")
    if rng.random() < 1 / (1 + np.exp((age - 54 - 6 * sex) / 12)):
        labels[0] = 1
    else:
        labels[1:] = rng.random(4) < FURTHER
        labels[1 + rng.choice(4, p=FIRST)] = 1
    beat = _healthy_beat(rng, sex)
    for change, present in zip(CHANGES, labels[1:], strict=True):
        if present:
            change(beat, rng.uniform(0.05, 1), rng)
    _turn(beat, rng)
    features = np.where(rng.random(2) < UNKNOWN, np.nan, (age, sex)).astype("float32")
    return features, labels, beat


def _healthy_beat(rng, sex):
    """Waves of a normal beat at 60 beats a minute: PR about 160 ms, QRS 90 ms, QT 400 ms."""
    voltage = rng.lognormal(0, 0.2) * (1 - 0.1 * sex)
    wide = rng.normal(1, 0.06)
    recovery = rng.lognormal(0, 0.3)
    return {
        "P": Wave(rng.normal(-0.155, 0.012), 0.022, rng.lognormal(0, 0.25) * np.array([0.09, 0.10, -0.01])),
        "Q": Wave(-0.024 * wide, 0.008 * wide, voltage * np.array([-0.12, -0.02, -0.25])),
        "R": Wave(0.0, 0.012 * wide, voltage * np.array([0.95, 0.75, 0.25])),
        "S": Wave(0.026 * wide, 0.010 * wide, voltage * np.array([-0.10, -0.08, 0.55])),
        "late": Wave(0.062, 0.016, np.zeros(3)),  # only a bundle branch block has it
        "ST": Wave(0.17, 0.050, np.array([0.04, 0.03, -0.03])),
        "T": Wave(0.28, 0.042, recovery * np.array([0.24, 0.18, -0.15])),
    }


def _infarct(beat, severity, rng):
    """MI: a broad Q, a smaller R and a T that all turn away from the dead wall."""
    away = 0.8 * severity * AWAY_FROM[rng.integers(2)]
    beat["Q"].centre -= 0.006 * severity
    beat["Q"].width += 0.006 * severity
    beat["Q"].dipole += 0.55 * away
    beat["R"].dipole += 0.40 * away
    beat["T"].dipole += 0.25 * away


def _disturb(beat, severity, rng):
    """STTC: ST depression with a flat or inverted T, or, in one of four, ST elevation."""
    direction = rng.choice([-1, 1], p=[0.75, 0.25])
    beat["ST"].dipole += direction * severity * np.array([0.16, 0.12, -0.06])
    beat["T"].dipole *= 1 - (1.0 - 0.4 * direction) * severity


def _block(beat, severity, rng):
    """CD: the side behind the blocked bundle branch is late: a wide, notched QRS with T against it."""
    if rng.random() < 0.5:  # right
        beat["late"].dipole += severity * np.array([-0.50, -0.10, -0.60])
        beat["T"].dipole += severity * np.array([0.05, 0.00, 0.25])
        return
    beat["Q"].dipole += severity * np.array([0.25, 0.05, 0.40])  # the septum too is crossed from right to left
    beat["R"].width += 0.006 * severity
    beat["S"].dipole += severity * np.array([0.50, 0.10, 0.10])
    beat["late"].dipole += severity * np.array([0.80, 0.25, 0.50])
    beat["T"].dipole -= severity * np.array([0.45, 0.20, 0.35])


def _thicken(beat, severity, rng):
    """HYP: tall left forces; with strain, ST and T against them, in four of ten."""
    for name in "QRS":
        beat[name].dipole *= 1 + severity
    strain = severity * (rng.random() < 0.4) * np.array([0.35, 0.20, -0.10])
    beat["ST"].dipole -= 0.3 * strain
    beat["T"].dipole -= strain


CHANGES = (_infarct, _disturb, _block, _thicken)  # in the order of the classes after NORM


def _turn(beat, rng):
    """Turn the heart within the chest, in the frontal and the horizontal plane, and each wave a little more."""
    heart = rng.normal(0, 12, 2)
    for wave in beat.values():
        wave.dipole = Rotation.from_euler("zy", heart + rng.normal(0, 10, 2), degrees=True).apply(wave.dipole)


def _record(beat, sampling_rate, rng):
    """Ten seconds of a patient `(samples, 12)`: its beats, the leads that see them, noise and wander."""
    times = np.arange(round(SECONDS * sampling_rate)) / sampling_rate
    breath = rng.uniform(0.2, 0.35)  # Hz
    dipole = _beat_after_beat(beat, times, breath, rng)
    placement = rng.normal(1, 0.05, DOWER.shape)  # electrodes never lie quite where they should
    measured = dipole @ (DOWER * placement).T + _noise(times, breath, rng)
    first, second = measured[:, 0], measured[:, 1]
    # Only eight leads are measured; Einthoven and Goldberger give the others, noise included.
    limbs = (first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2)
    return np.column_stack([*limbs, measured[:, 2:]]).astype("float32")


def _beat_after_beat(beat, times, breath, rng):
    """The dipole over time `(samples, 3)` at a heart rate that follows breathing and, slower, blood pressure."""
    mean = np.clip(rng.normal(74, 14), 50, 110) / 60  # beats a second
    respiratory, slow = (np.sin(2 * np.pi * (hertz * times + rng.random())) for hertz in (breath, 0.1))
    rate = mean * (1 + rng.uniform(0, 0.06) * respiratory + rng.uniform(0, 0.03) * slow)
    beats = rng.random() + np.cumsum(rate) * (times[1] - times[0])  # whole numbers are R-peaks
    dipole = np.zeros((len(times), 3))
    for name, wave in beat.items():
        # Repolarisation shortens with the square root of the beat (Bazett 1920), the rest does not.
        scale = mean**-0.5 if name in ("ST", "T") else 1
        seconds = ((beats - wave.centre * scale * mean + 0.5) % 1 - 0.5) / rate
        dipole += np.exp(-0.5 * (seconds / (wave.width * scale)) ** 2)[:, None] * wave.dipole
    return dipole


def _noise(times, breath, rng):
    """Muscle noise, breathing and drift of the eight measured leads `(samples, 8)` in millivolt."""
    muscle = rng.uniform(0.005, 0.04) * rng.standard_normal((len(times), 8))
    frequencies = np.array([breath, *rng.uniform(0.05, 0.5, 2)])
    waves = np.sin(2 * np.pi * (np.outer(times, frequencies) + rng.random(3)))
    return muscle + waves @ rng.normal(0, 0.04, (3, 8))
