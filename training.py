"""Train a classifier from a Config: `python training.py --dataset ptbxl`; `--help` shows every setting."""

import argparse
import sys
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import augmentation
import balance
import batches
import card as cards
import hosts
import losses
import metrics
import models
import optimizers
import plots
import recipes
import settings
import state as states
from inputs import Inputs, predict_rows
from tokens import Vocabulary

BEST = {"monitor": "val_macro_auc", "mode": "max"}


class Validation(keras.callbacks.Callback):
    """Scores the network that would be saved, on whole validation records, after each epoch.

    Of several hosts each predicts its share of the records, and all score what all said, so that they decide alike.

    With finer labels the training loss is of both, but `val_loss` of the classes alone.
    """

    def __init__(self, feed, crops, whole, rows):
        super().__init__()
        self.feed, self.crops, self.whole, self.rows = feed, crops, whole, rows
        data = feed.inputs.data
        self.loss = loss_of(feed.config, data, data.labels[feed.rows])

    def on_epoch_begin(self, epoch, logs=None):
        self.feed.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the loss became {logs['loss']} in epoch {epoch + 1}; try a --learning-rate of a third of "
                f"{self.feed.config.learning_rate:g}, or look for extreme samples in the data; "
                "give the new run another --out"
            )
        self.whole.set_weights(self.crops.get_weights())
        probabilities = hosts.gather(lambda rows: predict_rows(self.whole, self.feed.inputs, rows), self.rows)
        labels = self.feed.inputs.data.labels[self.rows]
        logs["val_loss"] = float(np.mean(keras.ops.convert_to_numpy(self.loss(labels, probabilities))))
        logs["val_macro_auc"] = metrics.macro_auc(labels, probabilities)


def check(config):
    """Refuse unknown names before any work is done."""
    choices = {
        "model": models.MODELS,
        "loss": losses.LOSSES,
        "optimizer": optimizers.OPTIMIZERS,
        "schedule": optimizers.SCHEDULES,
        "feature_scaling": models.FEATURE_SCALES,
        "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    }
    for name, known in choices.items():
        if getattr(config, name) not in known:
            raise ValueError(f"no {name} {getattr(config, name)!r}; there are: {', '.join(known)}")
    augmentation.check(config.augmentation)
    if config.clusters and (config.augmentation or config.crop or config.smote):
        raise ValueError("beats as text are read whole and as they are: leave out augmentation, crop and smote")
    if config.model == "segment_attention" and config.crop:
        raise ValueError("segment_attention has weights for each step, so crops cannot train it: use --crop 0")
    least = {"batch_size": 1, "epochs": 1, "patience": 1, "crop": 0, "learning_rate": 0}
    for name, value in least.items():
        if getattr(config, name) < value:
            raise ValueError(f"{name} must be at least {value}, but {getattr(config, name)} came")
    for name in ("data_fraction", "dropout", "label_smoothing", "warmup", "teaching", "smote"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name} must be between 0 and 1, but {getattr(config, name)} came")


def training_rows(data, config):
    """Rows of the training split, or of a random share of its patients."""
    rows = data.rows("train")
    if config.data_fraction == 1:
        return rows
    patients = np.unique(data.groups[rows])
    count = max(1, round(config.data_fraction * len(patients)))
    chosen = np.random.default_rng(config.seed).permutation(patients)[:count]
    return rows[np.isin(data.groups[rows], chosen)]


def train(config, data, folder, save_as=None, resume=False, tensorboard=False, keep_interrupted=True):
    """Train on the training split, keep the weights that are best on validation; returns the path of the saved model.

    Of several hosts, only the first one writes; the others return None.

    Args:
        config: the recipe. data: the Dataset.
        folder: of the run: log, curve, and the state from which `resume` goes on.
        keep_interrupted: whether Ctrl-C after an epoch ends with the best model so far, or with KeyboardInterrupt.
        save_as: where the model goes; `model.h5` in the folder when not given.

    Raises:
        ValueError: unknown names, settings that do not fit. FloatingPointError: the loss is no longer a number.
    """
    check(config)
    set_seeds(config)
    rows, validation = training_rows(data, config), data.rows("validation")
    card = cards.describe(config, data, rows)
    warn_about_absent(data, validation)
    crops, whole = build(config, Inputs(data, card), rows)
    if config.start:
        begin_from(config.start, crops)
    if config.smote:
        data, rows = balance.smote(data, rows, config.smote, seed=config.seed)
    inputs, told = Inputs(data, card), models.with_fine_classes if data.fine else lambda network: network
    feed = batches.Batches(inputs, rows, config, targets_of(config, data, rows), hosts.place())
    hosts.check_batch(min(config.batch_size, len(rows)))
    with hosts.spread(crops) as spread:
        model = told(spread)
        compile_model(model, config, loss_of(config, data, feed.targets[rows]), len(feed))
        callbacks = callbacks_of(config, folder, feed, spread, whole, validation, tensorboard)
        state = callbacks[-1]
        state.restore(model) if resume else state.check_free()
        fit(model, feed, callbacks, keep_interrupted)
    if not hosts.first():
        return None
    told(crops).load_weights(state.best_file())
    whole.set_weights(crops.get_weights())
    card = judge(inputs, validation, whole, crops if config.crop else None)
    card = replace(card, log=tuple(state.log))
    plots.training_curve(pd.DataFrame(state.log)).savefig(folder / "training.png", dpi=120)
    return cards.save(save_as or folder / "model.h5", whole, card)


def fit(model, feed, callbacks, keep_interrupted):
    """Train until the last epoch, until early stopping, or, if that may be, until Ctrl-C after at least one epoch."""
    state, epochs = callbacks[-1], feed.config.epochs
    start = states.next_epoch(state.log, state.counters, epochs)
    verbose = (1 if sys.stdout.isatty() else 2) if hosts.first() else 0  # a bar for a person, a line for a log
    try:
        model.fit(feed, epochs=epochs, initial_epoch=start, callbacks=callbacks, shuffle=False, verbose=verbose)
    except KeyboardInterrupt:
        if not state.log or not keep_interrupted or hosts.place() != (0, 1):  # the others would train on
            raise
        print(f"\ninterrupted: keeping the best of {len(state.log)} finished epochs; --resume goes on from here")


def set_seeds(config):
    """Seeds of Python, NumPy and the backend; and its slower, deterministic operations where asked for."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow  # Keras has no call of its own for this

        tensorflow.config.experimental.enable_op_determinism()


def build(config, inputs, rows):
    """The network for training crops, and the same for whole records, in float32, as it will be saved."""
    data, card = inputs.data, inputs.card
    sample = rows[:: max(1, len(rows) // 2048)]  # two thousand records measure a mean well enough
    if card.tokens:
        scales = {"tokens": Vocabulary.of(card).size}
    else:
        scales = models.scales_of(*inputs[sample], config.feature_scaling)
    keras.config.set_dtype_policy(config.precision)
    sizes = len(card.leads), len(card.classes), scales, card.multilabel, data.fine and data.fine.membership
    crops = models.build(config, batches.crop_samples(config, inputs), *sizes)
    keras.config.set_dtype_policy("float32")
    return crops, models.build(config, inputs.length, *sizes)


def begin_from(path, model):
    """Give a network the weights of a saved one, which may have been trained on other data.

    Raises:
        ValueError: it has weights of other shapes.
    """
    weights = cards.load(path)[0].get_weights()
    shapes, wanted = ([each.shape for each in values] for values in (weights, model.get_weights()))
    if shapes != wanted:
        differing = next(pair for pair in zip_longest(shapes, wanted) if pair[0] != pair[1])
        raise ValueError(
            f"training cannot start from {path}: weights of shape {differing[0]} came where {differing[1]} are "
            "needed; it must be the same network for as many samples, leads, features and classes"
        )
    model.set_weights(weights)


def targets_of(config, data, rows):
    """What the network shall say of each record: labels, mixed with what teachers say, and then finer labels.

    Hinton et al. (2015, arXiv 1503.02531): a mean of networks knows which records are doubtful, which labels do not.
    """
    targets = data.labels.astype("float32")
    if config.teachers:
        told = [taught(path, data, rows) for path in config.teachers]
        targets[rows] += config.teaching * (np.mean(told, axis=0) - targets[rows])
    return np.hstack([targets, data.fine.labels]) if data.fine else targets


def taught(path, data, rows):
    """Probabilities of a saved model for training records."""
    model, card = cards.load(path)
    cards.check_fits(path, card, data)
    print(f"{path} reads {len(rows):,} training records", flush=True)
    return predict_rows(model, Inputs(data, card), rows)


def loss_of(config, data, targets):
    """The loss with the class weights of these training targets."""
    weights = balance.class_weights(targets, config.class_weight_power) if config.class_weight_power else None
    return losses.build(config, weights, data.multilabel)


def compile_model(model, config, loss, steps_per_epoch):
    """Optimizer with its schedule, and loss."""
    # TensorFlow's compiler makes recurrent layers several times slower on a CPU; JAX always compiles.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizers.build(config, config.epochs * steps_per_epoch), loss, jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def callbacks_of(config, folder, feed, crops, whole, validation, tensorboard):
    """Validation before the others, since they watch its score; State last, since it saves theirs."""
    watching = [keras.callbacks.EarlyStopping(patience=config.patience, **BEST)]
    if config.schedule == "plateau":
        watching.append(keras.callbacks.ReduceLROnPlateau(patience=max(1, config.patience // 2), factor=0.3, **BEST))
    if hosts.first():
        best = folder / "best-{epoch:03d}.weights.h5"
        watching.append(keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True, **BEST))
    board = [keras.callbacks.TensorBoard(folder / "tensorboard")] if tensorboard and hosts.first() else []
    scoring = [hosts.Apart(), keras.callbacks.TerminateOnNaN(), Validation(feed, crops, whole, validation)]
    return [*scoring, *watching, *board, states.State(folder, feed.inputs.card, watching, hosts.first())]


def warn_about_absent(data, validation):
    """Say which classes validation cannot judge."""
    absent = [
        name for name, there in zip(data.classes, metrics.present(data.labels[validation]), strict=True) if not there
    ]
    if len(absent) == len(data.classes):
        raise ValueError(f"no class is both present and absent among {len(validation)} validation records: no AUC")
    if absent:
        print(
            f"mind: {', '.join(absent)} not both present and absent among the validation records: "
            f"left out of the macro AUC{', threshold 0.5' if data.multilabel else ''}"
        )


def judge(inputs, validation, whole, crops=None):
    """The card with thresholds chosen on validation, and the scores there.

    Args:
        whole: the network for whole records, which is saved.
        crops: the same for crops, to see what averaging windows of a record would give.
    """
    card, labels = inputs.card, inputs.data.labels[validation]
    probabilities = predict_rows(whole, inputs, validation)
    if not card.multilabel:
        return replace(card, scores={"validation": metrics.scores(labels, probabilities, ())})
    thresholds = metrics.choose_thresholds(labels, probabilities)
    scores = {"validation": metrics.scores(labels, probabilities, thresholds)}
    if crops:
        averaged = predict_rows(crops, inputs, validation, window=crops.get_layer("signals").output.shape[1])
        scores["validation_windows"] = metrics.scores(labels, averaged, metrics.choose_thresholds(labels, averaged))
    return replace(card, thresholds=tuple(thresholds), threshold_goal="f1", scores=scores)


def arguments(argv):
    """The Config and the other options that the command line asks for.

    Raises:
        ValueError: a card that cannot be run again, because there is no such run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    settings.add_arguments(parser)
    recipes.add_data_arguments(parser)
    parser.add_argument("--out", type=Path, help="folder of the run; results/RECIPE when not given")
    parser.add_argument("--save-as", type=Path, help="path of the model; model.h5 in the run's folder when not given")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch of that folder")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs")
    parser.add_argument("--from-card", type=Path, metavar="CARD", help="the run of a card again, other flags changed")
    parser.add_argument("--hosts", type=lambda text: text.split(","), default=(), help="all that train, HOST:PORT,...")
    parser.add_argument("--host-id", type=int, default=0, help="which of --hosts this one is, counted from 0")
    options = parser.parse_args(argv)
    if options.from_card is None:
        return recipes.from_arguments(options), options
    if options.recipe or options.dataset:
        parser.error("--from-card has the recipe and the dataset of the card: leave --recipe and --dataset out")
    card = cards.read(options.from_card)
    if card.members or not card.config:
        raise ValueError(f"{options.from_card} is of no training run; the card of one has settings and no members")
    return recipes.from_arguments(options, settings.from_json(card.config)), options


def main(argv=None):
    """The command."""
    config, options = arguments(argv)
    print(config)
    check(config)  # before the recordings are read, which may take a while
    places = hosts.places_of(options.hosts, options.host_id)
    data = recipes.read_data(config, options)
    print(data)
    manifest, versions = cards.manifest(config, data, training_rows(data, config)), cards.versions()
    if options.from_card:
        states.check_again(cards.read(options.from_card), config, manifest, versions)
    name = f"{config.recipe}-again" if options.from_card else recipes.default_name(config)
    folder = options.out or Path("results") / name
    common = states.identity(asdict(config), manifest)
    common |= versions | {"finished epochs": len(states.about(folder).get("log", ())) if options.resume else 0}
    with hosts.together(places, options.host_id, common):
        path = train(config, data, folder, options.save_as, options.resume, options.tensorboard)
    if path is None:
        return
    for split, scores in cards.read(path).scores.items():
        print(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    print(f"model: {path}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"training: {error}")
    except KeyboardInterrupt:
        sys.exit("training: interrupted; a run that has finished an epoch goes on with --resume")
