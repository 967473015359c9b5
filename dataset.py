"""What a Dataset is, and how one is found by name: `load("ptbxl")` asks `data_ptbxl.py`."""

import importlib
import inspect
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

HERE = Path(__file__).parent
SPLITS = ("train", "validation", "test")
PLAUSIBLE_RANGE = 30.0  # mV from peak to peak; the tallest QRS complexes of hypertrophy stay under 10


class FineLabels(NamedTuple):
    """What the classes of a task are made of, and what else is known of the records.

    Attributes:
        labels: 0 or 1, `(records, fine classes)`.
        classes: names of its columns.
        membership: 0 or 1, `(fine classes, classes)`: which class a fine one belongs to, if any.
    """

    labels: np.ndarray
    classes: tuple
    membership: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Records of one database and one task, checked once: whatever holds a Dataset may rely on it.

    Attributes:
        signals: float32 `(records, samples, leads)` in millivolt: an array, a memory map or `records.Signals`.
        labels: 0 or 1, `(records, classes)`; exactly one 1 a row unless `multilabel`.
        classes: names of the columns of `labels`.
        leads: names of the last axis of `signals`.
        sampling_rate: samples a second.
        groups: the patient of each record `(records,)`.
        split: "train", "validation" or "test" of each record `(records,)`.
        records: a row each: `name`, and whatever else identifies the record.
        features: float32 `(records, features)`, NaN where unknown; may have no columns.
        feature_names: names of the columns of `features`, with units.
        fine: FineLabels of the same records, for training; or None.
        multilabel: whether a record may have several classes, or none.
        leaks_patients: True only for a protocol that openly has one patient in several splits.
        cutting: how records were cut from recordings, if they were, so that others can be cut alike: `band` and
            `window` in hertz and seconds, `causal`, `deviation`; see `data_mitbih.load`.
        task, source, licence, checksum: what the labels are, which data and version, under which licence, and the
            identity of the files that were read: for the card.
        notes: lines for the person who trains: what was left out, and how many.

    Raises:
        ValueError: lengths disagree, labels are not 0 or 1, samples are not finite, a lead or class is named
            twice, a split is unknown or empty, or a patient stands in two splits.
    """

    signals: np.ndarray
    labels: np.ndarray
    classes: tuple
    leads: tuple
    sampling_rate: float
    groups: np.ndarray
    split: np.ndarray
    records: pd.DataFrame
    features: np.ndarray = None
    feature_names: tuple = ()
    fine: FineLabels = None
    multilabel: bool = True
    leaks_patients: bool = False
    cutting: dict = field(default_factory=dict)
    task: str = ""
    source: str = ""
    licence: str = ""
    checksum: str = ""
    notes: tuple = ()

    def __post_init__(self):
        if self.features is None:
            object.__setattr__(self, "features", np.zeros((len(self.labels), 0), "float32"))
        _check_shapes(self)
        _check_names(self)
        _check_labels(self)
        _check_signals(self)
        _check_split(self)

    def rows(self, split):
        """Positions of the records of a split `(n,)`, in order."""
        return np.flatnonzero(self.split == split)

    def take(self, rows, split):
        """The Dataset of some rows, divided anew: `split` is that of each of them."""
        lazy = not isinstance(self.signals, np.ndarray)
        return replace(
            self,
            signals=self.signals.take(rows) if lazy else self.signals[rows],
            labels=self.labels[rows],
            features=self.features[rows],
            fine=self.fine and self.fine._replace(labels=self.fine.labels[rows]),
            groups=self.groups[rows],
            split=split,
            records=self.records.iloc[rows].reset_index(drop=True),
        )

    def grouped_folds(self, count):
        """Yield `count` Datasets of the records that are not in the test split: each patient tests in one of them.

        The next fold validates. Folds are alike in the rarest class of their records. Made recordings only train.

        Raises:
            ValueError: patients stand in several splits, or are too few.
        """
        if self.leaks_patients:
            raise ValueError(f"this protocol of {self.source} mixes patients: folds of patients need another one")
        rows = np.flatnonzero(self.split != "test")
        recorded = self.records.get("rhythm", pd.Series(0, self.records.index)).to_numpy() == 0
        patients = len(set(self.groups[rows]))
        if patients < count:
            raise ValueError(f"{count} folds came, but there are {patients} patients to divide")
        rarity = 1 / np.maximum(self.labels[rows].sum(axis=0), 1)
        divided = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        fold = np.empty(len(rows), int)
        for number, (_, members) in enumerate(
            divided.split(rows, np.argmax(self.labels[rows] * rarity, axis=1), self.groups[rows])
        ):
            fold[members] = number
        for number in range(count):
            split = np.select([fold == number, fold == (number + 1) % count], ["test", "validation"], "train")
            kept = (split == "train") | recorded[rows]
            yield self.take(rows[kept], split[kept])

    def __str__(self):
        counts = " ".join(
            f"{name} {int(count):,}" for name, count in zip(self.classes, self.labels.sum(0), strict=True)
        )
        splits = ", ".join(f"{np.sum(self.split == split):,} {split}" for split in SPLITS)
        lines = [
            f"{self.source} {self.task}: {len(self.labels):,} records of {len(set(self.groups)):,} patients ({splits})",
            f"  {self.signals.shape[1]} samples at {self.sampling_rate:g} Hz, leads {' '.join(self.leads)}",
            f"  {counts}",
            *(f"  {note}" for note in self.notes),
        ]
        if self.leaks_patients:
            lines.append("  mind: patients stand in several splits, so scores are not those for new patients")
        return "\n".join(lines)


def _check_shapes(data):
    expected = {
        "signals": (len(data.labels), None, len(data.leads)),
        "labels": (len(data.labels), len(data.classes)),
        "features": (len(data.labels), len(data.feature_names)),
        "groups": (len(data.labels),),
        "split": (len(data.labels),),
    }
    for name, shape in expected.items():
        came = getattr(data, name).shape
        if len(came) != len(shape) or any(size not in (None, got) for got, size in zip(came, shape, strict=True)):
            raise ValueError(f"{name} has the shape {came}, but labels, classes and leads ask for {shape}")
    if len(data.records) != len(data.labels):
        raise ValueError(f"records has {len(data.records)} rows for {len(data.labels)} labels")


def _check_names(data):
    for what in ("leads", "classes", "feature_names"):
        names = list(getattr(data, what))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{what} must have different names, but {', '.join(twice)} came more than once in {names}")


def _check_labels(data):
    if not np.isin(data.labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, but {np.setdiff1d(data.labels, (0, 1))[:5]} came")
    if not data.multilabel and not (data.labels.sum(axis=1) == 1).all():
        raise ValueError("a task that is not multilabel needs exactly one class a record")


def _check_signals(data, chunk=1024):
    """Samples are finite; a lazy `records.Signals` holds integers and was checked when its cache was built."""
    if isinstance(data.signals, np.ndarray):
        for start in range(0, len(data.signals), chunk):
            finite = np.isfinite(data.signals[start : start + chunk]).all(axis=(1, 2))
            if not finite.all():
                name = data.records["name"].iloc[start + int(np.argmin(finite))]
                raise ValueError(f"record {name} has samples that are not finite; leave it out or mend it")
    warn_if_implausible(data.signals[:: max(1, len(data.signals) // 256)])


def warn_if_implausible(signals):
    """Warn when `(records, samples, leads)` cannot be millivolts: most records span more than 30 mV."""
    span = np.median(np.ptp(signals, axis=1).max(axis=-1)) if len(signals) else 0
    if span > PLAUSIBLE_RANGE:
        warnings.warn(
            f"signals span {span:.0f} mV in the median record, where an ECG spans 1 to 5: "
            "are they microvolts or raw units? Divide microvolts by 1000.",
            stacklevel=2,
        )


def _check_split(data):
    unknown = sorted(set(data.split) - set(SPLITS))
    if unknown:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, but {unknown} came")
    for split in SPLITS:
        if not (data.split == split).any():
            raise ValueError(
                f"no record is in the {split} split of {data.source or 'these data'}; all three are needed"
            )
    if not data.leaks_patients:
        splits = pd.Series(data.split).groupby(np.asarray(data.groups), dropna=False).nunique()
        if (splits > 1).any():
            raise ValueError(f"patient {splits.idxmax()} stands in more than one split, so scores would be too good")


def spread(keys, seed=0):
    """A number between 0 and 1 for each key `(rows,)`, random but even within equal keys.

    The rows with a number under 0.2 are a stratified fifth, drawn at random. Unlike scikit-learn's draw, this takes a
    key that comes once.
    """
    shuffled = pd.Series(keys).sample(frac=1, random_state=seed)
    equal = shuffled.groupby(shuffled)
    return ((equal.cumcount() + 0.5) / equal.transform("size")).sort_index().to_numpy()


def readers():
    """Names of the datasets there are: one per file `data_<name>.py`."""
    return sorted(path.stem.removeprefix("data_") for path in HERE.glob("data_*.py"))


def folder(name, data_dir=None):
    """Where the files of dataset `name` lie: `data_dir`, else `ECG_DATA/<name>`, else `datasets/<name>`."""
    if data_dir:
        return Path(data_dir)
    return Path(os.environ.get("ECG_DATA") or HERE / "datasets") / name


def load(name, task=None, data_dir=None, **options):
    """The Dataset `name`, read by `data_<name>.load(folder, task, **options)`; `task` defaults to its first.

    A reader may say with `FOLDER` what its database's folder is called, if it is not called as the reader is.

    Raises:
        ValueError: no such dataset, task, or option of this dataset.
    """
    if name not in readers():
        raise ValueError(f"no dataset {name!r}; there are: {', '.join(readers())}")
    reader = importlib.import_module(f"data_{name}")
    task = task or next(iter(reader.TASKS))
    if task not in reader.TASKS:
        raise ValueError(f"dataset {name} has no task {task!r}; it has: {', '.join(reader.TASKS)}")
    takes = list(inspect.signature(reader.load).parameters)[2:]
    for option in options:
        if option not in takes:
            raise ValueError(f"dataset {name} takes no option {option!r}; it takes: {', '.join(takes) or 'none'}")
    return reader.load(folder(getattr(reader, "FOLDER", name), data_dir), task, **options)
