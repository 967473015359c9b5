"""How much each sample of a signal counts for a class: attention, Grad-CAM and integrated gradients; and is it true?

A member of METHODS takes a network and gives a function from what the network is given, and the number of a class, to
values `(records, steps, leads)`: steps of time, and one lead may stand for all; or, where it reads beats as text,
`(records, tokens, channels)` of what they are embedded in.
"""

import contextlib
import functools
import logging

import keras
import numpy as np
from keras import layers
from scipy.ndimage import uniform_filter1d

import models
import runtimes
import tokens
from inputs import Inputs, as_inputs, predict_rows

STEPS = 32  # points of the path that gradients are integrated along
BATCH = 16  # records at once
BLUR = 0.08  # seconds, about a QRS complex: what is less apart is one thing to look at
SHARE = 0.1  # of a signal that is hidden, to see whether what counts most does
# TensorFlow warns that one function has several graphs, but each network needs its own.
logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())


def relevance(model, card, inputs, rows, chosen, method):
    """How much each sample of some records counts for a class: float32 `(rows, samples, leads)`.

    On the time axis of what the model is given: `card.samples` at `card.sampling_rate`. Of an ensemble, the mean of its
    members'.

    Args:
        inputs: Inputs of the card. rows: positions of the records. chosen: the number of the class.
        method: a name in METHODS.

    Raises:
        ValueError: the model has nothing that the method looks at, or is no Keras model.
    """
    members = members_of(model)
    try:
        explainers = [explainer(member, method) for member in members]
    except ValueError as error:
        raise ValueError(f"{error}; use {' or '.join(methods_of(model))}") from error
    parts = [np.zeros((0, card.samples, len(card.leads)))]
    for start in range(0, len(rows), BATCH):
        given = inputs[rows[start : start + BATCH]]
        parts.append(np.mean([on_samples(explain(*given, chosen), card) for explain in explainers], axis=0))
    return np.concatenate(parts).astype("float32")


def methods_of(model):
    """Names of the METHODS that have something to look at in a model."""
    names = []
    for method in METHODS:
        with contextlib.suppress(ValueError):
            for member in members_of(model):
                explainer(member, method)
            names.append(method)
    return tuple(names)


def members_of(model):
    """The networks that a model is the mean of, or itself.

    Raises:
        ValueError: it is no Keras model.
    """
    if not isinstance(model, keras.Model):
        raise ValueError("explaining needs a Keras model: name the .h5 file that this one was exported from")
    return [layer for layer in model.layers if isinstance(layer, keras.Model)] or [model]


@functools.lru_cache(maxsize=32)  # what it compiles when it is first used, it keeps
def explainer(model, method):
    """What METHODS have under a name, for one network."""
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are: {', '.join(METHODS)}")
    return METHODS[method](model)


def attention(model):
    """What the layer "attention" attends to, whatever the class; and, where there is "lead_attention", in which lead.

    Of attention from every step to every other, in several heads, the mean over heads and over the steps that attend.
    """
    network = models.attention_of(model)
    by_lead = "lead_attention" in [layer.name for layer in model.layers]
    leads = keras.Model(model.input, model.get_layer("lead_attention").output) if by_lead else None

    def weights(signals, features, chosen):
        given = as_inputs(signals, features)
        found = runtimes.over_time(network.predict_on_batch(given))[..., None]
        return found * np.moveaxis(leads.predict_on_batch(given)[..., 0], 1, 2) if by_lead else found

    return weights


def grad_cam(model):
    """Where the network's last map of time speaks for the class (Selvaraju et al. 2017, arXiv 1610.02391).

    Each channel counts as the class's probability rises with it, in the mean over time; what speaks against is zero.
    """
    import tensorflow as tf

    both = keras.Model(model.inputs, [last_map(model), model.output])

    @in_graph
    def weighted(signals, features, chosen):
        with tf.GradientTape() as tape:
            tape.watch(signals)
            found, told = both(as_inputs(signals, features), training=False)
            probability = tf.gather(told, chosen, axis=1)
        slopes = tf.reduce_mean(tape.gradient(probability, found), axis=1, keepdims=True)
        return tf.nn.relu(tf.reduce_sum(slopes * found, axis=-1, keepdims=True))

    return weighted


def last_map(model):
    """The tensor `(batch, steps, channels)` that convolutions found: "last_convolution", or what an LSTM is given.

    Raises:
        ValueError: there is none.
    """
    if reads_words(model):
        raise ValueError(f"{model.name} reads words and has no map of time")
    for layer in model.layers:
        if layer.name == "last_convolution":
            return layer.output
    for layer in model.layers:
        if isinstance(layer, layers.Bidirectional | layers.RNN):
            return layer.input
    raise ValueError(f"{model.name} has no layer named last_convolution, and no LSTM")


def integrated_gradients(model):
    """What each sample adds to the probability or takes from it, against a flat line (Sundararajan et al. 2017).

    arXiv 1703.01365. The flat line is at the mean of each lead; features stay as they are. The sum over all samples is
    the probability less that of the flat line. Of words, it is against no word at all (token PAD).
    """
    if not reads_words(model):
        return integrated(model, lambda signals: (signals.mean(axis=1, keepdims=True), signals))
    embedding = model.get_layer("embedding")
    network = keras.Model(embedding.output, model.output)
    return integrated(
        network, lambda text: [np.asarray(embedding(one)) for one in (np.full_like(text, tokens.PAD), text)]
    )


def integrated(network, ends_of):
    """Gradients of a network over straight ways, whose starts and ends `ends_of` makes of what a model is given."""
    import tensorflow as tf

    places, shares = np.polynomial.legendre.leggauss(STEPS)  # between -1 and 1, with shares that sum to 2
    places, shares = ((places + 1) / 2).astype("float32")[:, None, None], (shares / 2).astype("float32")

    @in_graph
    def slopes(points, features, chosen):
        with tf.GradientTape() as tape:
            tape.watch(points)
            probability = tf.gather(network(as_inputs(points, features), training=False), chosen, axis=1)
        return tape.gradient(probability, points)

    def over_ways(given, features, chosen):
        starts, ends = ends_of(given)
        points = starts[:, None] + places * (ends - starts)[:, None]  # (records, STEPS, steps, channels)
        known = np.repeat(features[:, None], STEPS, axis=1)
        means = [np.tensordot(shares, slopes(*one, chosen), 1) for one in zip(points, known, strict=True)]
        return (ends - starts) * means

    return over_ways


def reads_words(model):
    """Whether a network is given tokens."""
    return model.inputs[0].name == "tokens"


def in_graph(function):
    """A function of signals, features and a class's number, compiled by TensorFlow; it takes and gives arrays.

    Raises:
        ValueError: Keras works on another backend, whose gradients these are not.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"gradients are TensorFlow's: set KERAS_BACKEND=tensorflow, not {keras.backend.backend()}")
    compiled = tf.function(function, reduce_retracing=True)
    return lambda signals, features, chosen: compiled(signals, features, tf.constant(chosen)).numpy()


METHODS = {"attention": attention, "grad-cam": grad_cam, "integrated-gradients": integrated_gradients}


def on_samples(values, card):
    """Values of METHODS on the samples of a model's input: `(records, samples, leads)`.

    Steps are equal parts of the time; between their middles lie straight lines.
    """
    if card.tokens:
        return tokens.on_samples(values.sum(axis=-1), tokens.Vocabulary.of(card), card.samples, len(card.leads))
    steps = values.shape[1]
    places = (np.arange(card.samples) + 0.5) / card.samples * steps - 0.5
    between = np.apply_along_axis(lambda row: np.interp(places, np.arange(steps), row), 1, values)
    return np.broadcast_to(between, (len(values), card.samples, len(card.leads)))


def blurred(values, sampling_rate):
    """Relevance `(records, samples, leads)` as its mean over BLUR seconds, which is what is drawn and ranked."""
    return uniform_filter1d(values, max(1, round(BLUR * sampling_rate)), axis=1, mode="nearest")


def drops(model, inputs, rows, method, draws=5, seed=0):
    """How much the probability of the top class falls when the SHARE of its signal that counts most is hidden.

    Against that, how much it falls when as much is hidden at random: the same stretches, elsewhere. Features stay as
    they are.

    Args:
        inputs: Inputs of something Recorded as the model is given it: `card.samples` of `card.leads`.
        draws: of stretches elsewhere.

    Returns:
        The probability of the top class of each row, its fall, and its mean fall at random: `(3, rows)`.
    """
    told = predict_rows(model, inputs, rows)
    top, rng = told.argmax(axis=1), np.random.default_rng(seed)
    mask = np.zeros((len(rows), *inputs.data.signals.shape[1:]), bool)
    for chosen in np.unique(top):
        values = relevance(model, inputs.card, inputs, rows[top == chosen], chosen, method)
        mask[top == chosen] = highest(blurred(values, inputs.card.sampling_rate))

    def fall(mask):
        return (told - predict_rows(model, hidden(inputs, rows, mask), rows))[np.arange(len(rows)), top]

    at_random = np.mean([fall(elsewhere(mask, rng)) for _ in range(draws)], axis=0)
    return np.stack([told.max(axis=1), fall(mask), at_random])


def highest(values):
    """Where the highest SHARE of values `(records, samples, leads)` is, record by record."""
    flat = values.reshape(len(values), -1)
    ranks = np.argsort(np.argsort(-flat, axis=1, kind="stable"), axis=1)
    return (ranks < round(SHARE * flat.shape[1])).reshape(values.shape)


def elsewhere(mask, rng):
    """The stretches of a mask `(records, samples, leads)` as far apart as they are, at another time in other leads."""
    moved = [np.roll(one, rng.integers(len(one)), axis=0)[:, rng.permutation(one.shape[1])] for one in mask]
    return np.stack(moved)


def hidden(inputs, rows, mask):
    """Inputs with what is masked in some rows, `(rows, samples, leads)`, replaced by a straight line across it.

    A line makes no edge where the baseline wanders, as the lead's mean would; and edges look like waves.
    """
    signals = np.array(inputs.data.signals)
    for row, masked in zip(rows, mask, strict=True):
        for lead, gone in enumerate(masked.T):
            lead_of_row = signals[row, :, lead]
            seen, left = np.flatnonzero(~gone), lead_of_row[~gone]
            lead_of_row[gone] = np.interp(np.flatnonzero(gone), seen, left) if len(seen) else lead_of_row.mean()
    return Inputs(inputs.data._replace(signals=signals), inputs.card)
