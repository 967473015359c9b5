"""Tiny training runs for tests."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import batches
import card as cards
import recipes
from inputs import Inputs

ROOT = Path(recipes.__file__).parent
TINY = replace(
    recipes.RECIPES["demo"],
    filters=(4,),
    kernels=(3,),
    lstm_units=3,
    dense_units=4,
    metadata_units=2,
    combined_units=4,
    crop=1.0,
    batch_size=16,
    epochs=2,
)


def feed(data, place=(0, 1), **changes):
    config = replace(TINY, **changes)
    rows = data.rows("train")
    return batches.Batches(Inputs(data, cards.describe(config, data, rows)), rows, config, data.labels, place)


def command(folder, *flags):
    """A deterministic tiny run of `training.py` as a process of its own."""
    tiny = "--filters 4 --kernels 3 --lstm-units 3 --dense-units 4 --combined-units 4 --crop 1 --data-fraction 0.2"
    fixed = "--dataset demo --epochs 5 --patience 2 --deterministic --augmentation noise"
    return process(folder, *tiny.split(), *fixed.split(), *flags)


def process(folder, *flags, **environment):
    """`training.py` as a process of its own."""
    words = [sys.executable, "-u", "training.py", *flags, "--out", str(folder)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
