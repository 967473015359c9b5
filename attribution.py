"""How much each sample of a signal counts for a class: attention, Grad-CAM and integrated gradients.

A member of METHODS takes a network and gives a function from what the network is given, and the number of a class, to
values `(records, steps, leads)`: steps of time, or tokens where it reads beats as text; one lead that stands for all.
"""

import functools

import keras
import numpy as np
from keras import layers

import models
import tokens
from inputs import as_inputs

STEPS = 32  # points of the path that gradients are integrated along
BATCH = 16  # records at once


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
    explainers = [explainer(member, method) for member in members_of(model)]
    parts = [np.zeros((0, card.samples, len(card.leads)))]
    for start in range(0, len(rows), BATCH):
        given = inputs[rows[start : start + BATCH]]
        parts.append(np.mean([on_samples(explain(*given, chosen), card) for explain in explainers], axis=0))
    return np.concatenate(parts).astype("float32")


def methods_of(model):
    """Names of the METHODS that have something to look at in a model."""
    return tuple(name for name in METHODS if not _lacks(model, name))


def _lacks(model, method):
    try:
        return not [explainer(member, method) for member in members_of(model)]
    except ValueError:
        return True


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
        found = network.predict_on_batch(given)
        found = found.mean(axis=(1, 2))[..., None] if found.ndim == 4 else found  # (batch, steps, 1)
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
        raise ValueError(f"{model.name} reads words and has no map of time: use integrated-gradients")
    for layer in model.layers:
        if layer.name == "last_convolution":
            return layer.output
    for layer in model.layers:
        if isinstance(layer, layers.Bidirectional | layers.RNN):
            return layer.input
    raise ValueError(f"{model.name} has no layer named last_convolution, and no LSTM: use integrated-gradients")


def integrated_gradients(model):
    """What each sample adds to the probability or takes from it, against a flat line (Sundararajan et al. 2017).

    arXiv 1703.01365. The flat line is at the mean of each lead; features stay as they are. The sum over all samples is
    the probability less that of the flat line. Of words, against no word (token PAD), summed over the embedding.
    """
    import tensorflow as tf

    if reads_words(model):
        embedding = model.get_layer("embedding")
        network = keras.Model(embedding.output, model.output)
    else:
        embedding, network = None, model
    points, shares = np.polynomial.legendre.leggauss(STEPS)  # between -1 and 1, with shares that sum to 2
    points, shares = ((points + 1) / 2).astype("float32")[:, None, None], (shares / 2).astype("float32")

    @in_graph
    def slopes(signals, features, chosen):
        with tf.GradientTape() as tape:
            tape.watch(signals)
            probability = tf.gather(network(as_inputs(signals, features), training=False), chosen, axis=1)
        return tape.gradient(probability, signals)

    def integrated(signals, features, chosen):
        if embedding is None:
            baseline = signals.mean(axis=1, keepdims=True)
        else:
            baseline, signals = (np.asarray(embedding(each)) for each in (np.full_like(signals, tokens.PAD), signals))
        way = signals - baseline
        told = zip(baseline, way, np.repeat(features[:, None], STEPS, axis=1), strict=True)
        mean = [np.tensordot(shares, slopes(start + points * to, known, chosen), 1) for start, to, known in told]
        return way * mean if embedding is None else (way * mean).sum(axis=-1, keepdims=True)

    return integrated


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
    """Values `(records, steps, leads)` of METHODS on the samples of a model's input: `(records, samples, leads)`.

    Steps are equal parts of the time; between their middles lie straight lines.
    """
    if card.tokens:
        return tokens.on_samples(values[..., 0], tokens.Vocabulary.of(card), card.samples, len(card.leads))
    steps = values.shape[1]
    places = (np.arange(card.samples) + 0.5) / card.samples * steps - 0.5
    between = np.apply_along_axis(lambda row: np.interp(places, np.arange(steps), row), 1, values)
    return np.broadcast_to(between, (len(values), card.samples, len(card.leads)))
