"""Score saved models on the test split: `python evaluate.py MODEL [MODEL ...]`; several also as an ensemble.

Predictions go to `results/<name>/predictions.npz`, and every number, table and figure is made from that file alone:
`python evaluate.py --from results/<name>/predictions.npz` makes them again.
"""

import argparse
import datetime
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix

import card as cards
import metrics
import recipes
import report

READINGS = Path("results") / "test-readings.csv"  # who looked at a test split, and how often
AGES = {"under 40": (0, 40), "40 to 59": (40, 60), "60 to 79": (60, 80), "80 and over": (80, np.inf)}
SHOWN = 2  # confident errors of each kind and class that are listed and drawn


def predict(paths, options):
    """Predictions of saved models on validation and test records, as a dict of arrays; the npz file holds the same.

    Raises:
        ValueError: models that know other classes than the data, or were made for different data.
    """
    import batches  # here, since it brings Keras, which a report made from predictions does without

    opened = [cards.load(path) for path in paths]
    first = opened[0][1]
    data = recipes.read_data(recipes.from_json(first.config), options)
    print(data)
    rows = np.flatnonzero(data.split != "train")
    for path, (_, card) in zip(paths, opened, strict=True):
        if (card.classes, card.data.get("task", data.task)) != (data.classes, data.task):
            raise ValueError(f"{path} knows the classes {card.classes}, but the data have {data.classes}")
    probabilities = {
        str(path): batches.predict_rows(model, data, rows, card)
        for path, (model, card) in zip(paths, opened, strict=True)
    }
    if len(paths) > 1:
        probabilities["mean of these"] = np.mean(list(probabilities.values()), axis=0)
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
        "names": data.records["name"].to_numpy(str)[rows],
        "features": data.features[rows],
        "feature_names": np.array(data.feature_names, str),
        "wrong": wrong,
        "wrong_signals": data.signals[rows[wrong]],
        "leads": np.array(data.leads),
        "sampling_rate": data.sampling_rate,
        "source": f"{data.source} {data.task}",
        "log": json.dumps(first.log),
        "leaks_patients": data.leaks_patients,
    }


def most_wrong(labels, probabilities, counted):
    """Positions of the records about which the model was surest and wrong: each class, both ways; `counted` only."""
    distance = np.where(counted[:, None], np.abs(labels - probabilities), -1)
    chosen = []
    for truth in (0, 1):
        ranked = np.argsort(-np.where(labels == truth, distance, -1), axis=0, kind="stable")
        chosen.extend(ranked[:SHOWN].T.ravel())
    return np.unique(chosen)


def assess(predictions, goal="f1", samples=1000):
    """All scores of the test records in predictions, as a dict for JSON; thresholds and temperatures are validation's.

    Args:
        goal: what thresholds are chosen for; see `metrics.choose_thresholds`.
        samples: of the bootstrap over patients.
    """
    validation, test = (predictions["split"] == split for split in ("validation", "test"))
    labels, groups = predictions["labels"][test], predictions["groups"][test]
    models, decided, calibrated = [], [], []
    for name, probabilities in zip(predictions["models"], predictions["probabilities"].astype("float64"), strict=True):
        truth, held_out = predictions["labels"][validation], probabilities[validation]
        thresholds = metrics.choose_thresholds(truth, held_out, goal)
        temperatures = metrics.fit_temperatures(truth, held_out)
        decided.append((probabilities[test], thresholds))
        calibrated.append(metrics.calibrate(probabilities[test], temperatures))
        models.append({"model": str(name), "thresholds": thresholds, "temperatures": temperatures})
    draws = metrics.patient_draws(groups, samples)
    sampled = [metrics.sampled_scores(labels, *pair, draws) for pair in decided]
    for model, (probabilities, thresholds), values, rescaled in zip(models, decided, sampled, calibrated, strict=True):
        model["scores"] = metrics.scores(labels, probabilities, thresholds)
        model["intervals"] = {name: metrics.interval(values[name]) for name in values}
        # From the first model, sample by sample: what both find hard in a sample cancels out.
        model["differences"] = {name: metrics.interval(values[name] - sampled[0][name]) for name in values}
        model["calibration_error"] = metrics.calibration_error(labels, probabilities)
        model["calibration_error_with_temperatures"] = metrics.calibration_error(labels, rescaled)
    probabilities, thresholds = decided[0]
    classes = [str(name) for name in predictions["classes"]]
    matrices = multilabel_confusion_matrix(labels, probabilities >= np.asarray(thresholds))
    return {
        "source": str(predictions["source"]),
        "records": int(test.sum()),
        "patients": len(np.unique(groups)),
        "leaks_patients": bool(predictions["leaks_patients"]),
        "threshold_goal": goal,
        "bootstrap_samples": samples,
        "samples_without_a_class": int((draws @ labels == 0).any(axis=1).sum()),
        "models": models,
        "classes": dict(zip(classes, metrics.class_scores(labels, probabilities, thresholds), strict=True)),
        "confusion_matrices": dict(zip(classes, matrices.tolist(), strict=True)),
        "subgroups": subgroups(predictions, test, labels, probabilities, thresholds, draws),
        "errors": errors(predictions, thresholds),
    }


def subgroups(predictions, test, labels, probabilities, thresholds, draws):
    """Scores by age band and sex, where the data have these features and the group has records to tell apart."""
    names = [str(name).split()[0] for name in predictions["feature_names"]]
    features = dict(zip(names, predictions["features"][test].T, strict=True))
    members = {}
    if "age" in features:
        members |= {f"age {band}": (features["age"] >= a) & (features["age"] < b) for band, (a, b) in AGES.items()}
    if "sex" in features:
        members |= {"male": features["sex"] == 0, "female": features["sex"] == 1}
    rows = []
    for name, inside in members.items():
        if inside.any() and metrics.present(labels[inside]).any():
            part = labels[inside], probabilities[inside], thresholds
            sampled = metrics.sampled_scores(*part, draws[:, inside])
            spread = {score: metrics.interval(values) for score, values in sampled.items()}
            rows.append(
                {"group": name, "records": int(inside.sum()), "scores": metrics.scores(*part), "intervals": spread}
            )
    return rows


def errors(predictions, thresholds):
    """The surest wrong decisions of the first model: record, class, truth, probability."""
    found = []
    for i in predictions["wrong"]:
        for c, name in enumerate(predictions["classes"]):
            truth, probability = int(predictions["labels"][i, c]), float(predictions["probabilities"][0, i, c])
            if (probability >= thresholds[c]) != truth:
                entry = {"record": str(predictions["names"][i]), "class": str(name), "truth": truth}
                found.append(entry | {"probability": probability})
    return sorted(found, key=lambda error: -abs(error["truth"] - error["probability"]))


def record_reading(path, predictions):
    """Add a line to the log of looks at a test split: the more there are, the less a best score means."""
    READINGS.parent.mkdir(exist_ok=True)
    new = not READINGS.exists()
    with READINGS.open("a") as file:
        if new:
            file.write("time,model,data\n")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        file.write(f"{now},{path},{predictions['source']}\n")


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help=".h5 or .keras files with their cards")
    parser.add_argument("--from", dest="predictions", type=Path, help="a predictions.npz, instead of models")
    parser.add_argument("--thresholds", default="f1", help="goal: f1, hamming, subset, recall=0.9, or a number")
    parser.add_argument("--samples", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder; results/MODEL when not given")
    parser.add_argument("--write-card", action="store_true", help="put these thresholds and temperatures on the cards")
    recipes.add_data_arguments(parser)
    options = parser.parse_args(argv)
    if bool(options.models) == bool(options.predictions):
        parser.error("name either models or, with --from, their predictions")
    if options.samples < 1:
        parser.error(f"--samples must be at least 1, but {options.samples} came")
    metrics.check_goal(options.thresholds)  # before the test split is looked at
    if options.predictions:
        folder = options.out or options.predictions.parent
        with np.load(options.predictions) as saved:
            predictions = dict(saved)
    else:
        folder = options.out or Path("results") / "-".join(name_of(path) for path in options.models)
        predictions = predict(options.models, options)
        for path in options.models:
            record_reading(path, predictions)
        with cards.whole(folder / "predictions.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, **predictions)
    result = assess(predictions, options.thresholds, options.samples)
    if options.write_card:
        for path, model in zip(options.models, result["models"], strict=False):
            cards.write(path, replace(cards.read(path), **decision_of(model, options.thresholds)))
    report.write(result, predictions, folder)
    print(report.as_text(result))
    print(f"\nwritten to {folder}: report.html, metrics.json, tables as CSV")


def name_of(path):
    """A model's name: its file's, or for the `model.h5` of a training run that of the run's folder, with "test"."""
    return f"{path.resolve().parent.name}-test" if path.stem == "model" else path.stem


def decision_of(model, goal):
    """What the card of a model says about decisions."""
    return {
        "thresholds": tuple(model["thresholds"]),
        "threshold_goal": goal,
        "temperatures": tuple(model["temperatures"]),
    }


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
