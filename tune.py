"""Search for better settings: `python tune.py` searches those of recipe `ptbxl` by Bayesian optimisation.

The score is the macro AUC on validation records; the test split is not looked at. A flag of training.py changes the
setting that the search starts from, and is then not searched. The same command goes on with a search that was stopped.
On several machines with a common folder: KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT of the chief, everywhere;
KERASTUNER_TUNER_ID is chief at one of them and another name at each of the others.
"""

import argparse
import functools
import os
import sys
import time
from pathlib import Path

import pandas as pd

import oracles
import plots
import processes
import recipes
import report
import search
import settings
import spaces
import training
import trials

TRIALS = 30
SHOWN = 10  # of the best trials
CLUSTER = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
DATA = ("data_dir", "skip_broken")  # flags that the winning command needs as well
# A worker's share of the processor, as each library is told.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def plan_of(options):
    """The Plan that the command line asks for.

    Raises:
        ValueError: a setting that is unknown or cannot be searched.
    """
    config = recipes.from_arguments(options)
    training.check(config)
    return trials.Plan(
        config=config,
        space=spaces.of(config, settings.given(options), options.search),
        train=search.train,
        read=functools.partial(recipes.read_data, config, options),
        folder=options.out or Path("results") / f"tune-{recipes.default_name(config)}",
        tuner=options.tuner,
        trials=options.trials or (None if options.tuner == "hyperband" else TRIALS),
        executions=options.executions,
        keep=options.keep,
    )


def run(plan, oracle, options):
    """Search: as the only worker; or as the chief of workers that are started here or, at a given address, call it."""
    name, *address = (os.environ.get(variable) for variable in CLUSTER)
    if not name and (options.workers or 1) == 1:
        return search.work(oracle, plan, "worker")
    host, port = address if name else ("127.0.0.1", 0)
    count = options.workers or 0
    for variable in THREADS:
        os.environ.setdefault(variable, str(max(1, os.cpu_count() // max(1, count))))
    with search.chief(oracle, f"{host}:{port}") as port:
        names = [f"worker-{number}" for number in range(1, count + 1)]
        workers = {name: processes.start(search.work_for, plan, host, port, name) for name in names}
        print(f"the chief listens at {host}:{port}", flush=True)
        try:
            search.wait(oracle, workers)
        finally:
            for process in workers.values():
                process.kill()
    return None


def finish(plan, oracle, options):
    """Write the report of what has finished so far, and print the best trials and the line that trains the first."""
    rows = oracle.table()
    best = trials.best(rows, SHOWN)
    if not len(best):
        print("no trial has finished")
        return
    number, worth = best["trial"].iloc[0], trials.importance(plan, rows)
    config = next(plan.config_of(trial) for trial in oracle.trials.values() if int(trial.trial_id) == number)
    lines = [
        ", ".join(f"{count} {status}" for status, count in rows["status"].value_counts().items()),
        f"score: validation macro AUC at the best epoch, mean of seeds: {', '.join(map(str, plan.seeds))}",
        f"best: {best['score'].iloc[0]:.4f} of trial {number}; with its first seed again:",
    ]
    command = spaces.command(config, *data_flags(options), "--out", f"{plan.folder}-best")
    tables = tables_of(plan, rows, best, config, worth)
    report.write_search(plan.folder, lines, command, tables, figures_of(plan, rows, worth))
    print(f"\n{report.markdown(tables['Best trials'])}\n\nwritten to {plan.folder}: report.html, report.md, trials.csv")
    print("\n".join([*lines, command]))


def tables_of(plan, rows, best, config, worth):
    """Tables of text for the report."""
    values = [(name, getattr(plan.config, name), getattr(config, name)) for name in trials.bounds(plan, rows)]
    tables = {
        "Best trials": best.drop(columns=["status", "error"]),
        "Importance": worth.rename_axis("setting").reset_index(),
        "Published values and the best": pd.DataFrame(values, columns=["setting", "published", "best"]),
        "Failed trials": rows.loc[rows["status"] == "failed", ["trial", "error"]],
    }
    return {title: table.map(as_text) for title, table in tables.items() if len(table)}


def as_text(value):
    """A value for a table; none where there is none."""
    return "" if value is None or value != value else spaces.text(value)


def figures_of(plan, rows, worth):
    """Figures for the report."""
    figures = {"History": plots.search_history(rows)}
    if len(worth):
        figures["Importance"] = plots.shares(worth, "share of what the settings tell of the score")
    places, scores = trials.places(plan, rows), trials.finished(rows)["score"]
    ticks = {name: spaces.marks(part) for name, part in trials.bounds(plan, rows).items()}
    return figures | {"Parallel coordinates": plots.parallel_coordinates(places, ticks, scores)}


def data_flags(options):
    """The flags about recordings that were given, as words."""
    for name in DATA:
        if value := getattr(options, name):
            yield from [f"--{name.replace('_', '-')}", *([] if value is True else [value])]


def arguments(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument_group("search").add_argument
    add("--tuner", choices=oracles.ORACLES, default="bayesian", help="what chooses the values (default: %(default)s)")
    add("--trials", type=int, help=f"at the most (default: {TRIALS}; hyperband: as its brackets have)")
    add("--executions", type=int, default=1, metavar="SEEDS", help="seeds of a trial, whose mean counts")
    add("--time-limit", type=float, default=float("inf"), metavar="MINUTES", help="after which no trial begins")
    add("--search", nargs="+", type=lambda name: name.replace("-", "_"), metavar="FIELD", help="search these alone")
    add("--keep", type=int, default=3, metavar="K", help="checkpoints of the K best trials stay (default: %(default)s)")
    add("--workers", type=int, metavar="N", help="processes on this machine that run trials, with a chief")
    add("--out", type=Path, help="folder of the search; results/tune-RECIPE when not given")
    settings.add_arguments(parser)
    recipes.add_data_arguments(parser)
    options = parser.parse_args(argv)
    for name in ("trials", "executions", "keep", "workers"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, but {getattr(options, name)} came")
    absent = [name for name in CLUSTER if name not in os.environ]
    if 0 < len(absent) < len(CLUSTER):
        parser.error(f"of {', '.join(CLUSTER)} all are needed or none, but {', '.join(absent)} is not set")
    return options


def main(argv=None):
    """The command."""
    options = arguments(argv)
    plan = plan_of(options)
    print(plan.config)
    data = plan.read()
    print(data)
    plan.begin(data)
    del data  # each trial reads them
    name, host, port = (os.environ.get(variable) for variable in CLUSTER)
    if name and name != "chief":
        search.work_for(plan, host, port, name)
        return
    for field, part in plan.space.items():
        between = " to " if isinstance(part, spaces.Range) else ", "
        print(f"  {field}: {between.join(spaces.marks(part).values())}")
    oracle = oracles.build(plan, time.monotonic() + 60 * options.time_limit)
    if oracle.trials:
        print(f"goes on with the search in {plan.folder}: {len(oracle.trials)} trials have begun")
    try:
        run(plan, oracle, options)
    finally:
        finish(plan, oracle, options)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"tune: {error}")
    except KeyboardInterrupt:
        sys.exit("tune: interrupted; the same command goes on")
