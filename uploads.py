"""Recordings that strangers send: checked as bytes and text, then laid out for wfdb under names of our own.

wfdb opens whatever file a header names, and reserves as much memory as it asks for. So it is given nothing before our
own reading of the header agrees with the bytes that came; a header that does not is refused.
"""

import contextlib
import io
import math
import os
import re
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from wfdb_files import Layout

SECONDS, LEADS, BEATS = 3600, 16, 2000  # at most, of a recording or a file of single beats
LOWEST, HIGHEST = 50, 10_000  # sampling rates, in hertz
OLDEST = 130  # years
LARGEST = 1000  # mV; electrodes are up to 300 mV apart, and larger numbers are of a wrong gain
HEADER_BYTES = 64_000
# Bytes of a sample in the formats that have a fixed number; differences (8) and FLAC (508, 516, 524) are not read.
FORMATS = {"16": 2, "212": Fraction(3, 2), "24": 3, "32": 4, "61": 2, "80": 1, "160": 2} | dict.fromkeys(
    ("310", "311"), Fraction(4, 3)
)
PACKED = {b"PK\x03\x04": "zip", b"\x1f\x8b\x08": "gzip"}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files that are never on a disk leave nothing there
NAME = "record"  # of the files that wfdb reads

# Name, number of signals, sampling rate, number of samples.
RECORD = re.compile(r"[-\w]+\s+(\d{1,4})\s+(\d{1,9}(?:\.\d{1,9})?)(?:/\S*)?(?:\s+(\d{1,12})(\s.*)?)?", re.ASCII)
# File, format; gain(baseline)/unit, resolution, zero, first value, checksum, size of blocks, lead. A lead that begins
# as a number does would be read as one of those before it.
SIGNAL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d{1,3})(?P<more>\S*)\s+"
    r"(?P<rest>(?P<gain>[0-9]{1,9}(?:\.[0-9]{0,12})?(?:e[+-]?[0-9]{1,2})?)(?:\(-?[0-9]{1,9}\))?(?:/[\w^?%/-]{1,9})?"
    r"\s+[0-9]{1,9}(?:\s+-?[0-9]{1,9}){2}(?:\s+-?[0-9]{1,9}\s+[0-9]{1,9})?\s+(?![-0-9])[!-~][ -~]{0,39})"
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
LEAD = re.compile(r"[A-Za-z][!-~]{0,19}")
PLAIN = re.compile(r"(x1)?(:0)?(\+0)?")  # after a format: one sample a frame, no skew, no bytes before the samples


class Measured(NamedTuple):
    """A recording that came as numbers, in as much a `wfdb_files.Record` as prediction asks for.

    Attributes:
        signals: float32 `(samples, leads)` in millivolt.
    """

    signals: np.ndarray
    layout: Layout

    def millivolts(self):
        return self.signals


def measured(samples, leads, sampling_rate):
    """Rows of millivolts, one for each sample with a number for each lead, as a recording.

    Raises:
        ValueError: a row of another length, or what `check_layout` refuses.
    """
    check_layout(sampling_rate, len(samples), len(leads))
    wrong = next((row for row, values in enumerate(samples) if len(values) != len(leads)), None)
    if wrong is not None:
        raise ValueError(f"row {wrong} of samples has {len(samples[wrong])} numbers, but there are {len(leads)} leads")
    with np.errstate(over="ignore"):  # what is infinite as float32 is refused with the rest
        signals = np.array(samples, "float32")
    return Measured(signals, Layout(len(signals), tuple(leads), float(sampling_rate)))


def read_csv(content):
    """Names of the columns of a CSV file, () where its first line has numbers, and its numbers `(rows, columns)`.

    Raises:
        ValueError: it is no such file.
    """
    refuse_packed(content)
    expected = "a CSV file has numbers with commas between, all lines alike, and may have names in its first line"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"this is no text; {expected}") from error
    try:
        first = [field.strip().strip('"') for field in text.partition("\n")[0].split(",")]
        named = not all(map(_is_number, first))
        numbers = pd.read_csv(io.StringIO(text), header=None, skiprows=int(named), dtype="float64").to_numpy()
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"this cannot be read ({error}); {expected}") from error
    if numbers.shape[1] != len(first):
        raise ValueError(f"{len(first)} names came over {numbers.shape[1]} columns; {expected}")
    return tuple(first) if named else (), numbers


def _is_number(text):
    with contextlib.suppress(ValueError):
        return np.isfinite(float(text))
    return False


def heartbeats(numbers, samples):
    """Single beats `(rows, samples)` from 0 to 1, of the numbers of a CSV file: a beat each row, and maybe its label.

    Raises:
        ValueError: rows of another length, too many, or other numbers.
    """
    if numbers.shape[1] not in (samples, samples + 1):
        raise ValueError(f"{numbers.shape[1]} values a row came; {samples} are a beat, or {samples + 1} with its label")
    if not 0 < len(numbers) <= BEATS:
        raise ValueError(f"{len(numbers):,} beats came; from 1 to {BEATS:,} are read")
    if not ((numbers[:, :samples] >= 0) & (numbers[:, :samples] <= 1)).all():
        raise ValueError("values below 0, above 1 or missing came; each beat is from 0 to 1, as in the Kaggle files")
    return numbers[:, :samples].astype("float32")


@contextlib.contextmanager
def unpacked(header, dat, dat_name):
    """The path of a WFDB record in a temporary folder, of the bytes of its header and of its samples.

    Raises:
        ValueError: the header is not that of one recording of these bytes, or within no limits.
    """
    refuse_packed(header)
    refuse_packed(dat)
    text = checked(header, len(dat), dat_name)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / NAME
        path.with_suffix(".dat").write_bytes(dat)
        path.with_suffix(".hea").write_bytes(text.encode("utf-8", "surrogateescape"))
        yield path


def header_of(size, dat_name, leads, sampling_rate, kind, gain, baseline=0):
    """A header, as bytes, for a file of samples that came without one.

    Raises:
        ValueError: a lead that no header can name.
    """
    if wrong := [lead for lead in leads if not LEAD.fullmatch(lead)]:
        raise ValueError(f"{wrong[0][:40]!r} is no name of a lead; it begins with a letter, and has 20 signs at most")
    samples = int(size / FORMATS[kind]) // max(1, len(leads))
    lines = [f"{NAME} {len(leads)} {sampling_rate:.9f} {samples}"]
    lines += [f"{dat_name} {kind} {gain:.12f}({baseline})/mV 16 0 0 {lead}" for lead in leads]  # no checksum is known
    return "\n".join(lines).encode()


def checked(header, size, dat_name):
    """The text of a header, with the names of files replaced by ours, for `size` bytes of samples.

    Date and time of the recording are left out, since nobody needs them.
    """
    if len(header) > HEADER_BYTES:
        raise ValueError(f"the header has {len(header):,} bytes; at most {HEADER_BYTES:,} are read")
    text = header.decode("utf-8", "surrogateescape")  # µ may come in another encoding, and must reach wfdb_files
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    comments = [line for line in lines if line.startswith("#")]
    first, *signals = [line for line in lines if not line.startswith("#")] or [""]
    found = RECORD.fullmatch(first)
    if not found or CONTROL.search(text):
        raise ValueError(
            "the header is not that of one WFDB record; its first line must be a name, the number of signals, the "
            f"sampling rate and the number of samples, but begins with {first[:60]!r}"
        )
    if int(found[1]) != len(signals):
        raise ValueError(f"the header announces {found[1]} signals, but has lines for {len(signals)}")
    parsed = [signal_of(line, dat_name) for line in signals]
    kinds = {signal["format"] for signal in parsed}
    if len(kinds) > 1:
        raise ValueError(f"formats {', '.join(sorted(kinds))} came; all signals of a file have the same")
    samples = int(found[3] or 0) or int(size / FORMATS[kinds.pop()] / len(parsed)) if parsed else 0
    check_layout(float(found[2]), samples, len(parsed))
    check_size(size, samples, parsed)
    lines = [f"{NAME}.dat {signal['format']} {signal['rest']}" for signal in parsed]
    return "\n".join([f"{NAME} {len(parsed)} {found[2]} {samples}", *lines, *comments]) + "\n"


def signal_of(line, dat_name):
    """The parts of a header's line for a signal, by name."""
    named = line.split()[0]
    if named != dat_name:
        raise ValueError(
            f"the header names the file {named[:60]!r}; only {dat_name[:60]!r}, which came with it, is read"
        )
    found = SIGNAL.fullmatch(line)
    if not found:
        raise ValueError(
            "a signal must be written as FILE FORMAT GAIN(BASELINE)/UNIT RESOLUTION ZERO FIRST CHECKSUM BLOCK LEAD, "
            f"but {line[:80]!r} came"
        )
    if found["format"] not in FORMATS or not PLAIN.fullmatch(found["more"]):
        raise ValueError(f"format {found['format']}{found['more'][:20]} is not read; there are: {', '.join(FORMATS)}")
    if not float(found["gain"]) > 0:
        raise ValueError(f"a gain of {found['gain']} came; how many steps are a millivolt must be above zero")
    return found.groupdict()


def check_layout(sampling_rate, samples, leads):
    """Refuse what is too long, too wide, too slow or too fast."""
    if not LOWEST <= sampling_rate <= HIGHEST:
        raise ValueError(f"sampling rates from {LOWEST} to {HIGHEST:,} Hz are read, but {sampling_rate:g} Hz came")
    if not 0 < leads <= LEADS:
        raise ValueError(f"{leads} leads came; from 1 to {LEADS} are read")
    if not 0 < samples <= SECONDS * sampling_rate:
        raise ValueError(f"the recording lasts {samples / sampling_rate:g} s; above 0 and up to {SECONDS} s are read")


def check_size(size, samples, signals):
    """Refuse samples that are not as many bytes as they must be."""
    kind = signals[0]["format"]
    needed = math.ceil(samples * len(signals) * FORMATS[kind])
    padding = 3 if kind in ("310", "311") else 0  # three samples in four bytes
    if not needed <= size <= needed + padding:
        raise ValueError(
            f"{samples:,} samples of {len(signals)} leads in format {kind} are {needed:,} bytes, but {size:,} came"
        )


def check_known(known):
    """Refuse an age that is none."""
    if not 0 <= known.get("age", 0) <= OLDEST:
        raise ValueError(f"the header says an age of {known['age']:g}; at most {OLDEST} years are read")


def check_signals(signals):
    """Refuse signals `(samples, leads)` that are no millivolts."""
    if not np.isfinite(signals).all():
        raise ValueError("samples that are not finite came; has the recording gaps, or a wrong gain?")
    if (largest := np.abs(signals).max()) > LARGEST:
        raise ValueError(f"samples of up to {largest:.4g} mV came, more than {LARGEST}; are gain and unit right?")


def finite(probabilities):
    """Probabilities, unless samples that are none of a heart led to numbers that are none."""
    if not np.isfinite(probabilities).all():
        raise ValueError("the model finds no finite probabilities for this recording")
    return probabilities


def refuse_packed(content):
    """Refuse archives, which nothing here unpacks."""
    for start, name in PACKED.items():
        if content.startswith(start):
            raise ValueError(f"a {name} file came; send the .dat and the .hea themselves, unpacked")
