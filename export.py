"""A trained model for other people's programs: `python export.py MODEL --format onnx onnx-int8 litert`.

NAME.onnx, NAME-float16.onnx, NAME-int8.onnx and NAME.tflite go beside the model, or to the folder `--out`. Each is kept
only if it tells of validation records what Keras tells, or, where the model's dataset is not at hand, of synthetic
ones. NAME-export.md says how nearly, and how large and how fast each is. The card goes along as NAME.json, and inside
ONNX files. ONNX takes any number of records at once, LiteRT one: for more, an LSTM would need operators of TensorFlow.
"""

import argparse
import contextlib
import functools
import math
import os
import statistics
import sys
import tempfile
import timeit
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import card as cards
import data_demo
import metrics
import recipes
import report
import runtimes
import settings
import writing
from inputs import Inputs, Recorded, as_inputs, predict_rows

SMALL = 10_000  # a layer of fewer weights is not worth its rounding: the last ones make the probabilities
WARM_UP, TIMED = 3, 20  # calls before the clock starts, and those whose median is told
SHOWN = {
    "largest difference": "{:.1e}",
    "macro AUC": "{:.4f}",
    "AUC difference": "{:+.5f}",
    "ms a record": "{:.2f}",
    "MB": "{:.2f}",
}


def choose_backend():
    """TensorFlow without a GPU, whatever trained the model: converters read its graphs, but not with cuDNN's LSTM."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}


def outputs_of(model):
    """Outputs by name: probabilities and, where the model has that layer, attention."""
    import models  # here, since it brings Keras, whose backend is chosen before

    outputs = {"probabilities": model.output}
    with contextlib.suppress(ValueError):  # no such layer
        outputs["attention"] = models.attention_of(model).output
    return outputs


@functools.lru_cache(maxsize=1)  # three files are made of one graph
def graph_of(model):
    """The ONNX graph of a Keras model, serialized, with inputs, outputs and the size of a batch by name."""
    import keras
    import onnx
    from onnx.tools.update_model_dims import update_inputs_outputs_dims

    outputs = outputs_of(model)
    several = keras.Model(model.input, list(outputs.values()))
    several(model.input)  # Keras exports what was called
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        several.export(path, format="onnx", verbose=False)
        made = onnx.load(path)
    names = dict(zip((output.name for output in made.graph.output), outputs, strict=True))
    for node in made.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for output in made.graph.output:
        output.name = names[output.name]
    takes = {tensor.name: ["batch", *tensor.shape[1:]] for tensor in model.inputs}
    gives = {name: ["batch", *tensor.shape[1:]] for name, tensor in outputs.items()}
    return update_inputs_outputs_dims(made, takes, gives).SerializeToString()


def as_onnx(model, card, change=None):
    """An ONNX file with its card inside, as bytes; `change` makes another graph of the graph."""
    import onnx

    made = onnx.load_from_string(graph_of(model))
    made = change(made) if change else made
    onnx.helper.set_model_props(made, {"card": cards.as_json(card)})
    return made.SerializeToString()


def to_float16(made):
    """Weights and arithmetic in half precision; inputs and outputs stay float32."""
    from onnxruntime.transformers import float16

    return float16.convert_float_to_float16(made, keep_io_types=True)


def to_int8(made):
    """Large dense layers, LSTM and embedding with weights of eight bits, and their inputs rounded to as many.

    How finely, depends on all inputs of a call: a record's probability varies a little with the records beside it.
    Convolutions in eight bits move probabilities by up to 0.17, and are no faster.
    """
    import onnx
    from onnxruntime import quantization

    sizes = {weight.name: math.prod(weight.dims) for weight in made.graph.initializer}
    small = [node.name for node in made.graph.node if sum(sizes.get(name, 0) for name in node.input) < SMALL]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantization.quantize_dynamic(
            made,
            path,
            op_types_to_quantize=["MatMul", "LSTM", "Gather"],
            per_channel=True,
            weight_type=quantization.QuantType.QUInt8,  # sums of signed ones overflow on processors without VNNI
            nodes_to_exclude=small,
        )
        return onnx.load(path)


def as_litert(model, card):
    """A LiteRT file for one record, as bytes; the card is not inside."""
    import keras
    import tensorflow as tf

    named = keras.Model(model.input, outputs_of(model))
    takes = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, tensor.name) for tensor in model.inputs]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        only = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
        signature = [takes] if len(takes) > 1 else takes
        named.export(path, format="litert", verbose=False, input_signature=signature, target_spec=only)
        return path.read_bytes()


class Format(NamedTuple):
    """How a file is made and opened, and by how much a probability may differ from that of Keras."""

    ending: str
    make: Callable
    open: Callable
    tolerance: float


FORMATS = {
    "onnx": Format(".onnx", as_onnx, runtimes.Onnx, 1e-5),
    "onnx-float16": Format("-float16.onnx", functools.partial(as_onnx, change=to_float16), runtimes.Onnx, 0.01),
    "onnx-int8": Format("-int8.onnx", functools.partial(as_onnx, change=to_int8), runtimes.Onnx, 0.05),
    "litert": Format(".tflite", as_litert, runtimes.LiteRT, 1e-5),
}


class Sample(NamedTuple):
    """Records on which files are compared, their labels `(records, classes)` if known, and what they are."""

    inputs: Inputs
    rows: np.ndarray
    labels: np.ndarray | None
    name: str


def sample_of(path, card, options):
    """Validation records, evenly spread, or synthetic ones where the dataset is not at hand."""
    try:
        data = recipes.read_data(settings.from_json(card.config), options)
    except FileNotFoundError as error:
        if options.data_dir:
            raise
        print(f"{error}\nSo files are compared on synthetic records.", file=sys.stderr)
        made = synthetic(card, options.records)
        return Sample(Inputs(made, card), np.arange(options.records), None, "synthetic records")
    cards.check_fits(path, card, data)
    rows = data.rows("validation")
    rows = rows[np.linspace(0, len(rows) - 1, min(options.records, len(rows))).astype(int)]
    return Sample(Inputs(data, card), rows, data.labels[rows], f"validation records of {data.source} {data.task}")


def synthetic(card, records):
    """Recordings of data_demo, as if the model's leads were among its own; features unknown."""
    data = data_demo.load(None, "superclass", records=max(records, data_demo.FEWEST))
    signals = data.signals[:records, :, np.arange(len(card.leads)) % len(data.leads)]
    features = np.full((records, len(card.feature_names)), np.nan, "float32")
    return Recorded(signals, card.leads, data.sampling_rate, features, card.feature_names)


def measure(model, sample):
    """Probabilities of the sample, and how good and how fast they are, as a dict."""
    told = predict_rows(model, sample.inputs, sample.rows)
    one = as_inputs(*sample.inputs[sample.rows[:1]])
    times = timeit.repeat(lambda: model.predict_on_batch(one), number=1, repeat=WARM_UP + TIMED)
    known = sample.labels is not None and metrics.present(sample.labels).any()
    return told, {
        "macro AUC": metrics.macro_auc(sample.labels, told) if known else np.nan,
        "ms a record": 1000 * statistics.median(times[WARM_UP:]),
    }


def keep(made, path, how, sample, expected):
    """Write a file if it tells what is expected; returns its row of the table.

    Raises:
        ValueError: a probability differs by more than the format may.
    """
    with writing.whole(path) as temporary:
        temporary.write_bytes(made)
        told, row = measure(how.open(temporary), sample)
        difference = np.abs(told - expected).max()
        if not difference <= how.tolerance:  # NaN is not
            raise ValueError(f"a probability differs by {difference:.2g}, more than {how.tolerance:g}")
        return {"largest difference": difference, **row, "MB": len(made) / 1e6}


def export(path, formats, folder, sample):
    """Write the files of a model to a folder; returns the table, with a row for each, kept or not."""
    model, card = cards.load(path)
    expected, row = measure(model, sample)
    size = sum(file.stat().st_size for file in [path.parent / member for member in card.members] or [path])
    table = [{"file": f"{path.name} (Keras)", "largest difference": 0.0, **row, "MB": size / 1e6}]
    for name in formats:
        how = FORMATS[name]
        file = folder / f"{path.stem}{how.ending}"
        try:
            row = keep(how.make(model, card), file, how, sample, expected)
        except Exception as error:  # a converter may fail in any way; the table says so, and the others go on
            row = {"not kept": f"{type(error).__name__}: {error}".splitlines()[0]}
        table.append({"file": file.name, **row})
    table = pd.DataFrame(table)
    table.insert(2, "AUC difference", table["macro AUC"] - table["macro AUC"][0])
    return table


def as_text(table, sample):
    """The table in Markdown, with a sentence about the records."""
    shown = {name: table[name].map(pattern.format).where(table[name].notna(), "") for name, pattern in SHOWN.items()}
    text = report.markdown(table.assign(**shown).fillna(""))
    return f"Compared with Keras on {len(sample.rows)} {sample.name}.\n\n{text}\n"


def arguments(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model with its card, or the card of an ensemble")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=list(FORMATS), help="default: all")
    parser.add_argument("--out", type=Path, help="folder; the model's own when not given")
    parser.add_argument("--records", type=int, default=512, help="to compare on (default: %(default)s)")
    recipes.add_data_arguments(parser)
    options = parser.parse_args(argv)
    if options.model.suffix == cards.ONNX:
        parser.error(f"{options.model} is an exported file already; name the model that it was made from")
    if options.records < 1:
        parser.error(f"--records must be at least 1, but {options.records} came")
    return options


def main(argv=None):
    """The command."""
    options = arguments(argv)
    choose_backend()
    path, card = options.model, cards.read(options.model)
    folder = options.out or path.parent
    sample = sample_of(path, card, options)
    if folder.resolve() != path.parent.resolve():
        members = tuple(os.path.relpath(path.parent / member, folder) for member in card.members)
        cards.write(folder / path.name, replace(card, members=members))
    table = export(path, options.format, folder, sample)
    text = as_text(table, sample)
    with writing.whole(folder / f"{path.stem}-export.md") as temporary:
        temporary.write_text(text)
    print(text)
    if "not kept" in table:
        raise ValueError(f"not kept: {', '.join(table['file'][table['not kept'].notna()])}; the table says why")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"export: {error}")
