"""Rare classes: how much more each of them counts."""

import numpy as np


def class_weights(labels, power=1.0):
    """Weights of the classes of `(records, classes)` with mean one: the rarer a class, the higher.

    Power 1 is balanced (inverse frequency), 0.5 its square root, 0 gives all classes the same weight.

    Raises:
        ValueError: a class without a positive record, which no weight can balance.
    """
    counts = labels.sum(axis=0)
    if power and not counts.all():
        empty = np.flatnonzero(counts == 0).tolist()
        raise ValueError(
            f"classes number {empty} have no positive training record; use --class-weight-power 0 or another task"
        )
    weights = (len(labels) / np.maximum(counts, 1)) ** power
    return weights / weights.mean()
