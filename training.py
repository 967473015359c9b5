"""Train a classifier from a Config: `python training.py --dataset ptbxl`; `--help` shows every setting."""

import argparse
import json
import platform
import sys
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import augmentation
import balance
import card as cards
import dataset
import losses
import metrics
import models
import plots
import preprocessing
import recipes

BEST = {"monitor": "val_macro_auc", "mode": "max"}
STATE = "state.npz"  # in the run's folder: everything that the next epoch depends on


def constant(config, steps):
    """The same learning rate in every step."""
    return config.learning_rate


def cosine(config, steps):
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017, arXiv 1608.03983)."""
    warmup = int(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate, steps - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
    )


SCHEDULES = {"plateau": constant, "constant": constant, "cosine": cosine}  # plateau: a callback lowers it
OPTIMIZERS = {
    "adam": lambda config, rate: keras.optimizers.Adam(rate),
    "adamw": lambda config, rate: keras.optimizers.AdamW(rate, weight_decay=config.weight_decay),
}


class Batches(keras.utils.PyDataset):
    """Training batches whose order, crops and augmentation depend on (seed, epoch) alone, so that a run can resume."""

    def __init__(self, data, rows, config, card):
        super().__init__()
        self.data, self.rows, self.config, self.card = data, rows, config, card
        self.crop = crop_samples(config, card)
        self.epoch = 0

    def __len__(self):
        # What is left over after the last full batch has its turn in another epoch's order.
        return max(1, len(self.rows) // self.config.batch_size)

    def __getitem__(self, index):
        size = self.config.batch_size
        order = np.random.default_rng((self.config.seed, self.epoch)).permutation(self.rows)
        rows = order[index * size : (index + 1) * size]
        rng = np.random.default_rng((self.config.seed, self.epoch, index))
        signals, features = inputs_of(self.data, rows, self.card)
        batch = augmentation.Batch(random_crops(signals, self.crop, rng), features, self.data.labels[rows])
        batch = augmentation.apply(self.config.augmentation, batch, rng, self.card.sampling_rate)
        return as_inputs(batch.signals, batch.features), batch.labels


def crop_samples(config, card):
    """Samples that the network sees in training."""
    return min(round(config.crop * card.sampling_rate), card.samples) if config.crop else card.samples


def random_crops(signals, samples, rng):
    """A stretch of `(records, samples, leads)` from each record, at a random place."""
    starts = rng.integers(0, signals.shape[1] - samples + 1, size=len(signals))
    return np.stack([record[start : start + samples] for record, start in zip(signals, starts, strict=True)])


def inputs_of(data, rows, card):
    """Signals `(rows, samples, leads)` and features `(rows, features)` as the model of `card` wants them."""
    signals = preprocessing.prepare(data.signals[rows], data.leads, data.sampling_rate, card)
    return signals, preprocessing.fill_features(data.features[rows], card.feature_defaults)


def as_inputs(signals, features):
    """What Keras is given: the features only if there are any."""
    return (signals, features) if features.shape[1] else signals


def predict_rows(model, data, rows, card, window=None, batch_size=128):
    """Probabilities `(rows, classes)` of some records of a Dataset.

    With `window`, the model takes so many samples, and a record's probability is the mean over windows that overlap
    by half.
    """
    window = window or card.samples
    starts = range(0, card.samples - window + 1, max(1, window // 2))
    parts = []
    for first in range(0, len(rows), batch_size):
        signals, features = inputs_of(data, rows[first : first + batch_size], card)
        windows = [model.predict_on_batch(as_inputs(signals[:, start : start + window], features)) for start in starts]
        parts.append(np.mean(windows, axis=0))
    return np.concatenate(parts)


class Validation(keras.callbacks.Callback):
    """Scores the network that would be saved, on whole validation records, after each epoch."""

    def __init__(self, batches, whole, rows):
        super().__init__()
        self.batches, self.whole, self.rows = batches, whole, rows

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the loss became {logs['loss']} in epoch {epoch + 1}; try a --learning-rate of a third of "
                f"{self.batches.config.learning_rate:g}, or look for extreme samples in the data"
            )
        data = self.batches.data
        self.whole.set_weights(self.model.get_weights())
        probabilities = predict_rows(self.whole, data, self.rows, self.batches.card)
        labels = data.labels[self.rows]
        logs["val_loss"] = float(np.mean(keras.ops.convert_to_numpy(self.model.loss(labels, probabilities))))
        logs["val_macro_auc"] = metrics.macro_auc(labels, probabilities)


class State(keras.callbacks.Callback):
    """Saves, after each epoch, everything that the next one depends on, in one file.

    Weights, optimizer and the states of the seed generators are variables; the other callbacks keep numbers.
    """

    def __init__(self, folder, config, others):
        super().__init__()
        self.folder, self.config = folder, config
        self.others = {type(callback).__name__: callback for callback in others}
        self.log, self.counters = [], {}

    def on_train_begin(self, logs=None):
        for name, values in self.counters.items():  # after the callbacks' own on_train_begin, which empties them
            vars(self.others[name]).update(values)

    def on_epoch_end(self, epoch, logs=None):
        self.log.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
        numbers = {
            name: {key: value for key, value in vars(callback).items() if isinstance(value, (int, float))}
            for name, callback in self.others.items()
        }
        about = {"config": asdict(self.config), "log": self.log, "counters": numbers}
        arrays = {f"variable{i}": value for i, value in enumerate(self._values())}
        with cards.whole(self.folder / STATE) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(about), **arrays)
        with cards.whole(self.folder / "log.csv") as temporary:
            pd.DataFrame(self.log).to_csv(temporary, index=False)
        for path in self.folder.glob("best-*.weights.h5"):
            if path != self.best_file():
                path.unlink()

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables

    def _values(self):
        return [keras.ops.convert_to_numpy(variable) for variable in self._variables()]

    def restore(self, model):
        """Bring `model`, its optimizer and the callbacks to the end of the last finished epoch.

        Raises:
            FileNotFoundError: there is nothing to resume. ValueError: it was a run with other settings.
        """
        path = self.folder / STATE
        if not path.exists():
            raise FileNotFoundError(f"nothing to resume in {self.folder}; start without --resume")
        with np.load(path) as saved:
            about = json.loads(str(saved["about"]))
            check_same(recipes.from_json(about["config"]), self.config)
            self.set_model(model)
            for i, variable in enumerate(self._variables()):
                variable.assign(saved[f"variable{i}"])
        self.log, self.counters = about["log"], about["counters"]

    def finished(self):
        """Whether early stopping has ended the run."""
        return bool(self.counters.get("EarlyStopping", {}).get("stopped_epoch"))

    def best_file(self):
        """The weights of the best epoch so far."""
        best = max(self.log, key=lambda row: row["val_macro_auc"])  # the first of equals, as ModelCheckpoint keeps
        return self.folder / f"best-{best['epoch']:03d}.weights.h5"


def check_same(before, now):
    """Refuse to go on with a run under other settings."""
    differ = [item.name for item in fields(now) if getattr(before, item.name) != getattr(now, item.name)]
    if differ:
        was = ", ".join(f"{name} {getattr(before, name)} (now {getattr(now, name)})" for name in differ)
        raise ValueError(f"cannot resume: that run has other settings: {was}; use them, or start without --resume")


def check(config):
    """Refuse unknown names before any work is done."""
    choices = {
        "model": models.MODELS,
        "loss": losses.LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    }
    for name, known in choices.items():
        if getattr(config, name) not in known:
            raise ValueError(f"no {name} {getattr(config, name)!r}; there are: {', '.join(known)}")
    augmentation.check(config.augmentation)


def training_rows(data, config):
    """Rows of the training split, or of a random share of its patients."""
    rows = data.rows("train")
    if config.data_fraction == 1:
        return rows
    patients = np.unique(data.groups[rows])
    count = max(1, round(config.data_fraction * len(patients)))
    chosen = np.random.default_rng(config.seed).permutation(patients)[:count]
    return rows[np.isin(data.groups[rows], chosen)]


def describe(config, data, rows):
    """The card of a model that is about to be trained on these rows."""
    return cards.Card(
        classes=data.classes,
        multilabel=data.multilabel,
        leads=data.leads,
        sampling_rate=data.sampling_rate,
        samples=data.signals.shape[1],
        feature_names=data.feature_names,
        feature_defaults=tuple(np.nanmedian(data.features[rows], axis=0).tolist()),
        config=asdict(config),
        data={
            "source": data.source,
            "task": data.task,
            "licence": data.licence,
            "checksum": data.checksum,
            "records": {"train": len(rows), "validation": len(data.rows("validation")), "test": len(data.rows("test"))},
            "leaks_patients": data.leaks_patients,
        },
        versions={name: version(name) for name in ("keras", "numpy", keras.backend.backend())}
        | {"python": platform.python_version()},
    )


def train(config, data, folder, save_as=None, resume=False, tensorboard=False):
    """Train on the training split, keep the weights that are best on validation; returns the path of the saved model.

    Args:
        config: the recipe. data: the Dataset.
        folder: of the run: log, curve, and the state from which `resume` goes on.
        save_as: where the model goes; `model.h5` in the folder when not given.

    Raises:
        ValueError: unknown names, settings that do not fit. FloatingPointError: the loss is no longer a number.
    """
    check(config)
    folder.mkdir(parents=True, exist_ok=True)
    start_over(config)
    rows, validation = training_rows(data, config), data.rows("validation")
    card = describe(config, data, rows)
    warn_about_absent(data, validation)
    batches = Batches(data, rows, config, card)
    model, whole = build(config, data, rows, card)
    compile_model(model, config, data.labels[rows], len(batches))
    callbacks = callbacks_of(config, folder, batches, whole, validation, tensorboard)
    state = callbacks[-1]
    if resume:
        state.restore(model)
    try:
        first = config.epochs if state.finished() else len(state.log)
        verbose = 1 if sys.stdout.isatty() else 2  # a bar for a person, a line an epoch for a log
        model.fit(
            batches,
            epochs=config.epochs,
            initial_epoch=first,
            callbacks=callbacks,
            shuffle=False,
            verbose=verbose,
        )
    except KeyboardInterrupt:
        if not state.log:
            raise
        print(f"\ninterrupted: keeping the best of {len(state.log)} finished epochs; --resume goes on from here")
    model.load_weights(state.best_file())
    whole.set_weights(model.get_weights())
    card = judge(whole, data, validation, card)
    plots.training_curve(pd.DataFrame(state.log), folder / "training.png")
    return cards.save(save_as or folder / "model.h5", whole, card)


def start_over(config):
    """Seeds, determinism and precision, for the whole process."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow  # Keras has no call of its own for this

        tensorflow.config.experimental.enable_op_determinism()


def build(config, data, rows, card):
    """The network for training crops, and the same for whole records, in float32, as it will be saved."""
    sample = rows[:: max(1, len(rows) // 2048)]  # two thousand records measure a mean well enough
    scales = models.scales_of(*inputs_of(data, sample, card))
    keras.config.set_dtype_policy(config.precision)
    sizes = len(card.leads), len(card.classes), scales, card.multilabel
    model = models.build(config, crop_samples(config, card), *sizes)
    keras.config.set_dtype_policy("float32")
    return model, models.build(config, card.samples, *sizes)


def compile_model(model, config, labels, steps_per_epoch):
    """Optimizer with its schedule, and loss with its class weights."""
    weights = balance.class_weights(labels, config.class_weight_power) if config.class_weight_power else None
    rate = SCHEDULES[config.schedule](config, config.epochs * steps_per_epoch)
    # TensorFlow's compiler makes recurrent layers several times slower on a CPU; JAX always compiles.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(OPTIMIZERS[config.optimizer](config, rate), losses.build(config, weights), jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def callbacks_of(config, folder, batches, whole, validation, tensorboard):
    """Validation before the others, since they watch its score; State last, since it saves theirs."""
    watching = [
        keras.callbacks.EarlyStopping(patience=config.patience, **BEST),
        keras.callbacks.ModelCheckpoint(
            folder / "best-{epoch:03d}.weights.h5", save_best_only=True, save_weights_only=True, **BEST
        ),
    ]
    if config.schedule == "plateau":
        watching.append(keras.callbacks.ReduceLROnPlateau(patience=max(1, config.patience // 2), factor=0.3, **BEST))
    board = [keras.callbacks.TensorBoard(folder / "tensorboard")] if tensorboard else []
    scoring = [keras.callbacks.TerminateOnNaN(), Validation(batches, whole, validation)]
    return [*scoring, *watching, *board, State(folder, config, watching)]


def warn_about_absent(data, validation):
    """Say which classes validation cannot judge."""
    absent = [
        name for name, there in zip(data.classes, metrics.present(data.labels[validation]), strict=True) if not there
    ]
    if absent:
        print(
            f"mind: {', '.join(absent)} not both present and absent among the validation records: "
            "left out of the macro AUC, threshold 0.5"
        )


def judge(model, data, validation, card):
    """The card with thresholds chosen on validation, and the scores there."""
    labels = data.labels[validation]
    probabilities = predict_rows(model, data, validation, card)
    thresholds = metrics.choose_thresholds(labels, probabilities)
    scores = metrics.scores(labels, probabilities, thresholds)
    return replace(card, thresholds=tuple(thresholds), threshold_goal="f1", scores={"validation": scores})


def arguments(argv):
    """The Config and the other options that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    recipes.add_arguments(parser)
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, help="folder of the run; results/RECIPE when not given")
    parser.add_argument("--save-as", type=Path, help="path of the model; model.h5 in the run's folder when not given")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch of that folder")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs")
    options = parser.parse_args(argv)
    return recipes.from_arguments(options), options


def add_data_arguments(parser):
    """Flags that say where recordings are and what to do about missing and damaged ones."""
    parser.add_argument("--data-dir", help="folder of the database; else ECG_DATA/NAME, else datasets/NAME")
    parser.add_argument("--download", action="store_true", default=None, help="fetch what is missing first")
    parser.add_argument("--skip-broken", action="store_true", default=None, help="leave damaged records out")


def read_data(config, options):
    """The Dataset of a Config; options that the user did not give are left to its reader."""
    names = ("sampling_rate", "minimum_likelihood", "download", "skip_broken")
    values = {name: getattr(config, name, None) or getattr(options, name, None) for name in names}
    given = {name: value for name, value in values.items() if value is not None}
    return dataset.load(config.dataset, config.task, options.data_dir, **given)


def main(argv=None):
    """The command."""
    config, options = arguments(argv)
    print(config)
    check(config)
    data = read_data(config, options)
    print(data)
    folder = options.out or Path("results") / config.recipe
    path = train(config, data, folder, options.save_as, options.resume, options.tensorboard)
    for split, scores in cards.read(path).scores.items():
        print(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    print(f"model: {path}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"training: {error}")
