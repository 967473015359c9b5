"""The state of a training run after an epoch: written whole, and what a run goes on from."""

import json

import keras
import numpy as np
import pandas as pd

import recipes
import settings
import writing

STATE = "state.npz"  # in the run's folder: everything that the next epoch depends on
IDENTITY = (
    "source",
    "task",
    "checksum",
    "labels_checksum",
    "teachers",
    "start",
)  # of data; the rest follows from these


class State(keras.callbacks.Callback):
    """Saves, after each epoch, everything that the next one depends on, in one file.

    Weights, optimizer and the states of the seed generators are variables; the other callbacks keep numbers.
    """

    def __init__(self, folder, card, others, writes=True):
        super().__init__()
        self.folder, self.card, self.writes = folder, card, writes
        self.others = {type(callback).__name__: callback for callback in others}
        self.log, self.counters = [], {}

    def on_train_begin(self, logs=None):
        for name, callback in self.others.items():  # after the callbacks' own on_train_begin, which empties them
            vars(callback).update(self.counters.get(name, {}))

    def on_epoch_end(self, epoch, logs=None):
        self.log.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
        if self.writes:
            self._write()

    def _write(self):
        numbers = {
            name: {key: value for key, value in vars(callback).items() if isinstance(value, (int, float))}
            for name, callback in self.others.items()
        }
        saved = {"run": self._run(), "log": self.log, "counters": numbers}
        variables = enumerate(self._variables())
        arrays = {f"variable{i}": keras.ops.convert_to_numpy(variable) for i, variable in variables}
        with writing.whole(self.folder / STATE) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(saved), **arrays)
        with writing.whole(self.folder / "log.csv") as temporary:
            pd.DataFrame(self.log).to_csv(temporary, index=False)
        for path in self.folder.glob("best-*.weights.h5"):
            if path != self.best_file():
                path.unlink()

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables

    def _run(self):
        return identity(self.card.config, self.card.data)

    def restore(self, model):
        """Bring `model`, its optimizer and the callbacks to the end of the last finished epoch.

        Raises:
            FileNotFoundError: there is nothing to resume.
            ValueError: it was a run with other settings or other data.
        """
        saved = about(self.folder)
        if not saved:
            raise FileNotFoundError(f"nothing to resume in {self.folder}; start without --resume")
        check_same(saved["run"], self._run())
        self.log, self.counters = saved["log"], saved["counters"]
        self.set_model(model)
        with np.load(self.folder / STATE) as arrays:
            for i, variable in enumerate(self._variables()):
                variable.assign(arrays[f"variable{i}"])

    def check_free(self):
        """Refuse to overwrite a run that can still go on."""
        saved = about(self.folder)
        if saved and next_epoch(saved["log"], saved["counters"], saved["run"]["epochs"]) < saved["run"]["epochs"]:
            raise ValueError(
                f"{self.folder} holds an unfinished run of {len(saved['log'])} epochs; go on with --resume, "
                "name another folder with --out, or delete it"
            )

    def best_file(self):
        """The weights of the best epoch so far."""
        best = max(self.log, key=lambda row: row["val_macro_auc"])  # the first of equals, as ModelCheckpoint keeps
        return self.folder / f"best-{best['epoch']:03d}.weights.h5"


def about(folder):
    """What is saved of a run beside its variables: `run`, its identity; `log`; `counters`. Empty where nothing is."""
    if not (folder / STATE).exists():
        return {}
    with np.load(folder / STATE) as saved:
        return json.loads(str(saved["about"]))


def next_epoch(log, counters, epochs):
    """The epoch to go on with, counted from 0; `epochs` if early stopping has ended the run."""
    return epochs if counters.get("EarlyStopping", {}).get("stopped_epoch") else len(log)


def identity(config, data):
    """What the settings and the data of a card make of a run, as it comes back from JSON."""
    return json.loads(json.dumps(config | {f"{name} of the data": value for name, value in data.items()}))


def differences(before, now):
    """What is not as it was, in words; nothing where all is."""
    differ = [name for name in now if before.get(name) != now[name]]
    return ", ".join(f"{name} {before.get(name)} (now {now[name]})" for name in differ)


def check_again(card, config, manifest, versions):
    """Say what is not as it was when a card was written; refuse other data, unless the settings ask for them.

    Raises:
        ValueError: what differs.
    """
    if was := differences(card.versions, versions):
        print(f"mind: not what the card was made with: {was}")
    before = settings.from_json(card.config)
    if any(getattr(config, name) != getattr(before, name) for name in ("task", "teachers", "start", *recipes.READING)):
        return
    known = {name: manifest[name] for name in IDENTITY if name in card.data}  # older cards have fewer
    if was := differences(card.data, known):
        raise ValueError(f"these are not the data of the card: {was}; get those, or train without --from-card")


def check_same(before, now, instead="start without --resume"):
    """Refuse to go on with a run under other settings, or on other data."""
    if was := differences(before, now):
        raise ValueError(f"cannot resume: that run has other settings: {was}; use them, or {instead}")
