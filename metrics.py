"""Scores of probabilities `(records, classes)`, the thresholds that turn them into decisions, and calibration."""

import contextlib
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit
from sklearn import metrics


def present(labels):
    """Which classes of `(records, classes)` have both a positive and a negative record: only those have an AUC."""
    return (labels.max(axis=0) == 1) & (labels.min(axis=0) == 0)


def macro_auc(labels, probabilities):
    """Mean area under the ROC curve over the classes present.

    Raises:
        ValueError: no class has both positive and negative records.
    """
    classes = present(labels)
    if not classes.any():
        raise ValueError(f"no class has both positive and negative records among {len(labels)}, so there is no AUC")
    return float(metrics.roc_auc_score(labels[:, classes], probabilities[:, classes], average="macro"))


def choose_thresholds(labels, probabilities, goal="f1"):
    """A threshold for each class, as a list: the best ones for a goal on these records.

    Args:
        goal: "f1" of each class; "hamming", the fewest wrong decisions; "subset", the most records with every class
            right; "recall=0.9", the highest threshold that finds so many of the positive records; or a number, "0.5".

    A class that is not present has no best threshold and gets 0.5.

    Raises:
        ValueError: an unknown goal.
    """
    name, value = check_goal(goal)
    if name in GOALS:
        return GOALS[name](labels, probabilities, *value)
    return value * labels.shape[1]


def check_goal(goal):
    """Name and numbers of a goal: ("recall", [0.9]), ("f1", []), or ("", [0.5]) for a plain number."""
    name, _, value = goal.partition("=")
    with contextlib.suppress(ValueError):
        if goal in GOALS and goal != "recall":
            return goal, []
        number = float(value if name == "recall" else goal)
        if 0 < number <= 1:
            return ("recall", [number]) if name == "recall" else ("", [number])
    raise ValueError(
        f"no goal {goal!r} for thresholds; there are: f1, hamming, subset, recall=0.9, or a number over 0, up to 1"
    )


def each_class(choose, labels, probabilities, *arguments):
    """Thresholds of classes that do not depend on one another."""
    columns = zip(present(labels), labels.T, probabilities.T.astype("float64"), strict=True)
    return [choose(truth, column, *arguments) if there else 0.5 for there, truth, column in columns]


def best_f1(labels, probabilities):
    """The threshold of one class with the highest F1."""
    precision, recall, thresholds = metrics.precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return just_below(thresholds, np.argmax(f1[:-1]))  # the last point has no threshold


def best_accuracy(labels, probabilities):
    """The threshold of one class with the fewest wrong decisions."""
    false_rate, true_rate, thresholds = metrics.roc_curve(labels, probabilities, drop_intermediate=False)
    right = true_rate * labels.sum() + (1 - false_rate) * (1 - labels).sum()
    ascending = np.append(thresholds[:0:-1], 1.0)  # instead of the curve's infinity, "none is positive"
    return just_below(ascending, len(ascending) - 1 - np.argmax(right))


def enough_recall(labels, probabilities, recall=0.9):
    """The highest threshold of one class that still finds this share of its positive records."""
    _, recalls, thresholds = metrics.precision_recall_curve(labels, probabilities)
    return just_below(thresholds, np.flatnonzero(recalls[:-1] >= recall)[-1])


def just_below(thresholds, index):
    """Halfway to the next lower one, so that rounding in another runtime changes no decision."""
    return float((thresholds[index] + (thresholds[index - 1] if index else 0.0)) / 2)


def best_subset(labels, probabilities, sweeps=20):
    """Thresholds with the most records whose every class is right: one class at a time, until none changes."""
    thresholds = each_class(best_accuracy, labels, probabilities)
    for _ in range(sweeps):
        before = list(thresholds)
        for i in range(len(thresholds)):
            right = (probabilities >= thresholds) == labels
            rest = np.delete(right, i, axis=1).all(axis=1)  # only there can class i still decide
            if rest.any() and present(labels[rest])[i]:
                thresholds[i] = best_accuracy(labels[rest, i], probabilities[rest, i].astype("float64"))
        if thresholds == before:
            break
    return thresholds


GOALS = {
    "f1": partial(each_class, best_f1),
    "hamming": partial(each_class, best_accuracy),
    "subset": best_subset,
    "recall": partial(each_class, enough_recall),
}


def decide(probabilities, thresholds):
    """Decisions `(records, classes)`, 0 or 1: where a threshold is reached; without thresholds, the most probable."""
    if len(thresholds):
        return (probabilities >= np.asarray(thresholds)).astype(int)
    return np.eye(probabilities.shape[1], dtype=int)[np.argmax(probabilities, axis=1)]


def scores(labels, probabilities, thresholds):
    """Scores of a task as a dict of floats; without thresholds, of one that has one class a record.

    Both have macro AUC, precision, recall (with one class a record also named balanced accuracy) and F1, over the
    classes that have records. Several classes a record: subset accuracy and Hamming loss; one: accuracy, weighted F1.
    """
    decisions, there = decide(probabilities, thresholds), np.flatnonzero(labels.any(axis=0))
    average = partial(metrics.precision_recall_fscore_support, labels, decisions, labels=there, zero_division=0)
    precision, recall, f1, _ = average(average="macro")
    macro = {"macro_precision": precision, "macro_recall": recall, "macro_f1": f1}
    right = metrics.accuracy_score(labels, decisions)
    if len(thresholds):
        own = {"subset_accuracy": right, "hamming_loss": metrics.hamming_loss(labels, decisions)}
    else:
        own = {"accuracy": right, "weighted_f1": average(average="weighted")[2]}
    return {"macro_auc": macro_auc(labels, probabilities)} | {name: float(x) for name, x in (macro | own).items()}


def class_scores(labels, probabilities, thresholds):
    """AUC and average precision (None where the class is not present), precision, recall, F1: a dict for each class.

    The error rate is the share of a class's own records that are decided wrongly.
    """
    decisions = decide(probabilities, thresholds)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, decisions, average=None, zero_division=0)
    return [
        {
            "records": int(labels[:, i].sum()),
            "auc": float(metrics.roc_auc_score(labels[:, i], probabilities[:, i])) if there else None,
            "average_precision": (
                float(metrics.average_precision_score(labels[:, i], probabilities[:, i])) if there else None
            ),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "error_rate": float(1 - recall[i]) if labels[:, i].any() else None,
        }
        for i, there in enumerate(present(labels))
    ]


def fit_temperatures(labels, probabilities, multilabel=True):
    """What logits are divided by to be calibrated (Guo et al. 2017, arXiv 1706.04599), as a list.

    A temperature for each class, or one for all where a record has one class.
    """
    if not multilabel:
        return [best_temperature(labels, probabilities, False)]
    columns = zip(present(labels), labels.T, probabilities.T, strict=True)
    return [best_temperature(*pair, True) if there else 1.0 for there, *pair in columns]


def best_temperature(labels, probabilities, multilabel):
    """The temperature under which the labels are likeliest."""

    def misfit(logarithm):
        told = np.clip(calibrate(probabilities, [np.exp(logarithm)], multilabel), 1e-12, 1 - 1e-12)
        positive = labels * np.log(told)
        return -np.mean(positive + (1 - labels) * np.log1p(-told) if multilabel else positive)

    return float(np.exp(minimize_scalar(misfit, bounds=(-3, 3), method="bounded").x))


def calibrate(probabilities, temperatures, multilabel=True):
    """Probabilities with their logits divided by the temperatures."""
    probabilities = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if multilabel:
        return expit(logit(probabilities) / np.asarray(temperatures))
    return np.exp(log_softmax(np.log(probabilities) / np.asarray(temperatures), axis=1))


def calibration_error(labels, probabilities, bins=15):
    """Expected calibration error, the mean over classes: by how far shares of positives miss the probabilities."""
    errors = []
    for truth, column in zip(labels.T, probabilities.T, strict=True):
        places = np.minimum((column * bins).astype(int), bins - 1)
        gaps = np.bincount(places, weights=column - truth, minlength=bins)  # count * (mean probability - share)
        errors.append(np.abs(gaps).sum() / len(column))
    return float(np.mean(errors))


def patient_draws(groups, samples=1000, seed=0):
    """How often each record is in each bootstrap sample, `(samples, records)`.

    Patients, not records, are drawn: two records of one patient are not independent.
    """
    patients, patient = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=samples)[:, patient]


def sampled_scores(labels, probabilities, thresholds, draws):
    """What `scores` would give for each bootstrap sample, name to `(samples,)`; NaN where a sample has no AUC.

    All samples at once, since scikit-learn's twelve milliseconds for each would be minutes for a report.
    """
    decisions, truth = decide(probabilities, thresholds) == 1, labels == 1
    records = np.where(draws.any(axis=1), draws.sum(axis=1), np.nan)
    counts = draws.astype("float32")  # whose products are quick, and exact as far as there are records
    hits, decided, positives = (counts @ part.astype("float32") for part in (decisions & truth, decisions, truth))
    right, f1 = decisions == truth, 2 * hits / np.maximum(decided + positives, 1)
    there = (positives > 0) / np.maximum((positives > 0).sum(axis=1, keepdims=True), 1)
    right_records = counts @ right.all(axis=1) / records
    if len(thresholds):
        own = {"subset_accuracy": right_records, "hamming_loss": 1 - counts @ right.mean(axis=1) / records}
    else:
        own = {"accuracy": right_records, "weighted_f1": (f1 * positives).sum(axis=1) / records}
    return {
        "macro_auc": sampled_macro_auc(truth, probabilities, draws),
        "macro_precision": (there * hits / np.maximum(decided, 1)).sum(axis=1),
        "macro_recall": (there * hits / np.maximum(positives, 1)).sum(axis=1),
        "macro_f1": (there * f1).sum(axis=1),
        **own,
    }


def sampled_macro_auc(truth, probabilities, draws, chunk=50):
    """Macro AUC `(samples,)` over the classes present in each sample: the share of pairs in order, a tie being half."""
    # A chunk of samples at once: of fifty thousand beats, a thousand samples would take gigabytes.
    starts = range(0, len(draws), chunk)
    return np.concatenate([_macro_auc_of_each(truth, probabilities, draws[start : start + chunk]) for start in starts])


def _macro_auc_of_each(truth, probabilities, draws):
    areas = np.full((len(draws), truth.shape[1]), np.nan)
    for i, (positive, column) in enumerate(zip(truth.T, probabilities.T, strict=True)):
        order = np.argsort(column)
        positive, column, drawn = positive[order], column[order], draws[:, order]
        below = np.cumsum(np.pad(drawn * ~positive, ((0, 0), (1, 0))), axis=1)  # negatives before each place
        lower, upper = (np.searchsorted(column, column, side) for side in ("left", "right"))
        in_order = (drawn * positive * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
        pairs = (drawn * positive).sum(axis=1) * below[:, -1]
        np.divide(in_order, pairs, out=areas[:, i], where=pairs > 0)
    judged = ~np.isnan(areas)
    sums = np.where(judged, areas, 0).sum(axis=1)
    return np.divide(sums, judged.sum(axis=1), out=np.full(len(draws), np.nan), where=judged.any(axis=1))


def interval(values):
    """The middle 95 % of bootstrap values, as [low, high]; NaN, a sample without a value, does not count.

    None where no sample has a value.
    """
    if np.isnan(values).all():
        return None
    return np.nanquantile(values, [0.025, 0.975]).tolist()
