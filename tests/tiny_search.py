"""Searches for tests."""

import time

from tiny_formulas import formula, read

import oracles
import processes
import recipes
import search
import spaces
import trials

SPACE = {"learning_rate": spaces.Range(1e-4, 1e-2, log=True), "lstm_units": (32, 64, 128), "filters": ((32, 32), (64,))}


def plan(folder, train=formula, **changes):
    settings = {"config": recipes.RECIPES["demo"], "space": SPACE, "trials": 5, "read": read}
    return trials.Plan(train=train, folder=folder, **settings | changes)


def run(plan):
    """The oracle of a search that was run here."""
    oracle = oracles.build(plan)
    search.work(oracle, plan, "worker")
    return oracle


def call_here(function, *arguments, beat=None):
    """Like `processes.call`, but in this process, which is quicker."""
    try:
        return function(*arguments)
    except Exception as error:
        raise processes.Failed(repr(error)) from error


def run_lightly(plan):
    """Like `run`, in a process of its own: what it starts in turn needs no Keras, and begins sooner without it."""
    processes.CONTEXT.set_forkserver_preload(["recipes"])
    run(plan)


def work_lightly(*arguments, work_for=search.work_for):
    """Like `search.work_for`, in a process of its own."""
    processes.CONTEXT.set_forkserver_preload(["recipes"])
    work_for(*arguments)


def wait_for(condition, seconds=60):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.02)
