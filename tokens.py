"""Beats as text: letters for levels of the signal, words of a few letters, and beats alike as one token.

Each lead of a beat is cut into pieces of time, and the mean of a piece becomes a letter, as in SAX (Lin et al. 2003,
DMKD workshop); but its breakpoints are quantiles of the training beats, not of a normal distribution. Letters in a row
make words, and each feature of a beat (its RR interval, say) makes a word of one letter. K-means over the TF-IDF of
these words puts a beat into a cluster. What a network reads of a beat are its words, then the clusters of the beats
around it.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import normalize

PAD, UNKNOWN, FIRST = 0, 1, 2  # tokens: nothing there, a word of no training beat, then clusters, then words
NOTHING = -1  # instead of a word, where a beat has ended
RARE = 5  # a word that training beats have less often is unknown, as are words that only new patients have
DIGITS = 4  # of what is fitted: the card has exactly what was trained with
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FITTED = ("breakpoints", "words", "idf", "centroids")


class Vocabulary(NamedTuple):
    """All that text is written and read with; what is in FITTED was learned from training beats.

    Attributes:
        pieces: letters of each lead of a beat. letters: different ones. word: letters of a word.
        neighbours: beats before and after whose clusters are read.
        breakpoints: levels between letters, of the leads, then of the features: `(leads + features, letters - 1)`.
        words: numbers of the known words, rising `(words,)`; see `write`.
        idf: how rare each is `(words,)`.
        centroids: of the clusters, in TF-IDF `(clusters, words)`.
    """

    pieces: int
    letters: int
    word: int
    neighbours: tuple
    breakpoints: np.ndarray = None
    words: np.ndarray = None
    idf: np.ndarray = None
    centroids: np.ndarray = None

    @classmethod
    def of(cls, card):
        """The vocabulary on the card of a model.

        Raises:
            ValueError: it lacks a part, or its parts do not fit together or the card.
        """
        absent = [name for name in cls._fields if name not in card.tokens]
        if absent:
            raise ValueError(f"the vocabulary of the card is not fitted: it lacks {', '.join(absent)}")
        values = {name: card.tokens[name] for name in cls._fields}
        values["neighbours"] = tuple(values["neighbours"])
        values["breakpoints"] = np.array(values["breakpoints"])
        values["words"], values["idf"] = np.array(values["words"], int), np.array(values["idf"])
        values["centroids"] = np.array([row.split() for row in values["centroids"]], float)
        vocabulary = cls(**values)
        expected = {
            "breakpoints": (len(card.leads) + len(card.feature_names), vocabulary.letters - 1),
            "idf": (len(vocabulary.words),),
            "centroids": (len(vocabulary.centroids), len(vocabulary.words)),
        }
        for name, shape in expected.items():
            came = getattr(vocabulary, name).shape
            if came != shape:
                raise ValueError(f"the vocabulary of the card has {name} of shape {came}, but {shape} fits its model")
        return vocabulary

    def for_card(self):
        """The vocabulary as a dict for JSON, a line for each centroid."""
        lists = {name: getattr(self, name).tolist() for name in FITTED}
        lists["centroids"] = [" ".join(f"{value:g}" for value in row) for row in self.centroids]
        return self._asdict() | lists

    @property
    def size(self):
        """How many different tokens there are."""
        return FIRST + len(self.centroids) + len(self.words)

    def length(self, leads, features):
        """Tokens of a beat with so many leads and features."""
        return leads * (self.pieces - self.word + 1) + features + sum(self.neighbours) + 1


def fit(signals, features, vocabulary, clusters, seed=0):
    """The Vocabulary with what is learned from training beats.

    Args:
        signals: `(beats, samples, leads)`. features: `(beats, features)`, none of them unknown.
        vocabulary: its settings. clusters: of K-means.

    Raises:
        ValueError: fewer beats than clusters, settings out of range, or beats too much alike for clusters.
    """
    check(signals.shape[1], vocabulary)
    if len(signals) < clusters:
        raise ValueError(f"{clusters} clusters need as many training beats, but {len(signals)} came; use --clusters")
    shares = np.linspace(0, 1, vocabulary.letters + 1)[1:-1]
    levels = np.quantile(means(signals, vocabulary.pieces), shares, axis=(0, 1)).T
    levels = np.concatenate([levels, np.quantile(features, shares, axis=0).T])
    vocabulary = vocabulary._replace(breakpoints=levels.round(DIGITS))
    written = write(signals, features, vocabulary)
    numbers, often = np.unique(written, return_counts=True)
    known = numbers[(often >= RARE) & (numbers != NOTHING)]
    if len(known) < 2:
        raise ValueError(f"{len(known)} words come {RARE} times: the training beats are too few, or all alike")
    vocabulary = vocabulary._replace(words=known)
    idf = TfidfTransformer().fit(counts(written, vocabulary)).idf_.round(DIGITS)
    vocabulary = vocabulary._replace(idf=idf)
    weights = tfidf(written, vocabulary)
    fitted = MiniBatchKMeans(clusters, random_state=seed, n_init=3).fit(weights)
    return vocabulary._replace(centroids=fitted.cluster_centers_.round(DIGITS))


def check(samples, vocabulary):
    """Refuse settings that no text can be written with."""
    if not 2 <= vocabulary.letters <= len(LETTERS):
        raise ValueError(f"text needs 2 to {len(LETTERS)} letters, not {vocabulary.letters}")
    if not 1 <= vocabulary.word <= vocabulary.pieces <= samples:
        raise ValueError(
            f"words of {vocabulary.word} of {vocabulary.pieces} letters do not fit beats of {samples} samples"
        )
    if vocabulary.letters**vocabulary.word > 10**6:
        raise ValueError(f"words of {vocabulary.word} out of {vocabulary.letters} letters are more than a million")


def means(signals, pieces):
    """Means of pieces of equal length `(beats, pieces, leads)` of `(beats, samples, leads)`."""
    starts = np.arange(pieces) * signals.shape[1] // pieces
    lengths = np.diff(np.append(starts, signals.shape[1]))
    return np.add.reduceat(signals, starts, axis=1) / lengths[:, None]


def write(signals, features, vocabulary):
    """The text of each beat as numbers of words, those of each lead and then those of the features: `(beats, words)`.

    Words overlap: each begins a letter later. Those of the first lead have the numbers up to `letters ** word`, as
    digits to the base `letters`, then come those of the next lead, then the letters of each feature. NOTHING where
    a beat has ended, that is, where its signal stays zero.
    """
    leads, letters, word = signals.shape[2], vocabulary.letters, vocabulary.word
    level = means(signals, vocabulary.pieces)
    columns = [np.searchsorted(vocabulary.breakpoints[lead], level[:, :, lead], "right") for lead in range(leads)]
    written = np.stack(columns, axis=-1)  # (beats, pieces, leads)
    digits = np.lib.stride_tricks.sliding_window_view(written, word, axis=1)  # (beats, words, leads, word)
    numbers = digits @ letters ** np.arange(word)[::-1] + letters**word * np.arange(leads)
    ended = ~np.logical_or.accumulate(level.any(axis=-1)[:, ::-1], axis=1)[:, ::-1]
    numbers = np.where(ended[:, word - 1 :, None], NOTHING, numbers)
    said = [np.searchsorted(vocabulary.breakpoints[leads + i], column, "right") for i, column in enumerate(features.T)]
    said = [leads * letters**word + letters * i + column for i, column in enumerate(said)]
    text = [numbers[:, :, lead] for lead in range(leads)] + [column[:, None] for column in said]
    return np.concatenate(text, axis=1)


def name(number, vocabulary, leads, feature_names):
    """What a word says, for people: "II abc", or "RR before (s) 0.7 to 0.8"."""
    letters, word = vocabulary.letters, vocabulary.word
    lead, code = divmod(int(number), letters**word)
    if lead < len(leads):
        return f"{leads[lead]} " + "".join(LETTERS[code // letters**place % letters] for place in range(word)[::-1])
    feature, letter = divmod(int(number) - len(leads) * letters**word, letters)
    low, high = np.pad(vocabulary.breakpoints[len(leads) + feature], 1, constant_values=np.nan)[letter : letter + 2]
    said = f"below {high:.3g}" if letter == 0 else f"{low:.3g} and more" if letter == letters - 1 else None
    return f"{feature_names[feature]} {said or f'{low:.3g} to {high:.3g}'}"


def columns_of(written, vocabulary):
    """Positions of words in the vocabulary, -1 for those that are unknown or NOTHING."""
    places = np.searchsorted(vocabulary.words, written).clip(0, len(vocabulary.words) - 1)
    return np.where(vocabulary.words[places] == written, places, -1)


def counts(written, vocabulary):
    """How often each known word comes in each beat: sparse `(beats, words)`."""
    columns = columns_of(written, vocabulary)
    rows, places = np.nonzero(columns >= 0)
    shape = len(written), len(vocabulary.words)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns[rows, places])), shape)


def tfidf(written, vocabulary):
    """TF-IDF of the text of each beat, of length one: sparse `(beats, words)`."""
    return normalize(counts(written, vocabulary) @ sparse.diags(vocabulary.idf))


def sequences(written, vocabulary, recordings, places):
    """What a network reads of each beat: its words, then the clusters of the beats around it and its own in between.

    Args:
        written: `(beats, words)` of `write`.
        recordings, places: of each beat `(beats,)`, its recording's number and when it comes there.

    Returns:
        Tokens below `vocabulary.size`, int32 `(beats, words + clusters)`.
    """
    columns = columns_of(written, vocabulary)
    words = np.where(columns < 0, UNKNOWN, FIRST + len(vocabulary.centroids) + columns)
    words = np.where(written == NOTHING, PAD, words)
    clusters = FIRST + pairwise_distances_argmin(tfidf(written, vocabulary), vocabulary.centroids)
    return np.hstack([words, around(clusters, recordings, places, *vocabulary.neighbours)]).astype("int32")


def around(clusters, recordings, places, before, after):
    """For each beat the clusters of so many beats before it, its own, and of so many after: PAD where there is none."""
    order = np.lexsort((places, recordings))
    clusters, recordings = np.asarray(clusters)[order], np.asarray(recordings)[order]
    wanted = np.arange(len(order))[:, None] + np.arange(-before, after + 1)
    inside = wanted.clip(0, max(0, len(order) - 1))
    there = (wanted == inside) & (recordings[inside] == recordings[:, None])
    seen = np.empty(wanted.shape, int)
    seen[order] = np.where(there, clusters[inside], PAD)
    return seen


def regression(written, labels, vocabulary):
    """Logistic regression on the TF-IDF of training beats: what their words tell without order and neighbours.

    Args:
        written: `(beats, words)` of `write`. labels: `(beats, classes)`, one 1 a row.

    Returns:
        A function from other written beats to their probabilities `(beats, classes)`; and how much each word speaks for
        each class `(classes, words)`.
    """
    fitted = LogisticRegression(C=10, max_iter=1000).fit(tfidf(written, vocabulary), labels.argmax(axis=1))
    weights = np.zeros((labels.shape[1], len(vocabulary.words)))
    # Of two classes there is one row of weights, for the second.
    weights[fitted.classes_] = fitted.coef_ if len(fitted.coef_) > 1 else np.concatenate([-fitted.coef_, fitted.coef_])

    def probabilities(others):
        told = np.zeros((len(others), labels.shape[1]), "float32")  # a class without training beats has none
        told[:, fitted.classes_] = fitted.predict_proba(tfidf(others, vocabulary))
        return told

    return probabilities, weights


def shape_of(number, signals, written, vocabulary):
    """The mean stretch of signal `(samples,)` where beats have a word of a lead; None for a word of a feature.

    Args:
        signals: `(beats, samples, leads)`; written: their words.
    """
    lead = int(number) // vocabulary.letters**vocabulary.word
    places = vocabulary.pieces - vocabulary.word + 1
    if lead >= signals.shape[2]:
        return None
    starts = np.arange(places) * signals.shape[1] // vocabulary.pieces
    samples = signals.shape[1] * vocabulary.word // vocabulary.pieces
    rows, columns = np.nonzero(written[:, lead * places : (lead + 1) * places] == number)
    inside = np.minimum(starts[columns, None] + np.arange(samples), signals.shape[1] - 1)
    return signals[rows[:, None], inside, lead].mean(axis=0)


def on_samples(values, vocabulary, samples, leads):
    """What belongs to tokens `(beats, tokens)`, on the samples that their words are made of: `(beats, samples, leads)`.

    A word's value is shared out evenly among its samples, so that sums stay; words of features and clusters have none.
    """
    places = vocabulary.pieces - vocabulary.word + 1
    bounds = np.arange(vocabulary.pieces + 1) * samples // vocabulary.pieces
    shares = np.zeros((places, samples))
    for place, (start, end) in enumerate(zip(bounds, bounds[vocabulary.word :], strict=False)):
        shares[place, start:end] = 1 / (end - start)
    words = values[:, : leads * places].reshape(len(values), leads, places)
    return np.moveaxis(words @ shares, 1, 2)
