"""Single heartbeats of 187 samples at 125 Hz: the Kaggle files "ECG Heartbeat Categorization".

Kachuee, Fazeli, Sarrafzadeh 2018 (arXiv 1805.00794) cut them from MIT-BIH (five AAMI classes) and from the PTB
Diagnostic ECG Database (normal or abnormal): one lead, each beat scaled to 0 to 1, zeros after its end, then the
number of its class. The files lie in the folder as Kaggle gives them: plain, gzipped or in any zip. Those of MIT-BIH
can be made from the recordings, with a third file, `mitbih_rows.csv`, that says which beat each row is:

    python data_heartbeat.py --from-mitdb FOLDER --out FOLDER
"""

import argparse
import contextlib
import gzip
import hashlib
import os
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

import beats
import preprocessing
import wfdb_files
import writing
from dataset import Dataset, spread

SAMPLES = 187
SAMPLING_RATE = 125
TASKS = {"mitbih": beats.CLASSES, "ptbdb": ("normal", "abnormal")}
FILES = {  # and how many rows are published
    "mitbih": {"mitbih_train.csv": 87_554, "mitbih_test.csv": 21_892},
    "ptbdb": {"ptbdb_normal.csv": 4_046, "ptbdb_abnormal.csv": 10_506},
}
ROWS = "mitbih_rows.csv"
LEADS = {"mitbih": ("MLII/V5",), "ptbdb": ("II",)}  # 102 and 104 of MIT-BIH have V5 and no MLII
PUBLISHED = {"N": (72_471, 18_118), "S": (2_223, 556), "V": (5_788, 1_448), "F": (641, 162), "Q": (6_431, 1_608)}
COMMAND = "python data_heartbeat.py --from-mitdb FOLDER --out"
CHUNK = 4096  # rows parsed at once


def load(folder, task, protocol="random"):
    """The heartbeat files as a Dataset; see `dataset.load`. Signals are 0 to 1 within each beat, not millivolt.

    Args:
        folder: where the files lie.
        task: a name in TASKS.
        protocol: "random" takes `mitbih_test.csv` for the test and a stratified tenth of the rest for validation
            (of `ptbdb`, which has no test file, a stratified fifth tests and a tenth validates); it mixes patients.
            "inter-patient" splits `mitbih` by patient as de Chazal et al. 2004 do, and needs `mitbih_rows.csv`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the task has no such protocol; a file is damaged, or a line is not as published.
    """
    if protocol not in PROTOCOLS[task]:
        raise ValueError(f"task {task} has no protocol {protocol!r}; it has: {', '.join(PROTOCOLS[task])}")
    origins = read_origins(folder) if task == "mitbih" else None
    if protocol == "inter-patient" and origins is None:
        raise ValueError(
            f"protocol inter-patient needs {ROWS}, which says whose beats the rows are, and it is not in {folder}; "
            f"the published files come without it: make all three with: {COMMAND} FOLDER"
        )
    tables = {name: read_table(folder, task, name) for name in FILES[task]}
    table, rows = np.concatenate(list(tables.values())), rows_of(tables, origins)
    split = PROTOCOLS[task][protocol](rows)
    kept = split != ""
    return Dataset(
        signals=table[kept, :SAMPLES, None],
        labels=np.eye(len(TASKS[task]), dtype="float32")[rows["label"][kept]],
        classes=TASKS[task],
        leads=LEADS[task],
        sampling_rate=SAMPLING_RATE,
        groups=rows["patient"].to_numpy()[kept],
        split=split[kept],
        records=rows[kept].drop(columns=["label", "patient"]).reset_index(drop=True),
        multilabel=False,
        leaks_patients=protocol == "random",
        cutting={"task": "heartbeat"},
        task=task,
        source=f"ECG Heartbeat Categorization ({'from Kaggle' if origins is None else 'made from MIT-BIH'})",
        licence="ODC-By 1.0",
        checksum=hashlib.sha256(table).hexdigest(),
        notes=tuple(notes_on(task, tables, origins, kept)),
    )


def notes_on(task, tables, origins, kept):
    """Lines for the person who trains."""
    yield "samples are 0 to 1 within each beat, not millivolt"
    if origins is None:
        yield "whose beats these are is not known: each counts as a patient of its own, so intervals are too narrow"
    if not kept.all():
        yield f"{np.sum(~kept):,} beats left out: paced records, and 201, whose patient is in the test split as 202"
    for name, published in FILES[task].items():
        if len(tables[name]) != published:
            yield f"{name} has {len(tables[name]):,} rows; the published one has {published:,}"


def rows_of(tables, origins):
    """A row for each row of the files: file, row (from 1), label, name, patient and, where known, sample and symbol.

    Raises:
        ValueError: the origins are those of other files.
    """
    parts = [pd.DataFrame({"file": name, "row": np.arange(1, len(table) + 1)}) for name, table in tables.items()]
    rows = pd.concat(parts, ignore_index=True)
    rows["label"] = np.concatenate([table[:, SAMPLES] for table in tables.values()]).astype(int)
    if origins is None:
        return rows.assign(name=rows["file"] + " row " + rows["row"].astype(str), patient=rows.index)
    known = rows.merge(origins, "left", ["file", "row"])
    wrong = known["symbol"].map(beats.AAMI) != known["label"].map(dict(enumerate(beats.CLASSES)))
    if wrong.any() or len(origins) != len(rows):
        file, row = rows.loc[wrong.idxmax(), ["file", "row"]]
        raise ValueError(f"{ROWS} does not fit {file} from row {row} on; make all three together: {COMMAND} FOLDER")
    return known


def read_origins(folder):
    """File, row, name of the record, sample, symbol and patient of every row; None where no `mitbih_rows.csv` is."""
    if not (folder / ROWS).exists():
        return None
    with opened(folder / ROWS) as file:
        origins = pd.read_csv(file, usecols=["file", "row", "record", "sample", "symbol"], dtype={"record": str})
    origins = origins.rename(columns={"record": "name"})
    return origins.assign(patient=origins["name"].replace(beats.SAME_PATIENT).astype(int))


def split_by_file(rows):
    """The published test file tests; a stratified tenth of the training file validates."""
    test = rows["file"] == "mitbih_test.csv"
    return np.select([test, spread(rows["label"].mask(test, -1)) < 0.1], ["test", "validation"], "train")


def split_at_random(rows):
    """A stratified fifth tests and a tenth validates."""
    number = spread(rows["label"])
    return np.select([number < 0.2, number < 0.3], ["test", "validation"], "train")


def split_by_patient(rows):
    """DS1 trains, its named patients validate, DS2 tests; "" for what is left out."""
    return rows["name"].map(beats.SPLIT_OF).fillna("").to_numpy()


PROTOCOLS = {
    "mitbih": {"random": split_by_file, "inter-patient": split_by_patient},
    "ptbdb": {"random": split_at_random},
}


def read_table(folder, task, name):
    """Samples and label of every row of a file, float32 `(rows, 188)`: parsed once, then mapped from a cache.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or a line is not 187 numbers from 0 to 1 and the number of a class.
        OSError: the cache cannot be written.
    """
    found = find(folder, name)
    if found is None:
        make = f", or make it from MIT-BIH: {COMMAND} {folder}" if task == "mitbih" else ""
        raise FileNotFoundError(
            f"no {name} in {folder}, neither plain nor as {name}.gz or in a zip; get it from Kaggle "
            f"(kaggle datasets download shayanfazeli/heartbeat){make}; --data-dir or ECG_DATA name another folder"
        )
    status = found[0].stat()
    cache = Path(os.environ.get("ECG_CACHE") or folder / ".cache")
    path = cache / f"{name}-{status.st_size}-{status.st_mtime_ns}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # none yet, or a damaged one
        table = _parse(*found, task, name)
    try:
        with writing.whole(path) as temporary, temporary.open("wb") as file:
            np.save(file, table)
            for stale in cache.glob(f"{name}-*.npy"):
                stale.unlink(missing_ok=True)
    except OSError as error:
        reason = f"cannot write {path}: {error.strerror}; make room, or name another folder: ECG_CACHE=folder"
        raise OSError(error.errno, reason) from error
    return table


def find(folder, name):
    """Path of a file, or of the zip that holds it and its name therein; None where there is neither."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path, None
    for path in sorted(folder.glob("*.zip")):
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is no zip file, or cut short; download it again")
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if PurePosixPath(member).name == name:
                    return path, member
    return None


@contextlib.contextmanager
def opened(path, member=None):
    """What `find` found, unpacked, as a file of bytes."""
    try:
        if member:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                yield file
        else:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                yield file
    except (ValueError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}); get it again") from error


def _parse(path, member, task, name):
    """The table of a file; where pandas finds none, or a wrong one, the first wrong line is looked for and named."""
    classes = len(TASKS[task])
    with contextlib.suppress(ValueError), opened(path, member) as file:
        parts = pd.read_csv(file, header=None, dtype="float32", chunksize=CHUNK)
        parts = tqdm(parts, f"reading {name}", FILES[task][name] // CHUNK + 1, delay=1)
        table = np.concatenate([np.ascontiguousarray(part) for part in parts])
        inside = table.min() >= 0 and table[:, :SAMPLES].max() <= 1  # neither is true of NaN
        if inside and table.shape[1] == SAMPLES + 1 and np.isin(table[:, SAMPLES], range(classes)).all():
            return table
    with opened(path, member) as file:
        for number, line in enumerate(file, 1):
            if fault := _fault(line.decode(errors="replace").strip(), classes):
                raise ValueError(f"line {number}: {fault}")
        raise ValueError("it has no rows")


def _fault(line, classes):
    """What of a line is not as published; None where all is."""
    texts = line.split(",") if line else []
    if texts and len(texts) != SAMPLES + 1:
        return f"{len(texts)} values; expected are {SAMPLES + 1}, {SAMPLES} samples and a label"
    for place, text in enumerate(texts):
        with contextlib.suppress(ValueError):
            if float(text) in range(classes) if place == SAMPLES else 0 <= float(text) <= 1:
                continue
        expected = f"a label from 0 to {classes - 1}" if place == SAMPLES else "a number from 0 to 1"
        return f"value {place + 1} is {text!r}; expected is {expected}"
    return None


def make(source, target):
    """Write the training, the test and the rows file from MIT-BIH, or a part of it, as they were published.

    Classes have exactly their published shares of each file; which beats these are is not known and drawn at random.

    Raises:
        FileNotFoundError: no records in `source`.
        FileExistsError: `target` has files of another origin.
        ValueError: a record lacks a file, the lead or beats, or is damaged.
    """
    names = sorted(path.stem for path in source.glob("*.hea"))
    if not names:
        raise FileNotFoundError(f"no WFDB records in {source}; get MIT-BIH from https://physionet.org/content/mitdb/")
    if any((target / name).exists() for name in FILES["mitbih"]) and not (target / ROWS).exists():
        raise FileExistsError(f"{target} has the published files already; name another folder with --out")
    signals, rows = zip(*(cut_beats(source, name) for name in tqdm(names, "cutting beats", delay=1)), strict=True)
    rows = pd.concat(rows, ignore_index=True)
    classes = rows["symbol"].map(beats.AAMI)
    share = classes.map({name: test / (train + test) for name, (train, test) in PUBLISHED.items()})
    rows.insert(0, "file", np.where(spread(classes) < share, "mitbih_test.csv", "mitbih_train.csv"))
    rows.insert(1, "row", rows.groupby("file").cumcount() + 1)
    table = np.column_stack([np.concatenate(signals), classes.map(beats.CLASSES.index)])
    with contextlib.ExitStack() as stack:  # all three, or none
        for name in FILES["mitbih"]:
            temporary = stack.enter_context(writing.whole(target / name))
            np.savetxt(temporary, table[rows["file"] == name], "%.5g", ",")  # the recordings have three digits
        rows.to_csv(stack.enter_context(writing.whole(target / ROWS)), index=False)
    print(f"written to {target}: {len(rows):,} beats of {len(names)} records\n{pd.crosstab(rows['file'], classes)}")


def cut_beats(folder, name):
    """Beats of a record but its last, float32 `(beats, 187)` from 0 to 1, and their record, sample and symbol.

    A beat begins at its R-peak and lasts 1.2 times the median RR interval of its 10 seconds. The paper scales these 10
    seconds to 0 to 1; in the published files each beat has a 0 and a 1 of its own, so each is scaled by itself here.
    """
    signal, sampling_rate, samples, symbols = read_record(folder, name)
    rows = pd.DataFrame({"record": name, "sample": samples[:-1], "symbol": symbols[:-1]})
    period = pd.Series(np.diff(samples)).groupby(rows["sample"] // (10 * sampling_rate)).transform("median")
    step = SAMPLING_RATE / sampling_rate
    starts, lengths = (np.round(values.to_numpy() * step).astype(int) for values in (rows["sample"], 1.2 * period))
    return scale_beats(signal, starts, lengths), rows


def read_record(folder, name):
    """One lead at 125 Hz `(samples,)`; the file's own rate; samples and symbols of its beats."""
    try:
        record = wfdb_files.read_record(folder, name)
        samples, symbols = wfdb_files.read_annotations(folder, name, len(record.digital))
        signals = preprocessing.choose_leads(record.millivolts(), record.layout.leads, LEADS["mitbih"])
    except (OSError, ValueError) as error:
        raise ValueError(f"record {name} in {folder} cannot be used: {error}") from error
    is_beat = np.isin(symbols, list(beats.AAMI))
    if not is_beat.any():
        raise ValueError(f"record {name} in {folder} has no annotation of a beat")
    signal = preprocessing.resample(signals[None], record.layout.sampling_rate, SAMPLING_RATE)[0, :, 0]
    return signal, record.layout.sampling_rate, samples[is_beat], symbols[is_beat]


def scale_beats(signal, starts, lengths):
    """Stretches of a signal `(samples,)`, each from 0 to 1 and then zeros: float32 `(beats, 187)`; a flat one is 0."""
    stretches = beats.windows(signal, starts, 0, SAMPLES)
    inside = np.arange(SAMPLES) < np.minimum(lengths, len(signal) - starts)[:, None]
    lowest = stretches.min(axis=1, keepdims=True, where=inside, initial=np.inf)
    highest = stretches.max(axis=1, keepdims=True, where=inside, initial=-np.inf)
    scaled = (stretches - lowest) / np.maximum(highest - lowest, preprocessing.FLAT)
    return np.where(inside, scaled, 0).astype("float32")


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-mitdb", type=Path, required=True, help="folder of the MIT-BIH records")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the three files to")
    options = parser.parse_args(argv)
    make(options.from_mitdb, options.out)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"data_heartbeat: {error}")
