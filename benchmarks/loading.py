"""How long reading records takes: wfdb in a loop, a first start, a second start; and how much memory an epoch takes.

    python benchmarks/loading.py --folder datasets/ptbxl --records 2000

Prints tables and writes `results/loading.md` and `.json`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from throughput import ROOT, load_of_machine, write

sys.path.insert(0, str(ROOT))
import records  # noqa: E402  it lies in the folder above


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "datasets" / "ptbxl", help="a PTB-XL (default: %(default)s)"
    )
    parser.add_argument("--records", type=int, default=2000, help="how many to time (default: %(default)s)")
    parser.add_argument("--epoch", help=argparse.SUPPRESS)  # the cache to draw an epoch from, in a process of its own
    arguments = parser.parse_args()
    names = names_in(arguments.folder)
    if arguments.epoch:
        print(json.dumps(draw_epoch(arguments.folder, names, arguments.epoch)))
        return
    load, timed = load_of_machine(), names[: arguments.records]
    with tempfile.TemporaryDirectory() as cache:
        reading = time_reading(arguments.folder, timed, cache)
        epoch = measure_epoch(arguments.folder, names, cache)
    loop = reading["wfdb.rdsamp loop"]
    rows = [
        {"way": way, "records": len(timed), "seconds": took, "times the loop": loop / took}
        for way, took in reading.items()
    ]
    write("loading", load, arguments, pd.DataFrame(rows), pd.DataFrame([epoch]))


def names_in(folder):
    """Every record of 100 Hz, as `records.read` wants them."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("records100/*/*.hea"))
    if not names:
        sys.exit(f"no records in {folder}/records100; name a PTB-XL with --folder")
    return names


def time_reading(folder, names, cache):
    """Seconds of each way to have all samples as numbers in millivolt."""
    return {
        "wfdb.rdsamp loop": seconds(lambda: read_by_wfdb(folder, names)),
        "first start": seconds(lambda: records.read(folder, names, cache)),
        "second start": seconds(lambda: records.read(folder, names, cache)),
        "second start and all samples": seconds(lambda: read_all(records.read(folder, names, cache).signals)),
    }


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def read_by_wfdb(folder, names):
    for name in names:
        wfdb.rdsamp(str(folder / name))


def read_all(signals, batch=64):
    """Convert all to float32, a batch at a time as training does."""
    for start in range(0, len(signals), batch):
        signals[start : start + batch]


def measure_epoch(folder, names, cache):
    """Build the cache of all records, then draw an epoch in a fresh process, whose memory is of nothing else."""
    built = seconds(lambda: records.read(folder, names, cache))
    command = [sys.executable, __file__, "--folder", str(folder), "--epoch", cache]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {"records": len(names), "first start, s": built} | json.loads(output)


def draw_epoch(folder, names, cache):
    """Every record once, in random batches of 64 in float32.

    The peak counts the pages of the cache file too, which the system takes back when it needs them.
    """
    before = peak_memory()
    start = time.perf_counter()
    signals = records.read(folder, names, cache).signals
    opened = time.perf_counter() - start
    order = np.random.default_rng(0).permutation(len(signals))
    drawn = seconds(lambda: read_all(signals.take(order)))
    memory = {
        "peak MB": peak_memory(),
        "of it imports MB": before,
        "samples in float32 MB": np.prod(signals.shape) * 4 / 1e6,
    }
    return {"second start, s": opened, "epoch, s": drawn} | memory


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 * (1 if sys.platform == "linux" else 1e-3)


if __name__ == "__main__":
    main()
