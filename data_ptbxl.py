"""PTB-XL: 21,799 twelve-lead records of ten seconds (Wagner et al. 2020, Scientific Data 7, 154).

The folder is laid out as PhysioNet publishes it (versions 1.0.1 to 1.0.3): `ptbxl_database.csv`,
`scp_statements.csv`, and `records100/` or `records500/`. Tasks and folds are those of the benchmark of
Strodthoff et al. (2020, arXiv 2004.13701): folds 1 to 8 train, 9 validates, 10 tests.
"""

import json

import numpy as np
import pandas as pd

import downloads
import records
from dataset import Dataset, FineLabels

URL = "https://physionet.org/files/ptb-xl/1.0.3/"
FILENAMES = {100: "filename_lr", 500: "filename_hr"}  # by sampling rate
NEVER_EMPTY = ["ecg_id", "patient_id", "scp_codes", "strat_fold", *FILENAMES.values()]
COLUMNS = {
    "ptbxl_database.csv": [*NEVER_EMPTY, "age", "sex"],
    "scp_statements.csv": ["diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"],
}
VERSIONS = {21799: "1.0.3", 21837: "1.0.1 or 1.0.2"}  # by number of records
LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SECONDS = 10
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
ORDER = ("normal", "abnormal", *SUPERCLASSES)  # of classes; others come by the alphabet
ONE_CLASS = ("normal", "beats")  # the tasks in which a record is of exactly one class
# Bundle branch blocks, bigeminy and trigeminy, pacemakers: what makes most beats of ten seconds wide or early ones.
ABNORMAL_BEATS = ("CLBBB", "CRBBB", "BIGU", "TRIGU", "PACE")


def grouped(column):
    """A task whose classes are groups of diagnostic statements, named in a column of `scp_statements.csv`."""
    return lambda statements: statements[column][statements["diagnostic"] == 1]


def one_each(*kinds):
    """A task with a class for each statement of some kinds."""
    return lambda statements: pd.Series(
        {code: code for code in statements.index[(statements[list(kinds)] == 1).any(axis=1)]}
    )


def normal(statements):
    """A task whose classes are "normal", for the statement NORM, and "abnormal", for every other diagnosis."""
    diagnoses = statements.index[statements["diagnostic"] == 1]
    return pd.Series(np.where(diagnoses == "NORM", "normal", "abnormal"), diagnoses)


def normal_beats(statements):
    """A task about the beats alone, as in "segments" of MIT-BIH: "abnormal" where most of them are."""
    return pd.Series(np.where(statements.index.isin(ABNORMAL_BEATS), "abnormal", "normal"), statements.index)


TASKS = {  # name -> function from the table of statements to a Series: statement -> class
    "superclass": grouped("diagnostic_class"),
    "subclass": grouped("diagnostic_subclass"),
    "diagnostic": one_each("diagnostic"),
    "form": one_each("form"),
    "rhythm": one_each("rhythm"),
    "statements": one_each("diagnostic", "form", "rhythm"),
    "normal": normal,
    "beats": normal_beats,
}


def load(
    folder,
    task,
    sampling_rate=100,
    minimum_likelihood=0,
    fine_task=None,
    leads=LEADS,
    download=False,
    skip_broken=False,
):
    """PTB-XL as a Dataset; see `dataset.load`.

    Args:
        folder: where the database lies.
        task: a name in TASKS. In "normal", a record is "normal" that has no diagnosis but NORM; in
            "beats", one without a statement that most of its beats are abnormal.
        sampling_rate: 100 or 500.
        minimum_likelihood: statements of a lower likelihood (1 to 100) do not count; 0 is PTB-XL's "unknown"
            and always counts.
        fine_task: another name in TASKS, whose classes come along as finer labels.
        leads: those to read, by name; all twelve when not given.
        download: fetch what is missing from PhysioNet first.
        skip_broken: leave out records whose files are damaged, instead of stopping.

    Raises:
        FileNotFoundError: the folder or a table in it is missing.
        ValueError: an unknown sampling rate or finer task, a table that is not as published, a damaged record.
    """
    if sampling_rate not in FILENAMES:
        raise ValueError(f"PTB-XL has sampling rates 100 and 500 Hz, not {sampling_rate:g}")
    if fine_task not in (None, *TASKS):
        raise ValueError(f"PTB-XL has no task {fine_task!r}; it has: {', '.join(TASKS)}")
    if set(leads) - set(LEADS) or len(set(leads)) < len(leads):
        raise ValueError(f"leads of PTB-XL are {' '.join(LEADS)}, each once, not {' '.join(leads)}")
    if fine_task and task in ONE_CLASS:
        raise ValueError(f"task {task} has one class a record, which finer ones, of which several may be, do not group")
    if download:
        downloads.fetch(URL, folder, lambda published: wanted(published, sampling_rate))
    table, statements = read_tables(folder)
    version = VERSIONS.get(len(table), f"in part ({len(table):,} records)")
    names = table[FILENAMES[sampling_rate]]
    expected = records.Layout(round(SECONDS * sampling_rate), LEADS, float(sampling_rate))
    recordings = records.read(folder, names, version=version, skip_broken=skip_broken, expected=expected)
    labels, classes = labels_of(table["scp_codes"], TASKS[task](statements), minimum_likelihood)
    readable = names.isin(recordings.names).to_numpy()
    if task in ONE_CLASS:
        labels[:, 0] *= 1 - labels[:, 1]  # whatever is abnormal is not normal
    kept = readable & labels.any(axis=1)
    table = table[kept]
    fine = fine_task and fine_labels(table["scp_codes"], statements, task, fine_task, minimum_likelihood)
    notes = [f"{np.sum(readable & ~kept):,} records without a label of this task left out"]
    if recordings.broken:
        notes.append(f"{len(recordings.broken):,} broken records left out:")
        notes.extend(f"  {name}: {reason}" for name, reason in recordings.broken.items())
    signals = recordings.signals.take(np.flatnonzero(kept[readable]))
    return Dataset(
        signals=signals if tuple(leads) == LEADS else signals.of_leads([LEADS.index(lead) for lead in leads]),
        labels=labels[kept],
        classes=classes,
        leads=tuple(leads),
        sampling_rate=sampling_rate,
        groups=table["patient_id"].to_numpy().astype(int),
        split=split_of(table["strat_fold"]),
        records=pd.DataFrame({"name": names[kept], "ecg_id": table["ecg_id"]}).reset_index(drop=True),
        features=features_of(table),
        feature_names=("age (years)", "sex (0 male, 1 female)"),
        fine=fine,
        multilabel=task not in ONE_CLASS,
        task=task,
        source=f"PTB-XL {version}",
        licence="CC BY 4.0",
        checksum=recordings.checksum,
        notes=tuple(notes),
    )


def wanted(published, sampling_rate):
    """The published files that a task at this sampling rate reads."""
    tables = ("LICENSE.txt", "ptbxl_database.csv", "scp_statements.csv")
    return [name for name in published if name in tables or name.startswith(f"records{sampling_rate:g}/")]


def read_tables(folder):
    """The table of records and the table of statements, checked."""
    table, statements = (read_table(folder / name, columns) for name, columns in COLUMNS.items())
    cut = table[NEVER_EMPTY].isna().any(axis=1)
    if cut.any():
        record = table["ecg_id"][cut].iloc[0]
        raise ValueError(f"ptbxl_database.csv in {folder} is cut short at record {record:g}; download it again")
    absent = sorted(set(range(1, 11)) - set(table["strat_fold"]))
    if absent:
        raise ValueError(f"ptbxl_database.csv in {folder} has no record in fold {absent}; the protocol needs 1 to 10")
    return table, statements.set_index(statements.columns[0])


def read_table(path, columns):
    """A published CSV file, which must have these columns."""
    if not path.exists():
        raise FileNotFoundError(
            f"no {path.name} in {path.parent}; get PTB-XL with: python training.py --dataset ptbxl --download "
            f"(half a gigabyte at 100 Hz, from {URL}), or name its folder with --data-dir or ECG_DATA"
        )
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # empty, or cut short in the middle of a text
        raise ValueError(f"{path} cannot be read as CSV ({error}); download it again") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}; download it again")
    return table


def labels_of(scp_codes, class_of, minimum_likelihood=0):
    """Labels `(records, classes)` and the classes, from texts such as `{'NORM': 80.0, 'SR': 0.0}`."""
    classes = sorted_classes(class_of)
    column = {code: classes.index(name) for code, name in class_of.items()}
    labels = np.zeros((len(scp_codes), len(classes)), "float32")
    for row, text in enumerate(scp_codes):
        try:
            codes = json.loads(text.replace("'", '"'))
        except json.JSONDecodeError as error:
            raise ValueError(f"row {row + 1} has the scp_codes {text!r}, which are no dict: {error}") from error
        for code, likelihood in codes.items():
            if code in column and (likelihood == 0 or likelihood >= minimum_likelihood):
                labels[row, column[code]] = 1
    return labels, classes


def fine_labels(scp_codes, statements, task, fine_task, minimum_likelihood=0):
    """FineLabels of a finer task, each class a member of those of `task` that share a statement with it."""
    class_of, fine_of = TASKS[task](statements), TASKS[fine_task](statements)
    classes = sorted_classes(class_of)
    labels, fine_classes = labels_of(scp_codes, fine_of, minimum_likelihood)
    membership = np.zeros((len(fine_classes), len(classes)), "float32")
    for code, name in fine_of.items():
        if code in class_of:
            membership[fine_classes.index(name), classes.index(class_of[code])] = 1
    return FineLabels(labels, fine_classes, membership)


def sorted_classes(class_of):
    """Names of the classes: those of ORDER first, in that order, others by the alphabet."""
    return tuple(sorted(set(class_of), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)))


def features_of(table):
    """Age in years and sex, float32 `(records, 2)`, NaN where unknown; 300 is PTB-XL's code for an age over 89."""
    age = table["age"].where(table["age"] != 300, 90)
    return np.stack([age, table["sex"]], axis=1).astype("float32")


def split_of(folds):
    """Fold 9 validates and 10 tests, as the database's authors recommend."""
    return np.select([folds == 10, folds == 9], ["test", "validation"], "train")
