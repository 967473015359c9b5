"""How fast `predict.py MODEL FOLDER --csv` goes over an archive, and how much memory it takes, by number of records.

    python benchmarks/archive.py saved_models/Final-ECG-Model.onnx --records 1000 20000
    python benchmarks/archive.py --folder datasets/ptbxl/records100 --records 1000 21799

Takes the first records of a folder, or writes synthetic ones of noise, ten seconds at the model's sampling rate, to a
temporary folder (480 MB for 20,000 of twelve leads at 100 Hz). The seconds are of the whole command, its start
included. Writes `results/archive.json` and `.md`.
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


def link_records(folder, source, first, last):
    """Records of another folder, by their place in it."""
    folder.mkdir(exist_ok=True)
    for header in sorted(source.resolve().rglob("*.hea"))[first:last]:
        for path in (header, header.with_suffix(".dat")):
            (folder / path.name).symlink_to(path)


def measure(model, folder, table):
    """Seconds and peak memory of the command."""
    command = [sys.executable, ROOT / "predict.py", model, folder, "--csv", table]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the command failed: {status}")
    seconds = time.perf_counter() - start
    rows = pd.read_csv(table)
    return {
        "records": len(rows),
        "of them broken": int(rows["error"].notna().sum()),
        "seconds": seconds,
        "records a second": len(rows) / seconds,
        "peak MB": usage.ru_maxrss / 1e3 * (1 if sys.platform == "linux" else 1e-3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "saved_models" / "Final-ECG-Model.onnx"
    parser.add_argument("model", type=Path, nargs="?", default=default, help="of whole records (default: %(default)s)")
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 20000], help="sizes of archives, rising")
    parser.add_argument("--folder", type=Path, help="of WFDB records to take, instead of noise")
    options = parser.parse_args()
    load, card = load_of_machine(), cards.read(options.model)
    rows, written = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder, table = Path(temporary) / "records", Path(temporary) / "table.csv"
        for records in options.records:
            if options.folder:
                link_records(folder, options.folder, written, records)
            else:
                write_records(folder, card, written, records)
            written = records
            rows.append(measure(options.model, folder, table))
    write("archive", load, options, pd.DataFrame(rows))


if __name__ == "__main__":
    main()
