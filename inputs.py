"""From records to what a network is given, and back to their probabilities; nothing here needs Keras."""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

import preprocessing
import tokens

FEMALE = {"f": 1, "female": 1, "m": 0, "male": 0}


class Recorded(NamedTuple):
    """Records to be predicted, of one recording and in order: of a Dataset, what `Inputs` looks at.

    Attributes: see `dataset.Dataset`.
    """

    signals: np.ndarray
    leads: tuple
    sampling_rate: float
    features: np.ndarray
    feature_names: tuple
    records: pd.DataFrame = None


class Inputs:
    """The records of a Dataset, or something Recorded, as the model of `card` is given them."""

    def __init__(self, data, card):
        self.data, self.card = data, card

    @property
    def length(self):
        """Samples, or tokens, of a record."""
        card = self.card
        if card.tokens:
            return tokens.Vocabulary.of(card).length(len(card.leads), len(card.feature_names))
        return card.samples

    def __getitem__(self, rows):
        """Signals `(rows, samples, leads)` or tokens `(rows, tokens)`, and features `(rows, features)`."""
        if self.card.tokens:
            return self.sequences[rows], np.zeros((len(rows), 0), "float32")
        return self.prepared(rows)

    def prepared(self, rows):
        """Signals and features; those of a beat are what its words are made of, where the model reads words."""
        data, card = self.data, self.card
        signals = preprocessing.prepare(data.signals[rows], data.leads, data.sampling_rate, card)
        columns = [data.feature_names.index(name) for name in card.feature_names]  # a model may do with fewer, or none
        return signals, preprocessing.fill_features(data.features[rows][:, columns], card.feature_defaults)

    def millivolts(self, rows):
        """Signals `(rows, samples, leads)` as the model is given them, but in millivolt, for people to look at."""
        data, card = self.data, replace(self.card, scaling="none")
        return preprocessing.prepare(data.signals[rows], data.leads, data.sampling_rate, card)

    @cached_property
    def words(self):
        """The words of each beat, by number `(records, words)`; see `tokens.write`."""
        vocabulary = tokens.Vocabulary.of(self.card)
        return np.concatenate([tokens.write(*self.prepared(rows), vocabulary) for rows in self.chunks()])

    @cached_property
    def sequences(self):
        """Tokens of each beat `(records, tokens)`; see `tokens.sequences`."""
        return tokens.sequences(self.words, tokens.Vocabulary.of(self.card), *self.places())

    def places(self):
        """The recording of each record, by number, and its place therein: `(records,)` both."""
        records = self.data.records
        if records is None:
            return np.zeros(len(self.data.signals), int), np.arange(len(self.data.signals))
        places = records.get("sample", records.index)
        return pd.factorize(records["name"])[0], places.to_numpy()

    def chunks(self, size=8192):
        """All positions, so many at a time: what is made of signals is smaller than they are."""
        count = len(self.data.signals)
        return [np.arange(start, min(start + size, count)) for start in range(0, count, size)] or [np.arange(0)]


def patient(header, age, sex):
    """Features that are known of a patient: age in years and sex as in FEMALE, where said, else as a header tells."""
    said = {"age": age, "sex": FEMALE.get(sex)}
    return header | {name: value for name, value in said.items() if value is not None}


def as_inputs(signals, features):
    """What a model is given: the features only if there are any."""
    return (signals, features) if features.shape[1] else signals


def predict_rows(model, inputs, rows, window=None, batch_size=128):
    """Probabilities `(rows, classes)` of some records of Inputs.

    With `window`, the model takes so many samples, and a record's probability is the mean over windows that overlap
    by half.
    """
    window = window or inputs.length
    starts = range(0, inputs.length - window + 1, max(1, window // 2))
    parts = []
    for first in range(0, len(rows), batch_size):
        signals, features = inputs[rows[first : first + batch_size]]
        windows = [model.predict_on_batch(as_inputs(signals[:, start : start + window], features)) for start in starts]
        parts.append(np.mean(windows, axis=0))
    return np.concatenate(parts) if parts else np.zeros((0, len(inputs.card.classes)), "float32")
