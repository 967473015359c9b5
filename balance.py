"""Rare classes: weighted more, drawn more often, or filled up with synthetic records."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE


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


def sampling_weights(labels, power=1.0):
    """Probability of drawing each record of `(records, classes)`, which sum to one: `(records,)`.

    Power 1 draws all classes of a softmax task equally often, 0 all records, 0.5 is between. A record of several
    classes is drawn as often as its rarest, a record of none as one of the commonest.
    """
    counts = labels.sum(axis=0)
    rarest = np.where(labels == 1, counts, counts.max(initial=1)).min(axis=1)
    weights = rarest.astype(float) ** -power
    return weights / weights.sum()


def smote(data, rows, share=1.0, neighbours=5, seed=0):
    """A Dataset with synthetic training records at its end, and `rows` with theirs (Chawla et al. 2002, JAIR 16).

    A synthetic record lies at a random place between a training record of a rare class and one of its nearest
    neighbours of that class, in signals and features alike: both have the same say in who is near. Old records stay
    as they are. The new ones stand in the training split, with the name "synthetic" and a group that is no patient.

    Args:
        data: a Dataset of a task that is not multilabel.
        rows: positions of the training records; nothing else of `data` is looked at.
        share: of the largest class's count, to which smaller classes are raised.
        neighbours: of which one is drawn; fewer where a class has fewer.

    Raises:
        ValueError: the task is multilabel, or the share is not between 0 and 1.
    """
    if data.multilabel:
        raise ValueError("SMOTE needs exactly one class a record, but this task is multilabel; use class weights")
    if not 0 <= share <= 1:
        raise ValueError(f"SMOTE raises classes to a share between 0 and 1 of the largest, not to {share:g}")
    labels, signals, features = data.labels[rows], data.signals[rows], data.features[rows]
    lacking = _lacking(labels.sum(axis=0).astype(int), data.classes, share)
    if not lacking.any():
        return data, rows
    features = np.where(np.isnan(features), np.nanmedian(features, axis=0), features)
    scales = _as_telling_as(signals, features)
    vectors = np.hstack([signals.reshape(len(rows), -1), features * scales])
    made = [
        _between_neighbours(vectors[labels[:, number] == 1], lacking[number], neighbours, seed)
        for number in np.flatnonzero(lacking)
    ]
    signals, features = np.split(np.concatenate(made), [signals[0].size], axis=1)
    labels = np.repeat(np.eye(len(data.classes), dtype=labels.dtype), lacking, axis=0)
    new_rows = np.arange(len(data.labels), len(data.labels) + len(labels))
    return _extended(data, signals, features / scales, labels), np.concatenate([rows, new_rows])


def _as_telling_as(signals, features):
    """Factors `(features,)` with which all features together vary as much as all samples together."""
    deviations = features.std(axis=0)
    each = np.sqrt(signals.var(axis=0).sum() / max(1, len(deviations))) or 1
    return (each / np.where(deviations == 0, 1, deviations)).astype("float32")


def _lacking(counts, classes, share):
    """How many records each class `(classes,)` lacks to a share of the largest; none if it is alone or empty."""
    wanted = round(share * counts.max())
    alone = counts < min(2, wanted)
    for number in np.flatnonzero(alone):
        few = f"class {classes[number]} has {counts[number]} training records, so no neighbours"
        warnings.warn(f"{few}: SMOTE leaves it as it is", stacklevel=3)
    return np.where(alone, 0, np.maximum(wanted - counts, 0))


def _between_neighbours(vectors, count, neighbours, seed):
    """So many synthetic vectors `(count, size)`, each between one of `(records, size)` and one of its neighbours."""
    # SMOTE asks for a second class and looks only at the first: one vector of zeros will do. New vectors come last.
    vectors = np.concatenate([vectors, np.zeros_like(vectors[:1])])
    numbers = np.arange(len(vectors)) == len(vectors) - 1
    near = min(neighbours, len(vectors) - 2)
    sampler = SMOTE(sampling_strategy={0: len(vectors) - 1 + count}, k_neighbors=near, random_state=seed)
    return sampler.fit_resample(vectors, numbers.astype(int))[0][len(vectors) :]


def _extended(data, signals, features, labels):
    """The Dataset with these synthetic records at its end; their signals are `(synthetic, samples x leads)`."""
    signals = signals.reshape(-1, *data.signals.shape[1:])
    nobody = "synthetic" if data.groups.dtype.kind in "OU" else data.groups.max() + 1
    # Not NaN, the mark of the unknown, in columns of whole numbers: it would turn sample positions into floats.
    unknown = dict.fromkeys(data.records.select_dtypes("integer"), -1)
    records = pd.DataFrame({**unknown, "name": "synthetic"}, index=range(len(labels)))
    return replace(
        data,
        signals=np.concatenate([data.signals, signals]),
        features=np.concatenate([data.features, features]),
        labels=np.concatenate([data.labels, labels]),
        groups=np.append(data.groups, np.full(len(labels), nobody)),
        split=np.append(data.split, np.full(len(labels), "train")),
        records=pd.concat([data.records, records], ignore_index=True),
    )
