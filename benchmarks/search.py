"""A small search on the demo data: its memory after each trial, and its wall time by number of workers (Linux only).

    python benchmarks/search.py --trials 20 --workers 1 2

Prints a table and writes `results/search.md`. Memory is that of the command and of all processes that it has started,
shared pages counted once, when a trial has just ended.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import report  # noqa: E402  they lie in the folder above
import writing  # noqa: E402

SEARCH = "--dataset demo --epochs 1 --data-fraction 0.2 --crop 1 --tuner random --lstm-units 16 --dense-units 32"


def measure(workers, trials, folder):
    """Seconds of a search, and megabytes after each of its trials."""
    words = [sys.executable, "tune.py", *SEARCH.split(), "--trials", str(trials), "--workers", str(workers)]
    start, megabytes = time.perf_counter(), []
    run = subprocess.Popen([*words, "--out", folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("trial "):
            megabytes.append(sum(map(memory, family(run.pid))))
    if run.wait():
        raise ChildProcessError(f"{' '.join(words)} ended with {run.returncode}")
    return time.perf_counter() - start, megabytes


def family(pid):
    """A process and all that it has started, directly or not."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield from family(int(child))


def memory(pid):
    """Megabytes of a process, its share of what it shares with others; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="of each search (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of each search (default: 1 2)")
    options = parser.parse_args()
    rows = []
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder:
            seconds, megabytes = measure(workers, options.trials, folder)
        rows.append({"workers": workers, "trials": len(megabytes), "seconds": round(seconds)})
        rows[-1] |= {f"MB after trial {n}": round(megabytes[n - 1]) for n in (3, 10, 20) if n <= len(megabytes)}
        print(rows[-1], flush=True)
    text = report.markdown(pd.DataFrame(rows))
    with writing.whole(ROOT / "results" / "search.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
