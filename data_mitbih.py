"""MIT-BIH Arrhythmia Database: 48 half-hour recordings of two leads, every beat annotated.

Moody, Mark 2001, IEEE Engineering in Medicine and Biology 20(3). The folder has `100.hea`, `100.dat`, `100.atr` and so
on, as PhysioNet publishes them; some of the records are enough.
"""

import hashlib
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

import beats
import cutting
import downloads
import rhythms as other_rhythms
import wfdb_files
import writing
from dataset import Dataset, spread

URL = "https://physionet.org/files/mitdb/1.0.0/"
FOLDER = "mitdb"
TASKS = {"beats": beats.CLASSES, "segments": ("normal", "abnormal")}
EXTENSIONS = ("hea", "dat", "atr")
PACED = ("102", "104", "107", "217")
LEFT_OUT = {"inter-patient": (*PACED, *beats.SAME_PATIENT.values()), "random": ()}  # by protocol
RECORDS = sorted(sum(beats.INTER_PATIENT.values(), LEFT_OUT["inter-patient"]))
FORMAT = 5  # of the cache: raise it whenever what is cut from a recording changes


def load(
    folder,
    task,
    sampling_rate=360,
    protocol="inter-patient",
    leads=("MLII/V5",),
    window=(0.3, 0.5),
    band=(),
    causal=False,
    deviation=False,
    rhythms=0,
    download=False,
    skip_broken=False,
):
    """MIT-BIH, whole or in part, as a Dataset; see `dataset.load`. What was cut is kept in `.cache` or ECG_CACHE.

    Task "beats" has a row for each annotated beat, with the features of `beats.py`. Task "segments" has one for each
    ten seconds, half of them shared with the next: "abnormal" where more than half of the beats have another symbol
    than N. Segments without a beat, as within ventricular flutter, are left out.

    Args:
        folder: where the database lies.
        task: a name in TASKS.
        sampling_rate: samples a second that recordings are resampled to.
        protocol: a name in PROTOCOLS. "inter-patient" leaves out paced records and tests on DS2 (de Chazal et al.
            2004). "random" has all records and draws beats, as most papers do, so that patients stand in several
            splits; of segments, which overlap, it draws whole patients.
        leads: as `preprocessing.choose_leads` takes them. 102 and 104 have no MLII: "MLII/V5" is V5 there.
            ("MLII/V5", "other") are both leads of every recording.
        window: seconds before and after the R-peak: from P wave to T wave, 288 samples at 360 Hz.
        band: lowest and highest frequency, in hertz, of a band-pass over whole recordings; () for none.
        causal: features look only back, and so does `deviation`.
        deviation: beats are what they differ by from their recording's usual beat, without a unit.
        rhythms: from each training recording make so many of each of `rhythms.RHYTHMS`, to train on as well; their
            rows have a number in column `rhythm`, where those of recorded beats have 0.
        download: fetch what is missing from PhysioNet first.
        skip_broken: leave out records that are damaged or lack a lead, instead of stopping.

    Raises:
        FileNotFoundError: the folder has no records.
        ValueError: an option is out of range; a record is damaged, or lacks a lead or annotations.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    if rhythms < 0:
        raise ValueError(f"rhythms must be 0 or more, but {rhythms} came")
    if rhythms and (task != "beats" or protocol == "random"):
        raise ValueError(f"rhythms are made of the beats of training patients: not for {task}, protocol {protocol}")
    options = cutting.Cutting(
        task, float(sampling_rate), tuple(leads), tuple(window), tuple(band), causal, deviation
    ).checked()
    if download:
        downloads.fetch(URL, folder, [f"{name}.{extension}" for name in RECORDS for extension in EXTENSIONS])
    present = find(folder)
    names = [name for name in present if name not in LEFT_OUT[protocol]]
    cuts, broken = cut_all(folder, names, options, rhythms)
    if not cuts or broken and not skip_broken:
        raise ValueError(complaint(folder, protocol, names, broken))
    classes, rows = join(cuts, "classes"), pd.DataFrame(join(cuts, "rows"))
    rows.insert(0, "name", np.repeat(list(cuts), [len(cut["rows"]) for cut in cuts.values()]))
    patients = rows["name"].replace(beats.SAME_PATIENT).astype(int).to_numpy()
    single_beats = task == "beats"
    made = rows["rhythm"].to_numpy() if single_beats else np.zeros(len(rows), int)
    return Dataset(
        signals=join(cuts, "signals"),
        labels=np.eye(len(TASKS[task]), dtype="float32")[classes],
        classes=TASKS[task],
        leads=options.leads,
        sampling_rate=sampling_rate,
        groups=patients,
        split=PROTOCOLS[protocol](rows["name"], classes, np.arange(len(rows)) if single_beats else patients),
        records=rows.assign(
            name=[f"{name} rhythm {n}" if n else name for name, n in zip(rows["name"], made, strict=True)]
        ),
        features=join(cuts, "features"),
        feature_names=beats.feature_names(options.leads, options.causal) if single_beats else (),
        multilabel=False,
        leaks_patients=protocol == "random" and single_beats,
        cutting=options.for_card(),
        task=task,
        source="MIT-BIH 1.0.0" if len(present) == len(RECORDS) else f"MIT-BIH in part ({len(present)} records)",
        licence="ODC-By 1.0",
        checksum=hashlib.sha256("".join(join(cuts, "checksum")).encode()).hexdigest(),
        notes=tuple(notes_on(task, [name for name in present if name not in names], cuts, broken, made)),
    )


def find(folder):
    """Names of the records of MIT-BIH that have any file in the folder."""
    present = [name for name in RECORDS if any((Path(folder) / f"{name}.{end}").exists() for end in EXTENSIONS)]
    if not present:
        raise FileNotFoundError(
            f"no MIT-BIH records in {folder}; get them with: python training.py --dataset mitbih --download "
            f"(95 MB, from {URL}), or name their folder with --data-dir or ECG_DATA"
        )
    return present


def complaint(folder, protocol, names, broken):
    """Why there is no Dataset: what is wrong with which record."""
    if not names:
        return f"protocol {protocol} uses none of the records in {folder}"
    lines = "\n".join(f"  {name}: {reason}" for name, reason in broken.items())
    return (
        f"{len(broken)} of {len(names)} records in {folder} cannot be used:\n{lines}\n"
        "Name leads that they have (MLII/V5 is MLII or else V5), download damaged records again (only what is missing "
        "or wrong is fetched), or leave them out with --skip-broken."
    )


def notes_on(task, others, cuts, broken, made):
    """Lines for the person who trains."""
    if others:
        yield f"{len(others)} records left out by the protocol: {' '.join(others)} (paced, or a patient of the test)"
    classes = join(cuts, "classes")[made == 0]
    counts = ", ".join(f"{np.sum(classes == i):,} {name}" for i, name in enumerate(TASKS[task]))
    left_out = {"beats": "annotations that are no beats (rhythm, noise, flutter waves)", "segments": "without a beat"}
    yield f"{counts}; left out: {sum(cut['left_out'] for cut in cuts.values()):,} {left_out[task]}"
    if made.any():
        yield f"and {np.sum(made > 0):,} beats of recordings made of training ones, in other rhythms"
    yield from (f"record {name} left out: {reason}" for name, reason in broken.items())


def join(cuts, key):
    """What all cut records have of `key`, one after the other."""
    return np.concatenate([cut[key] for cut in cuts.values()])


def by_patient(names, classes, units):
    """The split of each row by its record: DS1 trains and validates, DS2 tests."""
    return names.map(beats.SPLIT_OF).to_numpy()


def at_random(names, classes, units):
    """The split of each row: a fifth of the units of each class tests, a tenth of the others validates."""
    keys = pd.Series(classes).groupby(units).mean().round()  # of a beat its class, of a patient that of most segments
    place = pd.Series(spread(keys), keys.index).loc[units]
    return np.select([place < 0.2, place < 0.28], ["test", "validation"], "train")


def cut_all(folder, names, options, rhythms=0):
    """What is cut from each record by name, and of the others what is wrong with them."""
    cache = Path(os.environ.get("ECG_CACHE") or Path(folder) / ".cache")
    made = dict.fromkeys(beats.INTER_PATIENT["train"], rhythms)
    jobs = (delayed(cut_or_reason)(Path(folder), name, options, cache, made.get(name, 0)) for name in names)
    running = Parallel(-1, return_as="generator", prefer="threads")(jobs)
    results = dict(zip(names, tqdm(running, "reading records", len(names), delay=1), strict=True))
    broken = {name: result for name, result in results.items() if isinstance(result, str)}
    return {name: result for name, result in results.items() if name not in broken}, broken


def cut_or_reason(folder, name, options, cache, rhythms):
    """What is cut from a record, from the cache where it is there; or what is wrong with the record."""
    path = cache / f"{name}-{fingerprint(folder, name, (*options, rhythms))}.npz"
    cut = open_cut(path)
    if cut is None:
        try:
            cut = cut_record(folder, name, options, rhythms)
        except (FileNotFoundError, ValueError) as error:
            return str(error)
        write_cut(path, cut)
    return cut


def fingerprint(folder, name, options):
    """A hash of all that a cut depends on; files by their size and time."""
    files = [path.stat() for end in EXTENSIONS if (path := folder / f"{name}.{end}").exists()]
    states = [(file.st_size, file.st_mtime_ns) for file in files]
    return hashlib.sha256(repr((FORMAT, options, states)).encode()).hexdigest()[:16]


def open_cut(path):
    """The arrays of the cache `path`; None where there is none, or a damaged one."""
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        print(f"the cache {path} is damaged and is built anew: {error}")
        return None


def write_cut(path, cut):
    """Write the cache `path`; where that fails, the next start reads the recording once more."""
    try:
        with writing.whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **cut)
    except OSError as error:
        warnings.warn(
            f"cannot write a cache into {path.parent} ({error.strerror}), so each start reads all recordings; "
            "make room there, or name another folder: ECG_CACHE=folder",
            stacklevel=2,
        )


def cut_record(folder, name, options, rhythms=0):
    """Arrays by name: `signals`, `features`, `classes`, `rows` (a structured array), `left_out`, `checksum`."""
    record = wfdb_files.read_record(folder, name)
    samples, symbols = wfdb_files.read_annotations(folder, name, len(record.digital))
    content = record.digital.tobytes() + samples.astype("<i8").tobytes() + "".join(symbols).encode()
    if not np.isin(symbols, list(beats.AAMI)).any():
        raise ValueError(f"none of its {len(symbols):,} annotations is of a beat")
    checksum = np.array([f"{name} {hashlib.sha256(content).hexdigest()} "])
    return LABELLED[options.task](record, samples, symbols, options, rhythms) | {"checksum": checksum}


def label_beats(record, samples, symbols, options, rhythms=0):
    """A window, features and class for each beat, and for those of so many made recordings of each rhythm."""
    is_beat = np.isin(symbols, list(beats.AAMI))
    samples, symbols = samples[is_beat], symbols[is_beat]
    classes = np.array([beats.CLASSES.index(beats.AAMI[symbol]) for symbol in symbols])
    windows, rate = cutting.windows_of(record, samples, options), record.layout.sampling_rate
    recordings = [(np.arange(len(samples)), samples)]  # positions of beats, and R-peaks, in samples
    recordings += [(order, np.round(rate * times).astype(int)) for order, times in other_rhythms.made(classes, rhythms)]
    compared = [cutting.compare_beats(windows[order], peaks, rate, options) for order, peaks in recordings]
    signals, features = map(np.concatenate, zip(*compared, strict=True))
    numbers = np.repeat(np.arange(len(recordings)), [len(order) for order, _ in recordings])
    order, peaks = map(np.concatenate, zip(*recordings, strict=True))
    return {
        "signals": signals,
        "features": features,
        "classes": classes[order],
        "rows": np.rec.fromarrays([peaks, symbols[order], numbers], names="sample,symbol,rhythm"),
        "left_out": np.sum(~is_beat),
    }


def label_segments(record, samples, symbols, options, rhythms=0):
    """Segments that have beats; abnormal where more than half of them are not N, so that ties are normal."""
    is_beat = np.isin(symbols, list(beats.AAMI))
    samples, symbols = samples[is_beat], symbols[is_beat]
    signals, starts = cutting.cut_segments(record, options)
    ends = starts + round(cutting.SECONDS * record.layout.sampling_rate)
    first, last = np.searchsorted(samples, starts), np.searchsorted(samples, ends)
    others = np.append(0, np.cumsum(symbols != "N"))
    count, abnormal = last - first, others[last] - others[first]
    kept = count > 0
    return {
        "signals": signals[kept],
        "features": np.zeros((kept.sum(), 0), "float32"),
        "classes": (2 * abnormal > count)[kept].astype(int),
        "rows": np.rec.fromarrays([starts, count, abnormal], names="sample,beats,abnormal")[kept],
        "left_out": np.sum(~kept),
    }


LABELLED = {"beats": label_beats, "segments": label_segments}
PROTOCOLS = {"inter-patient": by_patient, "random": at_random}
