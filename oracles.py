"""Oracles of a search: keras-tuner's choose the next values; what they lack to be left alone is added here."""

import itertools
import json
import sys
import time
from pathlib import Path

import keras_tuner

import processes
import spaces
import trials
import writing

INITIAL = 10  # trials at random before the Bayesian model is asked
CHECKPOINTS = (".h5", ".keras", ".npz")


class Grid(keras_tuner.Oracle):
    """Every combination, of published values first; keras-tuner's own does not know, when resumed, where it was."""

    def populate_space(self, trial_id):
        names = [parameter.name for parameter in self.hyperparameters.space]
        for combination in itertools.product(*map(self._values, self.hyperparameters.space)):
            values = dict(zip(names, combination, strict=True))
            if not self._duplicate(values):
                return {"status": "RUNNING", "values": values}
        return {"status": "STOPPED"}

    def _values(self, parameter):
        ordered = isinstance(parameter, keras_tuner.engine.hyperparameters.Choice)
        values = parameter.values if ordered else sorted(parameter.values)  # ten of a Range
        return [parameter.default, *(value for value in values if value != parameter.default)]


ORACLES = {
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "hyperband": keras_tuner.oracles.HyperbandOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": Grid,
}


class Steady:
    """What comes before an oracle of keras-tuner among the bases: published values first, nothing lost or kept in vain.

    Attributes:
        over: whether no trial runs and none will begin.
        heard: when each trial's worker was last heard of. gone: gives names of workers that are known to have ended.
    """

    def begin(self, plan, deadline):
        """Take up the search of a Plan, where it was if it has begun; no trial begins after `deadline`."""
        self.plan, self.deadline, self.max_trials = plan, deadline, plan.trials
        self.over, self.heard, self.gone = False, {}, set
        self.verbose = 0
        self._set_project_dir(str(plan.folder.parent), plan.folder.name)
        if (plan.folder / "oracle.json").exists():
            self.reload()

    def table(self):
        """A row for each trial; see `trials.row`."""
        return trials.table(self.plan, self.trials.values())

    def populate_space(self, trial_id):
        if time.monotonic() > self.deadline:
            return {"status": "STOPPED"}
        response = super().populate_space(trial_id)
        if response["status"] == "RUNNING" and not self.start_order:
            response["values"] |= {parameter.name: parameter.default for parameter in self.hyperparameters.space}
        elif response["status"] == "RUNNING" and self._duplicate(response["values"]):
            values = self._random_values()  # the Bayesian model may ask for what it knows
            return {"status": "RUNNING" if values else "STOPPED", "values": values}
        return response

    def create_trial(self, tuner_id):
        self._end_lost()
        trial = super().create_trial(tuner_id)
        self.heard[trial.trial_id] = time.monotonic()
        if trial.status == "STOPPED":
            self.over = not self.ongoing_trials
            if not self.over:
                trial.status = "IDLE"  # if one of those is lost, somebody must be there to try it again
        return trial

    def _end_lost(self):
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if tuner_id in self.gone() or time.monotonic() - self.heard[trial.trial_id] > processes.SILENCE:
                print(f"{tuner_id} is lost", flush=True)
                trial.status = "INVALID"  # to be tried once more
                self.end_trial(trial)

    def get_trial(self, trial_id):
        self.heard[trial_id] = time.monotonic()
        return super().get_trial(trial_id)

    def end_trial(self, trial):
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters  # keras-tuner's service has rounded them
        super().end_trial(trial)
        rows = self.table()
        print(trials.line(rows, int(trial.trial_id)), flush=True)
        with writing.whole(self.plan.folder / "trials.csv") as temporary:
            rows.to_csv(temporary, index=False)
        self._remove_checkpoints(set(trials.best(rows, self.plan.keep)["trial"]))

    def _remove_checkpoints(self, best):
        for trial in self.trials.values():
            if trial.status in ("COMPLETED", "FAILED") and int(trial.trial_id) not in best:
                for path in self.plan.folder_of(trial).glob("seed-*/*"):
                    if path.suffix in CHECKPOINTS:
                        path.unlink(missing_ok=True)

    def save(self):
        self._write(Path(self._get_oracle_fname()), self)

    def _save_trial(self, trial):
        self._write(self.plan.folder_of(trial) / "trial.json", trial)

    def _write(self, path, stateful):
        with writing.whole(path) as temporary:  # keras-tuner would leave half of it when killed
            temporary.write_text(json.dumps(stateful.get_state()))

    def reload(self):
        """Take up what was written; what had begun and not ended, in whichever file that stands, is run again."""
        super().reload()
        begun = sorted(trial_id for trial_id, trial in self.trials.items() if trial.status in ("RUNNING", "INVALID"))
        for trial_id in begun:
            self.trials[trial_id].status = "INVALID"  # until it runs, or the Bayesian model would take it for running
        self._retry_queue = begun[::-1]


def build(plan, deadline=float("inf")):
    """The oracle of a Plan; no trial begins after `deadline`, a time of the monotonic clock."""
    parameters = keras_tuner.HyperParameters()
    for name, part in plan.space.items():
        own = getattr(plan.config, name)
        if isinstance(part, spaces.Range):
            parameters.Float(name, part.low, part.high, sampling="log" if part.log else "linear", default=own)
        else:
            parameters.Choice(name, [spaces.text(each) for each in part], default=spaces.text(own))
    own = {"bayesian": {"num_initial_points": INITIAL}, "hyperband": {"max_epochs": plan.config.epochs}}
    oracle = type("Oracle", (Steady, ORACLES[plan.tuner]), {})(
        objective=keras_tuner.Objective(trials.SCORE, "max"),
        hyperparameters=parameters,
        seed=plan.config.seed + 1,  # 0 would be none
        max_retries_per_trial=1,
        max_consecutive_failed_trials=sys.maxsize,  # or it raises, and holds the lock of every other call for ever
        **own.get(plan.tuner, {}),
    )
    oracle.begin(plan, deadline)
    return oracle
