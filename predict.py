"""From recordings to named probabilities: `python predict.py MODEL RECORD [RECORD ...]`, for WFDB records or folders.

A model of whole records gives a row of probabilities for each record. A model of beats gives one for each beat, whose
R-peaks are found or, with `--annotations atr`, read; in the folder `--out` each record has its rows as CSV and a WFDB
annotation file `.ecg` of what was decided. A model of segments has rows for each ten seconds, and no annotations.

With `--csv` it is done part by part: a run that was killed goes on where it was when it is started again. A broken
record of a folder, or of a run with `--csv`, is a row with the reason in the column `error`.
"""

import argparse
import functools
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

import archive
import beats
import card as cards
import cutting
import metrics
import preprocessing
import wfdb_files
import writing
from inputs import FEMALE, Inputs, Recorded, as_inputs, patient, predict_rows

EXTENSION = "ecg"  # of the annotation files that are written
RUN = 3  # ventricular beats in a row that are a run
BATCH = 32  # windows that the network is given at once: more take memory, and are no faster on a processor
PART = 128  # records in a part of an archive
# In the comments of headers: "age: 81", "<age>: 81", "sex: female"; MIT-BIH's begin with "69 M".
AGE = re.compile(r"\bage\W+(\d+)|^(\d+) [MF]\b", re.IGNORECASE | re.MULTILINE)
SEX = re.compile(r"\bsex\W+(female|male|f|m)\b|^\d+ ([MF])\b", re.IGNORECASE | re.MULTILINE)


def predict_record(model, card, record, known):
    """Probabilities `(classes,)` of one Record: the mean over windows that overlap by half, where it is longer.

    Args:
        known: features by the first word of their name ("age", "sex"), as far as they are known.
    """
    return predict_together(model, [prepare_record(card, record, known)])[0]


def prepare_record(card, record, known):
    """What a model is given of one Record: signals `(windows, samples, leads)` and features `(windows, features)`."""
    inputs = windows_of(card, record, known)
    return inputs[np.arange(len(inputs.data.signals))]


def windows_of(card, record, known):
    """One Record as Inputs: windows that overlap by half, where it is longer than what the model takes."""
    layout = record.layout
    length = round(card.samples / card.sampling_rate * layout.sampling_rate)
    signals = record.millivolts()
    starts = range(0, max(1, len(signals) - length + 1), max(1, length // 2))
    windows = np.stack([signals[start : start + length] for start in starts])
    one = np.array([known.get(name.split()[0], np.nan) for name in card.feature_names], "float32")
    features = np.tile(one, (len(windows), 1))
    return Inputs(Recorded(windows, layout.leads, layout.sampling_rate, features, card.feature_names), card)


def predict_together(model, prepared):
    """Probabilities `(records, classes)` of prepared records, each the mean over its windows."""
    signals, features = (np.concatenate(parts) for parts in zip(*prepared, strict=True))
    starts = range(0, len(signals), BATCH)
    batches = [as_inputs(signals[start : start + BATCH], features[start : start + BATCH]) for start in starts]
    told = np.concatenate([model.predict_on_batch(batch) for batch in batches])
    ends = np.cumsum([len(windows) for windows, _ in prepared])
    return np.stack([windows.mean(axis=0) for windows in np.split(told, ends[:-1])])


def predict_parts(model, card, record, peaks=None):
    """A row for each beat or segment of one Record: its sample, class, and the probability of each class.

    Args:
        peaks: samples of the R-peaks; found in the model's first lead when not given. Segments need none.
    """
    return tell_rows(model, *parts_of(card, record, peaks))


def parts_of(card, record, peaks=None):
    """The beats or segments of one Record as Inputs, and their samples; `peaks` as in `predict_parts`."""
    options = cutting.Cutting.of(card)
    if options.task == "segments":
        signals, samples = cutting.cut_segments(record, options)
        features, names = np.zeros((len(samples), 0), "float32"), ()
    else:
        samples = find_peaks(record, card) if peaks is None else peaks
        signals, features = cutting.cut_beats(record, samples, options)
        names = beats.feature_names(card.leads, options.causal)
    return Inputs(Recorded(signals, card.leads, card.sampling_rate, features, names), card), samples


def tell_rows(model, inputs, samples):
    """The rows of `predict_parts` for what `parts_of` cut."""
    card = inputs.card
    told = predict_rows(model, inputs, np.arange(len(samples)))
    decided = metrics.decide(told, card.thresholds).argmax(axis=1)
    rows = pd.DataFrame({"sample": samples, "class": np.array(card.classes)[decided]})
    return pd.concat([rows, pd.DataFrame(told, columns=card.classes)], axis=1)


def find_peaks(record, card):
    """Samples of the R-peaks of a Record, found in the first lead of the model."""
    lead = preprocessing.choose_leads(record.millivolts(), record.layout.leads, card.leads)[:, 0]
    return beats.find(lead, record.layout.sampling_rate)


def summary(rows, sampling_rate, classes):
    """How many of each class; of beats also the mean heart rate and runs of ventricular ones: a dict."""
    counts = {name: int((rows["class"] == name).sum()) for name in classes}
    if "V" not in classes:
        return counts
    ventricular = (rows["class"] == "V").to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ventricular, [0]])))
    runs = [int(last - first) for first, last in edges.reshape(-1, 2) if last - first >= RUN]
    seconds = (rows["sample"].iloc[-1] - rows["sample"].iloc[0]) / sampling_rate if len(rows) > 1 else 0
    rate = 60 * (len(rows) - 1) / seconds if seconds else None
    return counts | {"heart rate": rate, "runs of V": len(runs), "longest run": max(runs, default=0)}


def told_by_header(path):
    """Age in years and sex (0 male, 1 female), as far as the header's comments have them."""
    comments = "\n".join(wfdb.rdheader(str(path)).comments)
    age, sex = AGE.search(comments), SEX.search(comments)
    known = {"age": float(age[1] or age[2])} if age else {}
    return known | ({"sex": FEMALE[(sex[1] or sex[2]).lower()]} if sex else {})


def records_in(paths):
    """Paths, without extension, of the records that were named, and of all in the folders that were named.

    Raises:
        FileNotFoundError: a record or folder is not there, or a folder has no record.
    """
    found = []
    for path in paths:
        inside = sorted(header.with_suffix("") for header in path.rglob("*.hea")) if path.is_dir() else []
        one = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
        if not inside and not Path(f"{one}.hea").exists():
            raise FileNotFoundError(f"no WFDB record {path}: neither {one}.hea nor a folder with .hea files is there")
        found += inside or [one]
    return found


def write_rows(rows, name, layout, folder):
    """Write the rows of a record as CSV, and what beats were decided to be as a WFDB annotation file."""
    with writing.whole(folder / f"{name}.csv") as temporary:
        rows.to_csv(temporary, index=False)
    if len(rows) and set(rows["class"]) <= set(beats.CLASSES):
        samples, symbols = rows["sample"].to_numpy(), rows["class"].tolist()
        with tempfile.TemporaryDirectory(dir=folder) as temporary:  # wfdb writes under the record's name alone
            wfdb.wrann(name, EXTENSION, samples, symbols, fs=layout.sampling_rate, write_dir=temporary)
            (Path(temporary) / f"{name}.{EXTENSION}").replace(folder / f"{name}.{EXTENSION}")


def teller(options, model, card):
    """A function from paths of records to rows of the table."""
    return functools.partial(tell_parts if card.cutting else tell_wholes, model, card, options)


def open_teller(options):
    """The same, in a process of its own, which has not opened the model yet."""
    wfdb_files.quicken_headers()
    return teller(options, *cards.load(options.model))


def tell_wholes(model, card, options, paths):
    """Rows of a model of whole records, which are read until their windows fill a batch."""
    rows, batch, windows = [], [], 0
    for path in paths:
        ready = _or_reason(functools.partial(prepare_file, card), path, options)
        batch.append((path, ready))
        windows += 0 if isinstance(ready, str) else len(ready[0])
        if windows >= BATCH:
            rows += tell_batch(model, card, batch)
            batch, windows = [], 0
    return rows + tell_batch(model, card, batch)


def tell_parts(model, card, options, paths):
    """Rows of a model of beats or segments, whose own rows are written to the folder `--out`."""
    told = [_or_reason(functools.partial(tell_file, model, card), path, options) for path in paths]
    return [
        {"record": str(path), **({"error": one} if isinstance(one, str) else one)}
        for path, one in zip(paths, told, strict=True)
    ]


def _or_reason(work, path, options):
    """What `work` makes of a record, or a string that says why it is broken; one that was named alone may not be."""
    try:
        return work(options.base / path, options)
    except (ValueError, OSError, ArithmeticError) as error:
        if options.strict:
            raise ValueError(f"{path}: {error}") from error
        return " ".join(str(error).split()) or type(error).__name__


def prepare_file(card, path, options):
    """What the model is given of the record at `path`."""
    record = wfdb_files.read_record(path.parent, path.name)
    signals, features = prepare_record(card, record, known_of(card, path, options))
    if not np.isfinite(signals).all():
        raise ValueError("samples are not finite in millivolt: the gain in the header is damaged")
    return signals, features


def known_of(card, path, options):
    """Age and sex of the record at `path`, as far as the command line or its header has them."""
    return patient(told_by_header(path) if card.feature_names else {}, options.age, options.sex)


def tell_batch(model, card, batch):
    """A row for each of (path, what was prepared or why nothing was)."""
    prepared = [ready for _, ready in batch if not isinstance(ready, str)]
    told = iter(predict_together(model, prepared) if prepared else ())
    return [
        {"record": str(path)} | ({"error": ready} if isinstance(ready, str) else named(card, next(told)))
        for path, ready in batch
    ]


def named(card, told):
    """The probabilities of one record by name of class, and those that are decided."""
    decided = metrics.decide(told[None], card.thresholds)[0]
    names = [name for name, yes in zip(card.classes, decided, strict=True) if yes]
    return {**dict(zip(card.classes, told.tolist(), strict=True)), "decided": " ".join(names)}


def tell_file(model, card, path, options):
    """The summary of the record at `path`, of whose beats or segments rows are written."""
    record = wfdb_files.read_record(path.parent, path.name)
    peaks = annotated_peaks(path, record, options)
    rows = predict_parts(model, card, record, peaks)
    write_rows(rows, path.name, record.layout, options.base / options.out)
    return summary(rows, record.layout.sampling_rate, card.classes)


def annotated_peaks(path, record, options):
    """Samples of the R-peaks that a file beside the Record has, if the command line names one; else None."""
    if not options.annotations:
        return None
    samples, symbols = wfdb_files.read_annotations(path.parent, path.name, len(record.digital), options.annotations)
    return samples[np.isin(symbols, list(beats.AAMI))]


def check(model, card, paths):
    """Refuse a model that recordings cannot be cut for, and records that would overwrite one another's rows."""
    if card.cutting and card.cutting["task"] not in ("beats", "segments"):
        raise ValueError(f"{model} reads single beats of {card.data.get('source')}, not recordings; use one of MIT-BIH")
    names = [path.name for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if card.cutting and twice:
        raise ValueError(f"several records are named {', '.join(twice)}, and their rows would be in one file")


def arguments(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model with its card")
    parser.add_argument("records", type=Path, nargs="+", help="WFDB records, or folders of them")
    add_record_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("results") / "predictions", help="folder for rows of beats")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--json", action="store_true", help="print JSON instead of a table")
    ways.add_argument("--csv", type=Path, help="write the table to a file, part by part, instead of printing it")
    parser.add_argument("--ray", metavar="ADDRESS", help='of a Ray cluster that does the work of --csv; "auto" on it')
    options = parser.parse_args(argv)
    if options.ray and not options.csv:
        parser.error("--ray needs --csv, the file that the cluster's rows go to")
    options.base = Path.cwd()  # for the actors of Ray, which work in another folder
    options.model = options.model.absolute()
    options.strict = not options.csv and not any(path.is_dir() for path in options.records)
    return options


def add_record_arguments(parser):
    """Flags that say what is known of recordings."""
    parser.add_argument("--age", type=float, help="in years, for every record; else as its header says")
    parser.add_argument("--sex", type=str.lower, choices=FEMALE, help="else as its header says")
    parser.add_argument("--annotations", help="extension of the files that have the R-peaks; found when not given")


def columns_of(card):
    """Names of the columns of the table."""
    if not card.cutting:
        return ["record", *card.classes, "decided", "error"]
    return ["record", *summary(pd.DataFrame({"class": [], "sample": []}), 1, card.classes), "error"]


def settings_of(options, card):
    """All that the rows depend on besides the records."""
    files = [options.model.parent / name for name in card.members] or [options.model]
    names = ("age", "sex", "annotations", "out")
    return {
        "model": cards.checksum(*(np.fromfile(path, "uint8") for path in files)),
        "card": json.loads(cards.as_json(card)),
    } | {name: str(getattr(options, name)) for name in names}


def write_table(options, model, card, paths):
    """Write the table to `--csv`, in parts; returns how many records are broken."""
    size = 1 if card.cutting else PART  # a recording of beats takes as long as a batch of records
    table = archive.Archive(options.csv, columns_of(card), paths, size, settings_of(options, card))
    table.begin()
    if options.ray:
        return archive.make(table, archive.on_ray(table, functools.partial(open_teller, options), options.ray))
    return archive.make(table, archive.here(table, teller(options, model, card)))


def print_table(options, model, card, paths):
    """Print the table; returns how many records are broken."""
    table = teller(options, model, card)(paths)
    print(json.dumps(table, indent=1) if options.json else pd.DataFrame(table).to_string(index=False))
    return sum("error" in row for row in table)


def main(argv=None):
    """The command."""
    options = arguments(argv)
    paths = records_in(options.records)
    model, card = cards.load(options.model)
    check(options.model, card, paths)
    broken = (write_table if options.csv else print_table)(options, model, card, paths)
    where = f" (column error): {options.csv}" if options.csv else ""
    print(f"{len(paths):,} records, of them {broken:,} broken{where}", file=sys.stderr)
    if card.cutting:
        print(f"a row for each beat or segment: {options.out}", file=sys.stderr)
    if broken == len(paths):
        raise ValueError("every record is broken")


if __name__ == "__main__":
    wfdb_files.quicken_headers()
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"predict: {error}")
