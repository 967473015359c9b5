"""Records a second of `residual_bilstm` in Keras, beside the same network in plain PyTorch, on this machine.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --variants keras keras-onednn-bfloat16 keras-jax torch torch-bfloat16

A step is a batch of random numbers in PTB-XL's shape: forward, cross-entropy, backward and Adam, or forward alone.
Prints a table and writes it to `results/throughput.md`, with all settings to `.json`. Run it on an idle machine:
PyTorch's threads spin while they wait, and other work then costs them most of their speed, unless they sleep
(`torch-passive`). Ratios are to the faster of PyTorch's.
"""

import argparse
import functools
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import timeit
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import recipes  # noqa: E402
import report  # noqa: E402
import writing  # noqa: E402

SAMPLES, LEADS, FEATURES, CLASSES = 1000, 12, 2, 5
WARM_UP = 2  # steps before the clock starts: they trace, compile and allocate
PEERS = ("torch", "torch-passive")


def random_batch(records):
    """Signals `(records, samples, leads)`, features `(records, features)` and labels `(records, classes)`."""
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(records, SAMPLES, LEADS)).astype("float32")
    features = rng.normal(size=(records, FEATURES)).astype("float32")
    return signals, features, rng.integers(0, 2, (records, CLASSES)).astype("float32")


def keras_steps(records, backend="tensorflow", policy="float32", onednn_bfloat16=False):
    """A training step, a prediction step, and the number of trainable parameters."""
    os.environ["KERAS_BACKEND"] = backend  # Keras reads it once, when first imported
    import keras

    import models

    if onednn_bfloat16:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    keras.config.set_dtype_policy(policy)
    config = recipes.choose("ptbxl")
    signals, features, labels = random_batch(records)
    model = models.build(config, SAMPLES, LEADS, CLASSES, models.scales_of(signals, features))
    model.compile(keras.optimizers.Adam(config.learning_rate), "binary_crossentropy")
    train = functools.partial(model.train_on_batch, [signals, features], labels)
    predict = functools.partial(model.predict_on_batch, [signals, features])
    return train, predict, sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def torch_steps(records, bfloat16=False, passive=False):
    """What `keras_steps` gives, for PyTorch."""
    if passive:
        os.environ["OMP_WAIT_POLICY"] = "passive"  # OpenMP reads it once, when PyTorch is first imported
    import torch

    config = recipes.choose("ptbxl")
    signals, features, labels = (torch.from_numpy(array) for array in random_batch(records))
    signals = signals.mT.contiguous()  # (records, leads, samples), the order that PyTorch likes
    network = torch_network(config)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)

    def logits():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return torch_forward(network, signals, features).float()

    def train():
        network.train()
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits(), labels).backward()
        optimizer.step()

    def predict():
        network.eval()
        with torch.inference_mode():
            return torch.sigmoid(logits()).numpy()

    return train, predict, sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def torch_network(config):
    """The modules of `models.residual_bilstm`; `torch_forward` says how they follow each other."""
    from torch import nn

    units, dropout = config.lstm_units, nn.Dropout(config.dropout)
    sizes = zip((LEADS, *config.filters), config.filters, config.kernels, strict=False)
    lstm = nn.LSTM(config.filters[-1], units, batch_first=True, bidirectional=True)
    for name, weight in lstm.named_parameters():
        weight.requires_grad_(not name.startswith("bias_hh"))  # a second bias, which Keras does not have
    scores = nn.Linear(2 * units, units), nn.Tanh(), nn.Linear(units, 1, bias=False)
    combined = nn.Linear(config.dense_units + config.metadata_units, config.combined_units)
    modules = {
        "blocks": nn.ModuleList(torch_block(*size, dropout) for size in sizes),
        "lstm": lstm,
        "dropout": dropout,
        "attention": nn.Sequential(*scores, nn.Softmax(dim=1)),
        "dense": nn.Sequential(nn.Linear(2 * units, config.dense_units), nn.ReLU(), dropout),
        "metadata": nn.Sequential(nn.Linear(FEATURES, config.metadata_units), nn.ReLU()),
        "head": nn.Sequential(combined, nn.ReLU(), dropout, nn.Linear(config.combined_units, CLASSES)),
    }
    return nn.ModuleDict(modules)


def torch_block(channels, filters, kernel, dropout):
    """`blocks.residual_block` in two branches."""
    from torch import nn

    def convolution(channels, kernel):
        return nn.Conv1d(channels, filters, kernel, padding="same", bias=False), nn.BatchNorm1d(filters)

    main = nn.Sequential(*convolution(channels, kernel), nn.ReLU(), dropout, *convolution(filters, kernel))
    return nn.ModuleDict({"shortcut": nn.Sequential(*convolution(channels, 1)), "main": main})


def torch_forward(network, x, features):
    """Signals `(records, leads, samples)` and features to logits `(records, classes)`."""
    import torch

    for block in network["blocks"]:
        x = torch.max_pool1d(torch.relu(block["shortcut"](x) + block["main"](x)), 2)
    x = network["dropout"](network["lstm"](x.mT)[0])  # (records, steps, channels)
    x = (network["attention"](x).mT @ x).squeeze(1)  # (records, channels)
    return network["head"](torch.cat([network["dense"](x), network["metadata"](features)], dim=1))


VARIANTS = {
    "keras": keras_steps,
    "keras-mixed-bfloat16": functools.partial(keras_steps, policy="mixed_bfloat16"),
    "keras-onednn-bfloat16": functools.partial(keras_steps, onednn_bfloat16=True),
    "keras-jax": functools.partial(keras_steps, backend="jax"),
    "torch": torch_steps,
    "torch-passive": functools.partial(torch_steps, passive=True),
    "torch-bfloat16": functools.partial(torch_steps, bfloat16=True),
}


def measure(variant, records, steps):
    """A row for training and one for prediction, each the speed of its median step."""
    train, predict, parameters = VARIANTS[variant](records)
    rows = []
    for work, step in (("training", train), ("prediction", predict)):
        speed = records / seconds(step, steps)
        rows.append({"variant": variant, "work": work, "speed": speed, "parameters": parameters})
    return rows


def seconds(step, steps):
    """How long the median of so many calls takes."""
    return statistics.median(timeit.repeat(step, number=1, repeat=WARM_UP + steps)[WARM_UP:])


def measure_in_turn(measure, variants, *settings):
    """A process for each measurement: the thread pools of TensorFlow and others disturb each other."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        blocks = pool.map(measure, variants, *map(itertools.repeat, settings))
        return pd.DataFrame(itertools.chain.from_iterable(blocks))


def load_of_machine():
    """How much other work is going on, said aloud if it is enough to disturb."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"mind: other work is going on (load {load:.1f}), which slows the variants unequally", file=sys.stderr)
    return load


def write(name, load, options, *tables):
    """Print what was measured, and write it to `results/<name>.md`, and with the settings to `.json`."""
    text = "\n\n".join(report.markdown(table.map(shown)) for table in tables) + "\n"
    print(text)
    rows = [row for table in tables for row in table.to_dict("records")]
    about = {**vars(options), "cores": os.cpu_count(), "load": load, "rows": rows}
    for ending, content in ((".md", text), (".json", json.dumps(about, indent=2, default=str))):
        with writing.whole(ROOT / "results" / f"{name}{ending}") as temporary:
            temporary.write_text(content)


def shown(value):
    """A value of a table as text: numbers with commas, and two or three digits behind which nothing is certain."""
    if isinstance(value, float):
        return f"{value:,.{1 if abs(value) >= 10 else 2}f}"
    return f"{value:,}" if isinstance(value, int) else value


def summarize(measured):
    """Records a second of each variant and work: median, least and most of the turns, and how many times PyTorch's."""
    if measured["parameters"].nunique() > 1:
        raise ValueError(f"one architecture was expected, but the numbers of parameters differ:\n{measured}")
    table = measured.groupby(["variant", "work"], sort=False)["speed"].agg(["median", "min", "max"])
    peers = table["median"][table.index.isin(PEERS, level="variant")].groupby("work").max()
    return table.assign(times_torch=table["median"].div(peers, level="work")).reset_index()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["keras", *PEERS])
    parser.add_argument("--batch", type=int, default=64, help="records a step")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each work in a turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of each variant")
    options = parser.parse_args()
    load = load_of_machine()
    # A B A B, so that a slow minute of the machine meets all variants.
    measured = measure_in_turn(measure, options.variants * options.turns, options.batch, options.steps)
    table = summarize(measured)
    print(f"records a second; the same {measured['parameters'][0]:,} trainable parameters in each variant")
    write("throughput", load, options, table)


if __name__ == "__main__":
    main()
