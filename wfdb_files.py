"""WFDB files: one record read and checked against its header, or thousands on all cores."""

import functools
import re
import types
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import wfdb
from joblib import Parallel, delayed
from wfdb.io import _header
from wfdb.io._signal import INVALID_SAMPLE_VALUE

CHUNK = 64  # records a worker reads at once
WORKERS_FROM = 512  # records; below, starting workers costs more than they save
MILLIVOLTS = {"mV": 1, "uV": 1e-3, "V": 1e3}


class Layout(NamedTuple):
    """What all records of one set have in common."""

    samples: int
    leads: tuple
    sampling_rate: float


class Record(NamedTuple):
    """One record: int16 `(samples, leads)`; millivolts are `(digital - baselines) / gains`."""

    digital: np.ndarray
    gains: list
    baselines: list
    layout: Layout

    def millivolts(self):
        """The signals, float32 `(samples, leads)` in millivolt."""
        return ((self.digital - np.asarray(self.baselines)) / self.gains).astype("float32")


def read_record(folder, name):
    """The Record `name` of `folder`, checked against its own header.

    Raises:
        FileNotFoundError: the header or the file of samples is missing.
        ValueError: the record cannot be read, or is not what its header says.
    """
    path = Path(folder) / name
    try:
        record = wfdb.rdrecord(str(path), physical=False, m2s=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the file {Path(error.filename or path).name} is missing") from error
    except OSError:
        raise
    except Exception as error:  # wfdb meets damaged files with errors of any kind
        raise ValueError(f"cannot be read ({error}): the header is damaged or the .dat file cut short") from error
    if isinstance(record, wfdb.MultiRecord) or not record.n_sig:
        raise ValueError("several segments, or no signals, came; a single segment with signals is expected")
    _check_leads(record)
    _check_samples(record)
    units = _units(path, record)
    if unknown := set(units) - set(MILLIVOLTS):
        raise ValueError(f"unknown unit {', '.join(unknown)}; expected is one of {', '.join(MILLIVOLTS)}")
    gains = [gain / MILLIVOLTS[unit] for gain, unit in zip(record.adc_gain, units, strict=True)]
    layout = Layout(record.sig_len, tuple(record.sig_name), float(record.fs))
    return Record(record.d_signal.astype("<i2"), gains, record.baseline, layout)


def read_annotations(folder, name, length, extension="atr"):
    """Where in a record of so many samples its annotations are, and their symbols: two arrays `(annotations,)`.

    Raises:
        FileNotFoundError: there is no annotation file.
        ValueError: it is damaged, or of a longer record.
    """
    path = Path(folder) / f"{name}.{extension}"
    if not path.exists():
        raise FileNotFoundError(f"the file {path.name} is missing")
    if path.read_bytes()[-2:] != b"\0\0":
        raise ValueError(f"the annotation file {path.name} is empty or cut short: it lacks its end mark")
    try:
        annotation = wfdb.rdann(str(Path(folder) / name), extension)
    except Exception as error:  # wfdb meets damaged files with errors of any kind
        raise ValueError(f"the annotation file {path.name} cannot be read ({error})") from error
    samples, symbols = annotation.sample, np.array(annotation.symbol, "U1")
    if len(samples) and not 0 <= samples.min() <= samples.max() < length:
        raise ValueError(f"{path.name} has an annotation at sample {samples.max():,}; the record ends at {length:,}")
    return samples, symbols


def _check_leads(record):
    twice = [lead for lead, count in Counter(record.sig_name).items() if count > 1]
    if twice:
        raise ValueError(f"lead {twice[0]} is named {record.sig_name.count(twice[0])} times; each may come once")
    if set(record.samps_per_frame) != {1}:
        raise ValueError(f"{record.samps_per_frame} samples a frame came; one of every lead is expected")


def _check_samples(record):
    """Raise where samples are invalid, too large for 16 bits, or not those the header has checksums of."""
    lowest, highest, sums = (reduce(record.d_signal, axis=0) for reduce in (np.min, np.max, np.sum))
    for i, lead in enumerate(record.sig_name):
        if lowest[i] == INVALID_SAMPLE_VALUE[record.fmt[i]]:
            raise ValueError(f"samples of lead {lead} are not finite (marked invalid)")
        if lowest[i] < -(2**15) or highest[i] >= 2**15:
            raise ValueError(f"samples of lead {lead} do not fit into 16 bits: {lowest[i]} to {highest[i]}")
        stated = record.checksum[i]
        if stated is not None and (sums[i] - stated) % 2**16:
            raise ValueError(
                f"samples of lead {lead} have the checksum {sums[i] % 2**16}; the header says {stated % 2**16}"
            )


def _units(path, record):
    # wfdb drops what is not ASCII from a header, so that µV comes as V, a million times too large.
    if "V" in record.units and re.search(rb"/[\x80-\xff]+V", Path(f"{path}.hea").read_bytes()):
        return ["uV" if unit == "V" else unit for unit in record.units]
    return record.units


def read_chunks(folder, names):
    """Yield lists of (name, Record or what is wrong with it) in order; read on all cores where that pays."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    if len(names) < WORKERS_FROM:
        yield from (_read_chunk(folder, chunk) for chunk in chunks)
    else:
        yield from Parallel(-1, return_as="generator")(delayed(_read_in_worker)(folder, chunk) for chunk in chunks)


def _read_in_worker(folder, names):
    quicken_headers()
    return _read_chunk(folder, names)


@functools.cache
def quicken_headers():
    """Give wfdb dicts for two pandas tables, in which it spends nine tenths of its time looking up single cells.

    Only in processes that do nothing but read, workers and commands: else a caller's wfdb stays as it is.
    """
    for name in ("RECORD_SPECS", "SIGNAL_SPECS"):
        table = getattr(_header, name)
        cells = {(row, column): table.loc[row, column] for row in table.index for column in table.columns}
        setattr(_header, name, types.SimpleNamespace(index=list(table.index), loc=cells))


def _read_chunk(folder, names):
    return [(name, _read_or_reason(folder, name)) for name in names]


def _read_or_reason(folder, name):
    try:
        return read_record(folder, name)
    except (FileNotFoundError, ValueError) as error:  # another OSError may pass, and must not be remembered
        return str(error)
