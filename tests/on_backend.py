"""A training step of networks under one backend, from given weights: `test_backends` runs it once for each.

    KERAS_BACKEND=jax python tests/on_backend.py FOLDER NETWORK...

Weights are taken from FOLDER, where there are none put there. Left are the network after the step, as two files, and
what was told: its loss, its probabilities, and those of the files that other backends have left before.
"""

import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

import losses
import models
import settings
import training

SIZES = {"filters": (4, 8), "kernels": (3, 3), "lstm_units": 3, "dense_units": 4, "combined_units": 4, "pooling": 10}
TOKENS = 9


def records(name):
    """What a network is given, eight times, and three labels of each."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (8, 3)).astype("float32")
    if name == "token_lstm":
        return rng.integers(0, TOKENS, (8, 30)).astype("int32"), labels
    return [rng.normal(size=shape).astype("float32") for shape in ((8, 200, 2), (8, 2))], labels


def network(name, inputs):
    """A small network without dropout, which no two backends draw alike, and its settings."""
    config = replace(settings.Config(), model=name, dropout=0.0, **SIZES)
    if name == "token_lstm":
        return models.build(config, 30, 2, 3, {"tokens": TOKENS}), config
    return models.build(config, 200, 2, 3, models.scales_of(*inputs)), config


def step(name, folder):
    """Train one step, save, and tell."""
    inputs, labels = records(name)
    model, config = network(name, inputs)
    start = folder / f"{name}.weights.h5"
    model.load_weights(start) if start.exists() else model.save_weights(start)
    training.compile_model(model, config, losses.build(config, None, True), 10)
    told = {f"loss of {name}": model.train_on_batch(inputs, labels)}
    for suffix in (".h5", ".keras"):
        model.save(folder / f"{name}-{keras.backend.backend()}{suffix}")
    for path in [*folder.glob(f"{name}-*.h5"), *folder.glob(f"{name}-*.keras")]:
        told[path.name] = keras.models.load_model(path, compile=False).predict_on_batch(inputs)
    return told


def main(folder, names):
    told = {key: value for name in names for key, value in step(name, folder).items()}
    np.savez(folder / f"{keras.backend.backend()}.npz", **told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
