"""The trials of a search: which settings each stands for, where it lies, and what is known of them all."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

import spaces
import state as states
import writing
from settings import Config

SCORE = "val_macro_auc"
STATUS = {"COMPLETED": "finished", "FAILED": "failed", "RUNNING": "running", "INVALID": "waiting"}
FEWEST = 5  # finished trials from which importance can be told
FAILURE = "failure.txt"


@dataclass(frozen=True)
class Plan:
    """What is searched and how.

    Attributes:
        config: the published settings, which are tried first; what is not in the space stays as it is here.
        space: what may change, see `spaces.of`.
        train: what a trial does, `train(config, read, folder) -> score, epochs`; in a process of its own, as `read` is.
        read: gives the Dataset.
        folder: of the search.
        tuner: one of `oracles.ORACLES`. trials: how many at the most, if there is a most.
        executions: seeds of a trial, whose mean counts. keep: trials whose checkpoints stay.
    """

    config: Config
    space: dict
    train: Callable
    read: Callable
    folder: Path
    tuner: str = "bayesian"
    trials: int | None = None
    executions: int = 1
    keep: int = 3

    @property
    def seeds(self):
        """Seeds of each trial."""
        return range(self.config.seed, self.config.seed + self.executions)

    def chosen(self, trial):
        """What one of keras-tuner's trials has of its own, by field of Config; Hyperband says how many epochs, too."""
        values = trial.hyperparameters.values
        rung = {"epochs": values["tuner/epochs"]} if self.tuner == "hyperband" else {}
        return spaces.chosen(self.space, values) | rung

    def config_of(self, trial):
        """The Config of one of keras-tuner's trials."""
        return spaces.complete(replace(self.config, **self.chosen(trial)))

    def folder_of(self, trial):
        """Where keras-tuner, too, has its file of the trial."""
        return self.folder / f"trial_{trial.trial_id}"

    def begin(self, data):
        """Write into the folder what is searched, or see that the search there is of the same.

        Raises:
            ValueError: it is of other settings or other data.
        """
        wanted = asdict(self.config) | {"tuner": self.tuner, "executions": self.executions}
        wanted |= {f"values of {name}": part for name, part in self.space.items()}
        wanted |= {"data": f"{data.source} {data.task}", "checksum of the data": data.checksum}
        wanted, path = json.loads(json.dumps(wanted)), self.folder / "search.json"
        if path.exists():
            states.check_same(json.loads(path.read_text()), wanted, instead="name another folder with --out")
        with writing.whole(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n")


def table(plan, trials):
    """A row for each of keras-tuner's trials, in the order in which they began."""
    return pd.DataFrame([row(plan, trial) for trial in sorted(trials, key=lambda trial: int(trial.trial_id))])


def row(plan, trial):
    """A trial: its number, how it ended, score of each seed and their mean, epochs, seconds, what was searched."""
    metrics = {name: trial.metrics.get_last_value(name) for name in trial.metrics.metrics}
    failure, values = plan.folder_of(trial) / FAILURE, plan.chosen(trial)
    return {
        "trial": int(trial.trial_id),
        "status": STATUS[trial.status],
        "score": float("nan") if trial.score is None else trial.score,
        **{f"seed_{seed}": metrics.get(f"seed_{seed}") for seed in plan.seeds},
        "epochs_run": metrics.get("epochs"),
        "seconds": metrics.get("seconds"),
        "error": failure.read_text().splitlines()[-1] if trial.status == "FAILED" and failure.exists() else "",
        **{name: spaces.text(value) if isinstance(value, tuple) else value for name, value in values.items()},
    }


def finished(rows):
    """The rows of finished trials."""
    return rows[rows["status"] == "finished"] if len(rows) else rows


def best(rows, count):
    """The rows of the finished trials with the highest scores, the best first; of equals, that which began first."""
    return finished(rows).nlargest(count, "score") if len(rows) else rows


def line(rows, number):
    """What is told of a trial when it has ended."""
    ended = rows.set_index("trial").loc[number]
    if ended["status"] != "finished":
        return f"trial {number}: {ended['status']}" + (f": {ended['error']}" if ended["error"] else "")
    first = best(rows, 1).iloc[0]
    return (
        f"trial {number}: {ended['score']:.4f} after {ended['seconds']:.0f} s; "
        f"best {first['score']:.4f} of trial {first['trial']}"
    )


def bounds(plan, rows):
    """What each searched setting may be: a Range or a tuple of values, see `spaces.of`."""
    rungs = {"epochs": tuple(sorted(set(rows["epochs"])))} if plan.tuner == "hyperband" else {}
    return plan.space | rungs


def places(plan, rows):
    """Where the values of each finished trial lie in what they may be, `(trials, settings)`; see `spaces.place`."""
    ended = finished(rows)
    placed = {name: spaces.place(part, ended[name]) for name, part in bounds(plan, rows).items()}
    return pd.DataFrame(placed, index=ended.index)


def importance(plan, rows):
    """What each searched setting is worth to the score, as a share, the most important first; empty of too few trials.

    A forest is fitted to the finished trials; a setting counts as much as the fit loses when its values are shuffled
    (Breiman 2001, Machine Learning 45). It is of these trials alone: what they hardly changed explains little.
    """
    ended, scores = places(plan, rows), finished(rows)["score"]
    if len(ended) < FEWEST:
        return pd.Series(name="importance", dtype=float)
    forest = RandomForestRegressor(100, random_state=0).fit(ended, scores)
    lost = permutation_importance(forest, ended, scores, n_repeats=10, random_state=0).importances_mean
    lost = pd.Series(lost.clip(min=0), ended.columns, name="importance")
    return (lost / (lost.sum() or 1)).sort_values(ascending=False)
