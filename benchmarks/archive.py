"""How fast `predict.py MODEL FOLDER --csv` goes over an archive, and how much memory it takes, by number of records.

    python benchmarks/archive.py saved_models/Final-ECG-Model.onnx --records 1000 20000

Writes synthetic records of noise, ten seconds at the model's sampling rate, to a temporary folder (480 MB for 20,000 of
twelve leads at 100 Hz). The seconds are of the whole command, its start included. Writes `results/archive.json`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from throughput import ROOT, load_of_machine, write

sys.path.insert(0, str(ROOT))
import card as cards  # noqa: E402  it lies in the folder above


def write_records(folder, card, first, last):
    """Records of noise, by number; a header is written by hand, since wfdb takes several times as long."""
    rng = np.random.default_rng(first)
    folder.mkdir(exist_ok=True)
    for number in range(first, last):
        name = f"{number:06}"
        digital = rng.integers(-500, 500, (card.samples, len(card.leads)), dtype="<i2")
        (folder / f"{name}.dat").write_bytes(digital.tobytes())
        sums = zip(card.leads, digital.sum(axis=0, dtype="int16"), strict=True)
        leads = [f"{name}.dat 16 1000(0)/mV 16 0 0 {checksum} 0 {lead}" for lead, checksum in sums]
        first_line = f"{name} {len(card.leads)} {card.sampling_rate:g} {card.samples}"
        (folder / f"{name}.hea").write_text("\n".join([first_line, *leads, "#age: 60", "#sex: female", ""]))


def measure(model, folder, table, options=()):
    """Seconds and peak memory of the command."""
    command = [sys.executable, ROOT / "predict.py", model, folder, "--csv", table, *options]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the command failed: {status}")
    records = len(pd.read_csv(table))
    seconds = time.perf_counter() - start
    return {
        "records": records,
        "seconds": seconds,
        "records_a_second": records / seconds,
        "peak MB": usage.ru_maxrss / 1e3 * (1 if sys.platform == "linux" else 1e-3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "saved_models" / "Final-ECG-Model.onnx"
    parser.add_argument("model", type=Path, nargs="?", default=default, help="of whole records (default: %(default)s)")
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 20000], help="sizes of archives, rising")
    options = parser.parse_args()
    load, card = load_of_machine(), cards.read(options.model)
    rows, written = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder, table = Path(temporary) / "records", Path(temporary) / "table.csv"
        for records in options.records:
            write_records(folder, card, written, records)
            written = records
            rows.append(measure(options.model, folder, table))
    print(pd.DataFrame(rows).round(1).to_string(index=False))
    write("archive", pd.DataFrame(rows), load, options)


if __name__ == "__main__":
    main()
