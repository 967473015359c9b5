"""Training batches: order, crops and augmentation; of several hosts, each makes its share of a batch."""

import keras
import numpy as np

import augmentation
import balance
from inputs import as_inputs


class Batches(keras.utils.PyDataset):
    """Training batches whose order, crops and augmentation depend on (seed, epoch) alone, so that a run can resume."""

    def __init__(self, inputs, rows, config, targets, place=(0, 1)):
        """Batches of these rows of Inputs.

        Args:
            targets: `(records, outputs)`, what the network shall say of each record of Inputs.
            place: the number of this host, and how many share each batch; see `hosts.place`.
        """
        super().__init__()
        self.number, self.hosts = place
        self.inputs, self.rows, self.config, self.targets = inputs, rows, config, targets
        self.crop = crop_samples(config, inputs)
        self.shares = balance.sampling_weights(inputs.data.labels[rows], config.sampling_power)
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
        size = len(rows) // self.hosts
        mine = slice(self.number * size, (self.number + 1) * size)
        if not augmentation.mixes(self.config.augmentation):
            # In place of what others read, what is read here: the numbers drawn for it are those of the whole batch.
            rows = np.tile(rows[mine], self.hosts)
        rng = np.random.default_rng((self.config.seed, self.epoch, index))
        signals, features = self.inputs[rows]
        batch = augmentation.Batch(random_crops(signals, self.crop, rng), features, self.targets[rows])
        batch = augmentation.apply(self.config.augmentation, batch, rng, self.inputs.card.sampling_rate)
        return as_inputs(batch.signals[mine], batch.features[mine]), batch.labels[mine]


def crop_samples(config, inputs):
    """Samples, or tokens, that the network sees in training."""
    wanted = round(config.crop * inputs.card.sampling_rate)
    return min(wanted, inputs.length) if config.crop else inputs.length


def random_crops(signals, samples, rng):
    """A stretch of `(records, samples, leads)` from each record, at a random place."""
    starts = rng.integers(0, signals.shape[1] - samples + 1, size=len(signals))
    return np.stack([record[start : start + samples] for record, start in zip(signals, starts, strict=True)])
