"""How fast a saved model predicts one record and batches: in Keras, ONNX Runtime and LiteRT, on this processor.

    python benchmarks/inference.py
    python benchmarks/inference.py saved_models/cnn-lstm-context.h5 --batches 1 128

Exports the model to a temporary folder, and prints milliseconds a call, records a second, and how many times as fast as
`model.predict` that is. Writes `results/inference.md` and `.json`. LiteRT takes the records of a batch one by one. Run
it on an idle machine: threads of ONNX Runtime spin while they wait, and other work then costs them most of their speed.
"""

import argparse
import functools
import sys
import tempfile
from pathlib import Path

import numpy as np
from throughput import ROOT, load_of_machine, measure_in_turn, seconds, write

sys.path.insert(0, str(ROOT))
import card as cards  # noqa: E402  they lie in the folder above
import export  # noqa: E402
from inputs import Inputs, as_inputs  # noqa: E402

KERAS = {
    "model.predict": lambda model, inputs: model.predict(inputs, batch_size=4096, verbose=0),
    "model(x)": lambda model, inputs: model(inputs),
}


def measure(way, path, folder, batches, steps):
    """A row for each size of batch, with the seconds of a call."""
    card = cards.read(path)
    if way in KERAS:
        predict = functools.partial(KERAS[way], cards.load(path)[0])
    else:
        how = export.FORMATS[way]
        predict = how.open(folder / f"model{how.ending}").predict_on_batch
    rows = []
    for records in batches:
        inputs = as_inputs(*Inputs(export.synthetic(card, records), card)[np.arange(records)])
        inputs = list(inputs) if isinstance(inputs, tuple) else inputs
        rows.append({"way": way, "records": records, "seconds": seconds(functools.partial(predict, inputs), steps)})
    return rows


def summarize(measured):
    """For each size of batch and way: the median of the turns, and how many times as fast as `model.predict` it is."""
    table = measured.groupby(["records", "way"], sort=False)["seconds"].median().unstack()
    ratios = table[["model.predict"]].to_numpy() / table
    rows = table.stack().rename("seconds").reset_index()
    return rows.assign(
        milliseconds=1000 * rows["seconds"],
        records_a_second=rows["records"] / rows["seconds"],
        times_predict=ratios.stack().to_numpy(),
    ).drop(columns="seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "saved_models" / "Final-ECG-Model.h5"
    parser.add_argument("model", type=Path, nargs="?", default=default, help="default: %(default)s")
    parser.add_argument("--ways", nargs="+", choices=[*KERAS, *export.FORMATS], default=[*KERAS, *export.FORMATS])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 128], help="records a call")
    parser.add_argument("--steps", type=int, default=20, help="timed calls in a turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of each way")
    options = parser.parse_args()
    if "model.predict" not in options.ways:
        parser.error("--ways needs model.predict, which the others are compared with")
    load = load_of_machine()
    export.choose_backend()
    with tempfile.TemporaryDirectory() as folder:
        model, card = cards.load(options.model)
        for name in set(options.ways) - set(KERAS):
            how = export.FORMATS[name]
            (Path(folder) / f"model{how.ending}").write_bytes(how.make(model, card))
        # A B A B, so that a slow minute of the machine meets all ways.
        settings = options.model, Path(folder), options.batches, options.steps
        table = summarize(measure_in_turn(measure, options.ways * options.turns, *settings))
    write("inference", load, options, table)


if __name__ == "__main__":
    main()
