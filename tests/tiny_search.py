"""Searches for tests whose trials take no time: their scores are a formula of the settings."""

import functools
import os
import signal
import time

import dataset
import oracles
import recipes
import search
import spaces
from trials import Plan

SPACE = {"learning_rate": spaces.Range(1e-4, 1e-2, log=True), "lstm_units": (32, 64, 128), "filters": ((32, 32), (64,))}


def formula(config, read, folder):
    """A score without training: the best learning rate is 1e-3; each call leaves a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"called-{os.getpid()}.txt").touch()
    for name in ("model.h5", "state.npz", "log.csv"):
        (folder / name).touch()
    return 1 - abs(config.learning_rate - 1e-3) - config.lstm_units / 1e6 + config.seed / 1e3, config.epochs


def slow(config, read, folder):
    time.sleep(0.3)
    return formula(config, read, folder)


def failing(config, read, folder):
    """Fails for 32 units, and is killed for 64."""
    if config.lstm_units == 32:
        raise FloatingPointError("the loss became nan")
    if config.lstm_units == 64:
        os.kill(os.getpid(), signal.SIGKILL)
    return formula(config, read, folder)


def plan(folder, train=formula, **changes):
    settings = {"config": recipes.RECIPES["demo"], "space": SPACE, "trials": 5}
    read = functools.partial(dataset.load, "demo", records=60)
    return Plan(**settings | {"train": train, "read": read, "folder": folder} | changes)


def run(plan):
    """The oracle of a search that was run here."""
    oracle = oracles.build(plan)
    search.work(oracle, plan, "worker")
    return oracle
