"""All scores of the test records in predictions; thresholds and temperatures are chosen on the validation records."""

import numpy as np
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

import beats
import metrics

AGES = {"under 40": (0, 40), "40 to 59": (40, 60), "60 to 79": (60, 80), "80 and over": (80, np.inf)}
CONFIDENCES = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)  # bounds of the bands in which errors are counted
AAMI = list(beats.CLASSES)  # for which the standard names figures
MOST_PROBABLE = "the most probable class"  # how a record is decided that has exactly one


def assess(predictions, goal=None, samples=1000):
    """Everything a report says, as a dict for JSON; the first model is told most of.

    Args:
        predictions: the dict of arrays that `evaluate.predict` makes.
        goal: what thresholds are chosen for, see `metrics.choose_thresholds`; "f1" when not given. A task with one
            class a record has no thresholds.
        samples: of the bootstrap over patients.

    Raises:
        ValueError: a goal for a task that has no thresholds.
    """
    multilabel = bool(predictions["multilabel"])
    if goal and not multilabel:
        raise ValueError(f"a record of this task is of {MOST_PROBABLE}: leave --thresholds out")
    goal = goal or ("f1" if multilabel else MOST_PROBABLE)
    test = predictions["split"] == "test"
    labels, groups = predictions["labels"][test], predictions["groups"][test]
    draws = metrics.patient_draws(groups, samples)
    models = [decision(predictions, number, goal) for number in range(len(predictions["models"]))]
    sampled = [add_scores(model, predictions, number, draws) for number, model in enumerate(models)]
    for model, values in zip(models, sampled, strict=True):
        # From the first model, sample by sample: what both find hard in a sample cancels out.
        model["differences"] = {name: metrics.interval(values[name] - sampled[0][name]) for name in values}
    first = labels, predictions["probabilities"][0][test].astype("float64"), models[0]["thresholds"]
    classes = predictions["classes"].tolist()
    return {
        "source": str(predictions["source"]),
        "records": int(test.sum()),
        "patients": len(np.unique(groups)),
        "multilabel": multilabel,
        "leaks_patients": bool(predictions["leaks_patients"]),
        "threshold_goal": goal,
        "bootstrap_samples": samples,
        "samples_without_a_class": int((draws @ labels[:, labels.any(axis=0)] == 0).any(axis=1).sum()),
        "notes": predictions["notes"].tolist(),
        "absent": [name for name, there in zip(classes, labels.any(axis=0), strict=True) if not there],
        "models": models,
        "classes": dict(zip(classes, metrics.class_scores(*first), strict=True)),
        "confusion_matrices": matrices(*first, classes),
        "subgroups": subgroups(predictions, test, first, draws),
        "errors": errors(predictions, models[0]["thresholds"]),
        "recordings": recordings(predictions["recordings"][test], first, classes),
        "confidence": [] if multilabel else confidence(labels, first[1]),
        "aami": aami(predictions, draws) if classes == AAMI else [],
    }


def decision(predictions, number, goal):
    """How the probabilities of a model are decided and calibrated, by validation records alone."""
    validation, multilabel = predictions["split"] == "validation", bool(predictions["multilabel"])
    labels = predictions["labels"][validation]
    probabilities = predictions["probabilities"][number][validation].astype("float64")
    return {
        "model": str(predictions["models"][number]),
        "thresholds": metrics.choose_thresholds(labels, probabilities, goal) if multilabel else [],
        "temperatures": metrics.fit_temperatures(labels, probabilities, multilabel),
    }


def add_scores(model, predictions, number, draws):
    """Give `model` its scores on test records, with intervals; returns the scores of each bootstrap sample."""
    test = predictions["split"] == "test"
    labels, probabilities = predictions["labels"][test], predictions["probabilities"][number][test].astype("float64")
    calibrated = metrics.calibrate(probabilities, model["temperatures"], bool(predictions["multilabel"]))
    sampled = metrics.sampled_scores(labels, probabilities, model["thresholds"], draws)
    model["scores"] = metrics.scores(labels, probabilities, model["thresholds"])
    model["intervals"] = {name: metrics.interval(values) for name, values in sampled.items()}
    model["calibration_error"] = metrics.calibration_error(labels, probabilities)
    model["calibration_error_with_temperatures"] = metrics.calibration_error(labels, calibrated)
    return sampled


def matrices(labels, probabilities, thresholds, classes):
    """Counts by truth (rows) and decision: of each class, no and yes; or, with one class a record, of all classes."""
    decisions = metrics.decide(probabilities, thresholds)
    if not len(thresholds):
        every = confusion_matrix(labels.argmax(axis=1), decisions.argmax(axis=1), labels=range(len(classes)))
        return {"all classes": every.tolist()}
    return dict(zip(classes, multilabel_confusion_matrix(labels, decisions).tolist(), strict=True))


def subgroups(predictions, test, first, draws):
    """Scores by age band and sex, where the data have these features and the group has records to tell apart."""
    labels, probabilities, thresholds = first
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
    wrong, found = predictions["wrong"], []
    decisions = metrics.decide(predictions["probabilities"][0, wrong], thresholds)
    for i, c in np.argwhere(decisions != predictions["labels"][wrong]):
        entry = {"record": str(predictions["names"][wrong[i]]), "class": str(predictions["classes"][c])}
        truth, probability = predictions["labels"][wrong[i], c], predictions["probabilities"][0, wrong[i], c]
        found.append(entry | {"truth": int(truth), "probability": float(probability)})
    return sorted(found, key=lambda error: -abs(error["truth"] - error["probability"]))


def recordings(names, first, classes):
    """A row for each recording that beats or segments were cut from: how many of each class, and how many found."""
    if len(set(names)) == len(names):
        return []  # each record is a recording of its own
    labels, decisions = first[0], metrics.decide(*first[1:])
    rows = []
    for name in np.unique(names):
        truth, decided = labels[names == name], decisions[names == name]
        row = {"recording": str(name), "records": len(truth), "accuracy": float((truth == decided).all(axis=1).mean())}
        for i, which in enumerate(classes):
            row |= {which: int(truth[:, i].sum()), f"{which} found": int((truth & decided)[:, i].sum())}
        rows.append(row)
    return rows


def confidence(labels, probabilities):
    """Records and errors by how probable the decided class is: a row for each band."""
    surest = probabilities.max(axis=1)
    wrong = labels[np.arange(len(labels)), probabilities.argmax(axis=1)] == 0
    band = np.clip(np.digitize(surest, CONFIDENCES) - 1, 0, len(CONFIDENCES) - 2)
    return [
        {
            "confidence": f"{low:g} to {high:g}",
            "records": int((band == i).sum()),
            "errors": int(wrong[band == i].sum()),
            "error_rate": float(wrong[band == i].mean()) if (band == i).any() else None,
        }
        for i, (low, high) in enumerate(zip(CONFIDENCES, CONFIDENCES[1:], strict=False))
    ]


def aami(predictions, draws):
    """The figures of ANSI/AAMI EC57 for each model, with intervals."""
    test = predictions["split"] == "test"
    truth, rows = predictions["labels"][test].argmax(axis=1), []
    for name, probabilities in zip(predictions["models"], predictions["probabilities"], strict=True):
        cell = truth * len(AAMI) + probabilities[test].argmax(axis=1)
        cells = np.eye(len(AAMI) ** 2, dtype="float32")[cell]  # which cell of the confusion matrix a beat is in
        shape = (len(AAMI), len(AAMI))
        figures = aami_figures(cells.sum(axis=0).reshape(shape))
        sampled = aami_figures((draws.astype("float32") @ cells).reshape(-1, *shape))
        spread = {figure: metrics.interval(values) for figure, values in sampled.items()}
        scores = {figure: None if np.isnan(value) else float(value) for figure, value in figures.items()}
        rows.append({"model": str(name), "scores": scores, "intervals": spread})
    return rows


def aami_figures(matrix):
    """Figures of confusion matrices `(..., 5, 5)` by truth and decision, in the order of AAMI.

    As de Chazal et al. (2004, IEEE TBME 51(7)): of S (supraventricular) and V (ventricular) beats sensitivity, positive
    predictivity, false positive rate and F1; a Q decided as S, and an F or Q decided as V, is no false positive. The
    macro F1 of N, S and V is over beats that are one of these; there F and Q are wrong decisions.
    """
    figures = {}
    for name, own, others in (("SVEB", 1, [0, 2, 3]), ("VEB", 2, [0, 1])):
        hits, all_own = matrix[..., own, own], matrix[..., own, :].sum(axis=-1)
        false, negatives = matrix[..., others, own].sum(axis=-1), matrix[..., others, :].sum(axis=(-2, -1))
        figures |= {
            f"{name} sensitivity": share(hits, all_own),
            f"{name} positive predictivity": share(hits, hits + false),
            f"{name} false positive rate": share(false, negatives),
            f"{name} F1": share(2 * hits, all_own + hits + false),
        }
    three = matrix[..., :3, :]
    hits = np.diagonal(three, axis1=-2, axis2=-1)
    decided = three.sum(axis=-2)[..., :3] + three.sum(axis=-1)
    f1 = share(2 * hits, decided)
    return figures | {"N, S, V macro F1": share(np.nansum(f1, axis=-1), (~np.isnan(f1)).sum(axis=-1))}


def share(part, whole):
    """`part / whole`, NaN where there is nothing to have a share of."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=np.asarray(whole) > 0)
