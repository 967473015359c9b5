"""Score saved models on the test split: `python evaluate.py MODEL [MODEL ...]`; several also as an ensemble.

A model is a `.h5` or `.keras` file with its card, or the `.json` card of an ensemble. Predictions go to
`results/<name>/predictions.npz`, and every number, table and figure is made from that file alone:
`python evaluate.py --from results/<name>/predictions.npz` makes them again.
"""

import argparse
import datetime
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import assessment
import card as cards
import metrics
import recipes
import report
import settings
import tokens
import writing
from inputs import Inputs, predict_rows
from tokens import Vocabulary

READINGS = Path("results") / "test-readings.csv"  # who looked at a test split, and how often
SHOWN = 2  # confident errors of each kind and class that are listed and drawn
ENSEMBLE = "mean of these"
REGRESSION = "logistic regression on the same TF-IDF"
TELLING = 10  # words of each class that are drawn


def predict(paths, data_of):
    """Predictions of saved models on validation and test records, as a dict of arrays; the npz file holds the same.

    Args:
        data_of: gives the Dataset of a card: models of the same records may want them cut or sampled differently.

    Raises:
        ValueError: models that were made for other classes, records or splits than the first.
    """
    probabilities, text, data = {}, {}, data_of(cards.read(paths[0]))
    names, rows = names_of(data.records), np.flatnonzero(data.split != "train")
    for path in paths:
        model, card = cards.load(path)
        own = data_of(card)
        cards.check_fits(path, card, own)
        if not (np.array_equal(names_of(own.records), names) and np.array_equal(own.split, data.split)):
            raise ValueError(f"{path} was made for other records or splits than {paths[0]}: {own}\nand: {data}")
        inputs = Inputs(own, card)
        probabilities[str(path)] = predict_rows(model, inputs, rows)
        if card.tokens and not text:
            probabilities[REGRESSION], text = read_text(inputs, rows)
    first = cards.read(paths[0])
    if len(paths) > 1:
        probabilities[ENSEMBLE] = np.mean([probabilities[str(path)] for path in paths], axis=0)
    frequencies = data.labels[data.rows("train")].mean(axis=0)
    probabilities["naive (class frequencies)"] = np.tile(frequencies, (len(rows), 1))
    wrong = most_wrong(data.labels[rows], probabilities[str(paths[0])], data.split[rows] == "test")
    return {
        "models": np.array(list(probabilities)),
        "probabilities": np.stack(list(probabilities.values())).astype("float32"),
        "labels": data.labels[rows].astype("int8"),
        "classes": np.array(data.classes),
        "split": data.split[rows].astype(str),
        "groups": data.groups[rows],
        "names": names[rows],
        "recordings": data.records["name"].to_numpy(str)[rows],
        "features": data.features[rows],
        "feature_names": np.array(data.feature_names, str),
        "wrong": wrong,
        "wrong_signals": data.signals[rows[wrong]],
        "leads": np.array(data.leads),
        "sampling_rate": data.sampling_rate,
        "source": f"{data.source} {data.task}",
        "log": json.dumps(first.log),
        "notes": np.array(data.notes, str),
        "multilabel": data.multilabel,
        "leaks_patients": data.leaks_patients,
        **text,
    }


def read_text(inputs, rows):
    """What words alone tell of some beats: probabilities of a logistic regression, and the most telling words."""
    vocabulary, card, train = Vocabulary.of(inputs.card), inputs.card, inputs.data.rows("train")
    signals, written = inputs.prepared(train)[0], inputs.words[train]
    told, weights = tokens.regression(written, inputs.data.labels[train], vocabulary)
    chosen = np.argsort(-weights, axis=1)[:, :TELLING]
    numbers = vocabulary.words[chosen.ravel()]
    shapes = [tokens.shape_of(number, signals, written, vocabulary) for number in numbers]
    samples = max((len(shape) for shape in shapes if shape is not None), default=0)
    return told(inputs.words[rows]), {
        "telling_words": np.array([tokens.name(n, vocabulary, card.leads, card.feature_names) for n in numbers]),
        "telling_classes": np.repeat(inputs.data.classes, chosen.shape[1]),
        "telling_weights": np.take_along_axis(weights, chosen, axis=1).ravel(),
        "telling_shapes": np.array([np.full(samples, np.nan) if shape is None else shape for shape in shapes]),
    }


def names_of(records):
    """A name for each record: its recording's, with the sample where several are cut from one."""
    names = records["name"].astype(str)
    return (names + " at " + records["sample"].astype(str) if "sample" in records else names).to_numpy(str)


def most_wrong(labels, probabilities, counted):
    """Positions of the records about which the model was surest and wrong: each class, both ways; `counted` only."""
    distance = np.where(counted[:, None], np.abs(labels - probabilities), -1)
    chosen = []
    for truth in (0, 1):
        ranked = np.argsort(-np.where(labels == truth, distance, -1), axis=0, kind="stable")
        chosen.extend(ranked[:SHOWN].T.ravel())
    chosen = np.unique(chosen)
    return chosen[counted[chosen]]  # a class of few records has run out of them


def record_reading(paths, data):
    """Add a line for each model to the log of looks at a test split: the more, the less a best score means."""
    READINGS.parent.mkdir(exist_ok=True)
    new = not READINGS.exists()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with READINGS.open("a") as file:
        if new:
            file.write("time,model,data\n")
        file.writelines(f"{now},{path},{data.source} {data.task}\n" for path in paths)


def predictions_of(options, folder):
    """Predictions of the models that the command line names, written to `folder`; or those that were written before."""
    if options.predictions:
        with np.load(options.predictions) as saved:
            return dict(saved)
    wanted = {}  # Datasets by the settings that their readers are asked for

    def data_of(card):
        config = replace(settings.from_json(card.config), rhythms=None)  # made recordings are trained on, never judged
        key = tuple(getattr(config, name) for name in ("dataset", "task", *recipes.READING))
        if key not in wanted:
            wanted[key] = recipes.read_data(config, options)
            print(wanted[key])
        return wanted[key]

    record_reading(options.models, data_of(cards.read(options.models[0])))
    return save_predictions(predict(options.models, data_of), folder)


def save_predictions(predictions, folder):
    """Write predictions to `folder`/predictions.npz; returns them."""
    with writing.whole(folder / "predictions.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, **predictions)
    return predictions


def cross_validate(path, folds, options, folder):
    """Train with the settings of a model's card `folds` times, each time scored on other patients.

    Only its training and validation records are used, so that choices can be made on the result; a fold that is done
    is not done again, and one that was interrupted goes on.

    Raises:
        ValueError: data whose protocol mixes patients, a model whose parts have seen every fold, or a folder with folds
            of other settings.
    """
    import state  # here, since they bring Keras
    import training

    card = cards.read(path)
    config = settings.from_json(card.config)
    if card.members or config.teachers:
        raise ValueError(f"{path} cannot be cross-validated: its members or teachers have seen every fold")
    data = recipes.read_data(config, options)
    print(data)
    scores = []
    for number, part in enumerate(data.grouped_folds(folds), start=1):
        run = folder / f"fold-{number}"
        if not (run / "predictions.npz").exists():
            print(f"fold {number} of {folds}", flush=True)
            again = (run / state.STATE).exists()
            model = training.train(config, part, run, resume=again, keep_interrupted=False)
            save_predictions(predict([model], lambda card, part=part: part), run)
        if settings.from_json(cards.read(run / "model.h5").config) != config:
            raise ValueError(f"{run} has a fold of other settings; name another folder with --out")
        with np.load(run / "predictions.npz") as saved:
            result = assessment.assess(dict(saved), options.thresholds, samples=10)
        figures = result["aami"][0]["scores"] if result["aami"] else {}
        row = {"fold": number, "records": result["records"], "absent": " ".join(result["absent"])}
        scores.append(row | result["models"][0]["scores"] | figures)
    report.write_folds(scores, folder)


def write_cards(options, result):
    """Put thresholds and temperatures on the models' cards, and write the card of their mean, where asked."""
    models = {model["model"]: model for model in result["models"]}
    if options.write_card:
        for path in options.models:
            cards.write(path, with_decision(cards.read(path), models[str(path)], result))
    if options.save_ensemble:
        card = cards.ensemble(options.save_ensemble, options.models)
        cards.write(options.save_ensemble, with_decision(card, models[ENSEMBLE], result))


def with_decision(card, model, result):
    """A card that says how its model decides, and what it scored on test records, with the ends of the intervals."""
    ends = [{name: pair and pair[end] for name, pair in model["intervals"].items()} for end in (0, 1)]
    return replace(
        card,
        thresholds=tuple(model["thresholds"]),
        threshold_goal=result["threshold_goal"],
        temperatures=tuple(model["temperatures"]),
        scores=card.scores | {"test": model["scores"], "test_low": ends[0], "test_high": ends[1]},
    )


def arguments(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="models with their cards")
    parser.add_argument("--from", dest="predictions", type=Path, help="a predictions.npz, instead of models")
    parser.add_argument("--thresholds", help="goal: f1 (the default), hamming, subset, recall=0.9, or a number")
    parser.add_argument("--samples", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder; results/MODEL when not given")
    parser.add_argument(
        "--write-card", action="store_true", help="put thresholds, temperatures and scores on the cards"
    )
    parser.add_argument("--save-ensemble", type=Path, help="write the card of the models' mean, NAME.json")
    parser.add_argument(
        "--cross-validate", type=int, metavar="K", help="train the model's settings on K folds of patients instead"
    )
    recipes.add_data_arguments(parser)
    options = parser.parse_args(argv)
    if bool(options.models) == bool(options.predictions):
        parser.error("name either models or, with --from, their predictions")
    if options.samples < 1:
        parser.error(f"--samples must be at least 1, but {options.samples} came")
    if options.cross_validate is not None and (len(options.models) != 1 or options.cross_validate < 3):
        parser.error("--cross-validate takes one model and at least 3 folds: to train, to validate and to score")
    if options.write_card and not options.models:
        parser.error("--write-card needs the models, not --from")
    check_before_looking(options)
    return options


def check_before_looking(options):
    """Refuse what cannot be done, before the test split is looked at.

    Raises:
        ValueError: a goal that is unknown or that a task has no thresholds for, or an ensemble that cannot be.
    """
    if options.thresholds:
        metrics.check_goal(options.thresholds)
        if options.models and not cards.read(options.models[0]).multilabel:
            raise ValueError(f"a record of this task is of {assessment.MOST_PROBABLE}: leave --thresholds out")
    name = options.save_ensemble
    if name:
        of_a_model = any(name.with_suffix(suffix).exists() for suffix in cards.SUFFIXES)
        if len(options.models) < 2 or name.suffix != ".json" or of_a_model:
            raise ValueError(f"--save-ensemble takes two models or more and a .json that is no model's, not {name}")
        cards.ensemble(name, options.models)


def main(argv=None):
    """The command."""
    options = arguments(argv)
    if options.cross_validate:
        name = f"{name_of(options.models[0])}-{options.cross_validate}-fold"
        return cross_validate(options.models[0], options.cross_validate, options, options.out or Path("results") / name)
    default = Path("results") / "-".join(name_of(path) for path in options.models)
    folder = options.out or (options.predictions.parent if options.predictions else default)
    predictions = predictions_of(options, folder)
    result = assessment.assess(predictions, options.thresholds, options.samples)
    write_cards(options, result)
    report.write(result, predictions, folder)
    print(report.as_text(result))
    print(f"\nwritten to {folder}: report.html, report.md, metrics.json, tables as CSV")
    return None


def name_of(path):
    """A model's name: its file's, or for the `model.h5` of a training run that of the run's folder, with "test"."""
    return f"{path.resolve().parent.name}-test" if path.stem == "model" else path.stem


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    except KeyboardInterrupt:
        sys.exit("evaluate: interrupted; folds of --cross-validate that are done stay done")
