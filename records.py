"""Records of a database: read once from WFDB files, then from a cache, as lazy millivolts."""

import contextlib
import errno
import hashlib
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

import writing
from wfdb_files import Layout, Record, read_chunks

FORMAT = 1  # of the cache: raise it whenever what is written changes
CHUNK = 64  # records converted at once: they stay in the processor's cache from one step to the next


class Signals:
    """Millivolts, float32 `(records, samples, leads)`, of 16-bit integers that stay on disk until they are indexed.

    The first index chooses records: a number, a slice, positions or a mask. Further indices are applied to the
    result, so that `signals[rows, :, [0, 1]]` are two leads of all these rows.
    """

    dtype = np.dtype("float32")
    ndim = 3

    def __init__(self, digital, gains, baselines, rows=None, leads=slice(None)):
        """`digital` is int16 `(records, samples, leads)`, `gains` and `baselines` are `(records, leads)`.

        `rows` and `leads` are positions of those to show, in that order; all when not given.
        """
        self.digital = digital
        self.gains = np.asarray(gains, "float32")
        self.baselines = np.asarray(baselines, "float32")
        self.rows = np.arange(len(digital)) if rows is None else rows
        self.leads = leads

    @property
    def shape(self):
        return (len(self.rows), self.digital.shape[1], self.gains[:1, self.leads].shape[1])

    def __len__(self):
        return len(self.rows)

    def take(self, rows):
        """The Signals of these rows (positions, mask or slice); nothing is read."""
        return Signals(self.digital, self.gains, self.baselines, self.rows[rows], self.leads)

    def of_leads(self, leads):
        """The Signals of these leads (positions); nothing is read."""
        return Signals(self.digital, self.gains, self.baselines, self.rows, leads)

    def __getitem__(self, index):
        first, *rest = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            first, rest = slice(None), [first, *rest]
        rows = self.rows[first]
        signals = self._convert(rows.reshape(-1)).reshape(rows.shape + self.shape[1:])
        return signals[(slice(None),) * rows.ndim + tuple(rest)]

    def _convert(self, rows):
        signals = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for start in range(0, len(rows), CHUNK):
            chunk, part = rows[start : start + CHUNK], signals[start : start + CHUNK]
            np.subtract(self.digital[chunk][..., self.leads], self.baselines[chunk, None][..., self.leads], out=part)
            part /= self.gains[chunk, None][..., self.leads]
        return signals

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("Signals are converted as they are read: an array of them is always a copy")
        return self[:].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True)
class Recordings:
    """Records of one layout, in the order asked for; `broken` names those left out, and why.

    `checksum` is a hash of names, leads and samples: the same data have the same one on every machine.
    """

    signals: Signals
    leads: tuple
    sampling_rate: float
    names: list
    broken: dict
    checksum: str


def read(folder, names, cache=None, version="", skip_broken=False, expected=None):
    """Recordings of the records `names` (paths inside `folder` without extension); a second time from a cache.

    Args:
        cache: folder of the cache; else the environment's `ECG_CACHE`, else `<folder>/.cache`.
        version: of the database; another one is another cache.
        skip_broken: leave broken records out, and name them in the result, instead of raising.
        expected: the Layout all records must have; else the commonest among the first ones.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: records are missing, damaged or unlike the others; the first few are named.
        OSError: the cache cannot be written.
    """
    folder, names = Path(folder), list(names)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; the records should lie there")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected different names of records, but {len(names)} came, {len(set(names))} different")
    cache = Path(cache or os.environ.get("ECG_CACHE") or folder / ".cache")
    path = cache / f"{_hash(names)[:8]}-{_fingerprint(folder, names, version, expected)}.samples"
    _remove_leftovers(cache)
    recordings = _open(path) or _build(folder, names, path, version, expected)
    if recordings.broken and not skip_broken:
        raise ValueError(_complaint(folder, len(names), recordings.broken))
    return recordings


def _complaint(folder, count, broken, shown=5):
    lines = "\n".join(f"  {name}: {reason}" for name, reason in list(broken.items())[:shown])
    more = f"\n  ... and {len(broken) - shown:,} more" if len(broken) > shown else ""
    return (
        f"{len(broken):,} of {count:,} records in {folder} cannot be used:\n{lines}{more}\n"
        "Download them again (only what is missing or wrong is fetched), or leave them out with --skip-broken."
    )


def _hash(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _fingerprint(folder, names, version, expected):
    """A hash of all that the cache depends on, by size and time of the files: quick, and a missing file counts."""
    lines = [repr((FORMAT, version, expected))]
    for name in names:
        for file in (f"{name}.hea", f"{name}.dat"):
            with contextlib.suppress(OSError):  # a missing file is a missing line
                status = os.stat(f"{folder}/{file}")
                lines.append(f"{file} {status.st_size} {status.st_mtime_ns}")
    return _hash(lines)[:16]


def _checksum(digital):
    return hashlib.sha256(digital.tobytes()).hexdigest()[:16]


def _identity(manifest):
    content = [manifest[key] for key in ("names", "checksums", "leads", "sampling_rate", "shape", "gains", "baselines")]
    return _hash([json.dumps(content)])


def _remove_leftovers(cache):
    """Remove what killed builds left: a living one writes all the time, so a file of an hour ago has none."""
    for leftover in cache.glob(".part-????????-????????-????????????????.*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - leftover.stat().st_mtime > 3600:
                leftover.unlink()


def _open(path):
    """The Recordings of the cache `path`; None where there is none, or, with a line that says why, a damaged one."""
    try:
        return _load(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"the sample cache {path} is damaged and is built anew: {error}")
        return None


def _load(path):
    manifest = json.loads(path.with_suffix(".json").read_text())
    if manifest["checksum"] != _identity(manifest):
        raise ValueError("its manifest was changed")
    shape, names, size = tuple(manifest["shape"]), manifest["names"], path.stat().st_size
    if size != 2 * np.prod(shape):
        raise ValueError(f"it has {size:,} bytes instead of {2 * np.prod(shape):,}")
    digital = np.memmap(path, "<i2", "r", shape=shape)
    for row in np.linspace(0, len(names) - 1, 16).astype(int):  # a look here and there: reading all takes too long
        if _checksum(digital[row]) != manifest["checksums"][row]:
            raise ValueError(f"the samples of {names[row]} are not those that were written")
    signals = Signals(digital, manifest["gains"], manifest["baselines"])
    rest = [manifest[key] for key in ("sampling_rate", "names", "broken", "checksum")]
    return Recordings(signals, tuple(manifest["leads"]), *rest)


def _build(folder, names, path, version, expected):
    """Read all records and write the cache: samples first, so that a manifest says the cache is complete."""
    manifest = {"format": FORMAT, "version": version, "fingerprint": path.stem, "broken": {}}
    manifest |= {key: [] for key in ("names", "gains", "baselines", "checksums")}
    with contextlib.closing(read_chunks(folder, names)) as chunks:
        start, layout = _find_layout(chunks, expected)
        if layout is None:
            raise ValueError(_complaint(folder, len(names), dict(start)))
        size = 2 * len(names) * layout.samples * len(layout.leads)
        with _replacing(path, size) as file:
            for name, record in tqdm(chain(start, chain.from_iterable(chunks)), "reading records", len(names), delay=1):
                _add(manifest, file, name, record, layout)
            if not manifest["names"]:
                raise ValueError(_complaint(folder, len(names), manifest["broken"]))
    manifest |= {"leads": layout.leads, "sampling_rate": layout.sampling_rate}
    manifest["shape"] = [len(manifest["names"]), layout.samples, len(layout.leads)]
    manifest["checksum"] = _identity(manifest)
    with _replacing(path.with_suffix(".json"), size) as file:
        file.write(json.dumps(manifest).encode())
    _remove_stale(path)
    return _load(path)


def _find_layout(chunks, expected):
    """The records read until one was good, and the expected layout or the commonest among them."""
    start = []
    for chunk in chunks:
        start += chunk
        layouts = Counter(record.layout for _, record in start if isinstance(record, Record))
        if layouts:
            return start, expected or layouts.most_common(1)[0][0]
    return start, None


def _add(manifest, file, name, record, layout):
    reason = record if isinstance(record, str) else _difference(record.layout, layout)
    if reason:
        manifest["broken"][name] = reason
        return
    file.write(record.digital.tobytes())
    manifest["names"].append(name)
    manifest["gains"].append(record.gains)
    manifest["baselines"].append(record.baselines)
    manifest["checksums"].append(_checksum(record.digital))


def _difference(came, layout):
    """What of a record's layout is not as expected; None where all is."""
    for field, value, expected in zip(Layout._fields, came, layout, strict=True):
        if value != expected:
            return f"{field.replace('_', ' ')} {_text(value)} instead of {_text(expected)}"
    return None


def _text(value):
    return " ".join(value) if isinstance(value, tuple) else f"{value:,.10g}"


@contextlib.contextmanager
def _replacing(path, size):
    """A file that gets the name `path` when it is complete, and vanishes on any error or Ctrl-C before."""
    try:
        with writing.whole(path) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise OSError(
            error.errno,
            f"cannot write the sample cache of {size / 1e6:,.2f} MB into {path.parent}: {why}. "
            "Make room there, or name another folder: ECG_CACHE=folder",
        ) from error


def _remove_stale(path):
    """Remove the caches of the same records as they were before; who has one open keeps it."""
    for old in path.parent.glob(f"{path.name[:8]}-*"):
        if old.stem != path.stem and old.suffix in (".samples", ".json"):
            with contextlib.suppress(OSError):
                old.unlink()
