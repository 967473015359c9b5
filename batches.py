"""From a Dataset to what a network is given: training batches; and back: probabilities of its records."""

from typing import NamedTuple

import keras
import numpy as np

import augmentation
import balance
import preprocessing


class Recorded(NamedTuple):
    """Recordings to be predicted: of a Dataset, what `predict_rows` looks at.

    Attributes: see `dataset.Dataset`.
    """

    signals: np.ndarray
    leads: tuple
    sampling_rate: float
    features: np.ndarray
    feature_names: tuple


class Batches(keras.utils.PyDataset):
    """Training batches whose order, crops and augmentation depend on (seed, epoch) alone, so that a run can resume."""

    def __init__(self, data, rows, config, card, targets):
        """`targets (records, outputs)` is what the network shall say of each record of `data`."""
        super().__init__()
        self.data, self.rows, self.config, self.card, self.targets = data, rows, config, card, targets
        self.crop = crop_samples(config, card)
        self.shares = balance.sampling_weights(data.labels[rows], config.sampling_power)
        self.epoch = 0

    @property
    def epoch(self):
        return self._epoch

    @epoch.setter
    def epoch(self, number):
        """Draw the order of an epoch: all records, or where rare classes come more often, some more than once."""
        self._epoch, rng = number, np.random.default_rng((self.config.seed, number))
        again = bool(self.config.sampling_power)
        self.order = rng.choice(self.rows, len(self.rows), p=self.shares) if again else rng.permutation(self.rows)

    def __len__(self):
        # What is left over after the last full batch has its turn in another epoch's order.
        return max(1, len(self.rows) // self.config.batch_size)

    def __getitem__(self, index):
        size = self.config.batch_size
        rows = self.order[index * size : (index + 1) * size]
        rng = np.random.default_rng((self.config.seed, self.epoch, index))
        signals, features = inputs_of(self.data, rows, self.card)
        batch = augmentation.Batch(random_crops(signals, self.crop, rng), features, self.targets[rows])
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
    columns = [data.feature_names.index(name) for name in card.feature_names]  # a model may do with fewer, or none
    return signals, preprocessing.fill_features(data.features[rows][:, columns], card.feature_defaults)


def as_inputs(signals, features):
    """What Keras is given: the features only if there are any."""
    return (signals, features) if features.shape[1] else signals


def predict_rows(model, data, rows, card, window=None, batch_size=128):
    """Probabilities `(rows, classes)` of some records of a Dataset, or of something Recorded.

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
    return np.concatenate(parts) if parts else np.zeros((0, len(card.classes)), "float32")
