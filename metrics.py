"""Scores of probabilities, and the thresholds that turn probabilities into decisions."""

import numpy as np
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


def choose_thresholds(labels, probabilities):
    """The threshold of each class with the highest F1 on these records; 0.5 where a class is not present."""
    classes = present(labels)
    return [_best_f1(labels[:, i], probabilities[:, i]) if classes[i] else 0.5 for i in range(labels.shape[1])]


def _best_f1(labels, probabilities):
    precision, recall, thresholds = metrics.precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))  # the last point has no threshold
    # Halfway to the next lower probability, so that rounding in another runtime changes no decision; in double
    # precision, since between two neighbouring single ones there is nothing.
    below = thresholds[best - 1] if best else 0.0
    return (float(thresholds[best]) + float(below)) / 2


def scores(labels, probabilities, thresholds):
    """Macro AUC, precision, recall and F1, subset accuracy and Hamming loss, as a dict of floats."""
    decisions = (probabilities >= np.asarray(thresholds)).astype(int)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, decisions, average="macro", zero_division=0
    )
    return {
        "macro_auc": macro_auc(labels, probabilities),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "macro_f1": float(f1),
        "subset_accuracy": float(metrics.accuracy_score(labels, decisions)),
        "hamming_loss": float(metrics.hamming_loss(labels, decisions)),
    }


def class_scores(labels, probabilities, thresholds):
    """AUC (None where the class is not present), precision, recall and F1 of each class, as a list of dicts."""
    decisions = (probabilities >= np.asarray(thresholds)).astype(int)
    there = present(labels)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, decisions, average=None, zero_division=0)
    return [
        {
            "auc": float(metrics.roc_auc_score(labels[:, i], probabilities[:, i])) if there[i] else None,
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i in range(labels.shape[1])
    ]
