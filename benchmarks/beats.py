"""How long MIT-BIH takes from files to training arrays or text, and how many beats a second the beat networks take.

    python benchmarks/beats.py --folder datasets/mitdb

Prints tables and writes `results/beats.md` and `.json`. The plain loop reads each record with wfdb and cuts its beats
one by one. "As the loop", the reader cuts the same windows, and finds features of each beat; "all it can" is both
leads, filtered, resampled and less the usual beat. All files are read once before the clock starts; a first start has
no cache of ours. Run it on an idle machine.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb
from throughput import ROOT, load_of_machine, write

sys.path.insert(0, str(ROOT))
import beats  # noqa: E402  they lie in the folder above
import data_mitbih  # noqa: E402
import recipes  # noqa: E402

NETWORKS = ("cnn-lstm", "cnn-lstm-context", "local-lead-attention")
BATCH = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "datasets" / "mitdb", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=20, help="timed of each network (default: %(default)s)")
    arguments = parser.parse_args()
    load = load_of_machine()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ECG_CACHE"] = cache
        reading = time_reading(arguments.folder)
        text = time_text(arguments.folder)
    networks = {name: beats_a_second(recipes.RECIPES[name], arguments.steps) for name in NETWORKS}
    loop = reading["wfdb loop"]
    tables = (
        [{"way": way, "seconds": took, "times the loop": loop / took} for way, took in reading.items()],
        [{"text": what, "seconds": took} for what, took in text.items()],
        [{"recipe": name} | speeds for name, speeds in networks.items()],
    )
    write("beats", load, arguments, *map(pd.DataFrame, tables))


def time_reading(folder):
    """Seconds of each way to have windows of all beats in memory."""
    config = recipes.RECIPES["cnn-lstm-context"]
    options = {name: getattr(config, name) for name in ("sampling_rate", "window", "band", "deviation")}
    for path in filter(Path.is_file, folder.glob("*.*")):
        path.read_bytes()  # so that the first to be timed does not wait for the disk
    full = {"protocol": "random", "leads": ("MLII/V5", "other"), **options}
    return {
        "wfdb loop": seconds(lambda: loop(folder)),
        "reader, as the loop, first start": seconds(lambda: data_mitbih.load(folder, "beats", protocol="random")),
        "reader, as the loop, second start": seconds(lambda: data_mitbih.load(folder, "beats", protocol="random")),
        "reader, all it can, first start": seconds(lambda: data_mitbih.load(folder, "beats", **full)),
        "reader, all it can, second start": seconds(lambda: data_mitbih.load(folder, "beats", **full)),
    }


def time_text(folder):
    """Seconds in which the vocabulary is learned from the training beats, and all beats become tokens."""
    import card
    from inputs import Inputs

    config = recipes.choose("beat-tokens", protocol="random")
    given = {name: getattr(config, name) for name in recipes.READING if getattr(config, name) is not None}
    data = data_mitbih.load(folder, "beats", **given)
    start = time.perf_counter()
    described = card.describe(config, data, data.rows("train"))
    learned = time.perf_counter() - start
    inputs = Inputs(data, described)
    name = f"all {len(data.labels):,} beats to {inputs.length} tokens each"
    return {f"vocabulary of {len(data.rows('train')):,} beats": learned, name: seconds(lambda: inputs.sequences)}


def loop(folder, before=108, after=180):
    """Windows of one lead around all beats that lie far enough from the ends."""
    windows = []
    for name in data_mitbih.RECORDS:
        signals, _ = wfdb.rdsamp(str(folder / name))
        annotation = wfdb.rdann(str(folder / name), "atr")
        for sample, symbol in zip(annotation.sample, annotation.symbol, strict=True):
            if symbol in beats.AAMI and before <= sample <= len(signals) - after:
                windows.append(signals[sample - before : sample + after, :1].astype("float32"))
    return np.stack(windows)


def beats_a_second(config, steps):
    """How many beats are trained on and predicted in a second, in batches of 128."""
    import models

    samples = 187 if config.window is None else sum(round(part * config.sampling_rate) for part in config.window)
    leads, features = len(config.leads or "1"), len(config.features)  # about as many as names
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(BATCH, samples, leads)).astype("float32")
    columns = rng.normal(size=(BATCH, features)).astype("float32")
    model = models.build(config, samples, leads, 5, models.scales_of(signals, columns), multilabel=False)
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    inputs = [signals, columns] if features else signals
    labels = np.eye(5)[rng.integers(0, 5, BATCH)]
    work = {
        "trained on, beats a second": lambda: model.train_on_batch(inputs, labels),
        "predicted, beats a second": lambda: model.predict_on_batch(inputs),
    }
    speeds = {}
    for name, step in work.items():
        step()  # traces and allocates
        speeds[name] = round(BATCH * steps / seconds(lambda step=step: [step() for _ in range(steps)]))
    return speeds


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
