"""The networks of the five systems, and all by name: built-in Keras layers only, so that plain `load_model` opens them.

But for `segment_attention`, no weight depends on the number of samples: a network is trained on crops and saved for
whole records.
"""

import functools

import numpy as np
from keras import Input, Model, initializers, layers

import blocks
import references

HEADS = {True: "sigmoid", False: "softmax"}  # by whether the task is multilabel


def residual_bilstm(config, inputs, head):
    """Residual Conv1D blocks, bidirectional LSTM, attention over time, and a branch for age and sex.

    The blocks are those of He et al. (2016, arXiv 1512.03385), the attention that of Yang et al. (2016, NAACL).
    """
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = blocks.residual_block(x, filters, kernel, config.dropout)
        x = layers.MaxPooling1D(2)(x)
    return blocks.follow_and_classify(config, x, features, head)


def cnn_lstm(config, inputs, head):
    """Convolutions, each with pooling, a bidirectional LSTM over what they found, and one dense layer."""
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = layers.MaxPooling1D(2)(blocks.convolve(x, filters, kernel))
        x = layers.Dropout(0.4 * config.dropout)(x)  # as published: 0.2 between the blocks, 0.5 before the head
    x = layers.Identity(name="last_convolution")(x)
    return blocks.classify(config, layers.Bidirectional(layers.LSTM(config.lstm_units))(x), features, head)


def segment_attention(config, inputs, head, heads=8):
    """Convolutions, each with pooling, then attention in eight heads, from every step to every other.

    What each step attended to is laid out flat, as published, so that time has its own weights: no crops, and by
    pooling few steps (ten seconds at 360 Hz, pooled twice by 4, have 225; by 2, 900, and 16 times the scores).
    """
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = layers.MaxPooling1D(config.pooling)(blocks.convolve(x, filters, kernel))
        x = layers.Dropout(0.4 * config.dropout)(x)
    x = layers.Identity(name="last_convolution")(x)
    attention = layers.MultiHeadAttention(heads, max(1, x.shape[-1] // heads), name="attention")
    attended, _ = attention(x, x, return_attention_scores=True)  # the scores are for `attention_of`
    x = layers.Flatten()(layers.Add()([x, attended]))
    return blocks.classify(config, layers.Dropout(config.dropout)(x), features, head)


def token_lstm(config, inputs, head):
    """An LSTM over embedded tokens, whose last state tells the class."""
    x, features = inputs
    x = layers.LSTM(config.lstm_units)(layers.Dropout(config.dropout / 2)(x))
    return blocks.classify(config, layers.Dropout(config.dropout)(x), features, head)


def attention_of(model):
    """A second model over the layers of `model`, for what its layer "attention" attends to.

    Weights of a mean over time `(batch, steps, 1)`; or scores `(batch, heads, steps, steps)`, of each step for all.

    Raises:
        ValueError: the model has no such layer.
    """
    names = [layer.name for layer in model.layers]
    if "attention" not in names:
        raise ValueError(f"{model.name} has no layer named attention")
    output = model.get_layer("attention").output
    return Model(model.input, output[1] if isinstance(output, list | tuple) else output)


def local_lead_attention(config, inputs, head, window=9):
    """Each lead by itself, with attention within windows of time; then attention over leads, LSTM, attention over time.

    All leads share their weights, and none depends on how many there are or in which order they come. A window is of
    so many steps after pooling: with three blocks at 360 Hz, 9 are a fifth of a second.
    """
    x, features = inputs
    x = layers.Permute((2, 1))(x)
    x = layers.Reshape((*x.shape[1:], 1))(x)  # (batch, leads, samples, 1)
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = layers.Conv2D(filters, (1, kernel), padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.MaxPooling2D((1, 2))(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.Dropout(config.dropout)(x)
    x = blocks.attend_within_windows(x, window, config.dropout)
    return blocks.follow_and_classify(config, blocks.attend_over_leads(x, config.lstm_units), features, head)


MODELS = {
    "residual_bilstm": residual_bilstm,
    "resnet1d_wang": references.resnet1d_wang,
    "xresnet1d50": functools.partial(references.xresnet1d, depths=(3, 4, 6, 3)),
    "xresnet1d101": functools.partial(references.xresnet1d, depths=(3, 4, 23, 3)),
    "inception_time": references.inception_time,
    "transformer": references.transformer,
    "cnn_lstm": cnn_lstm,
    "segment_attention": segment_attention,
    "token_lstm": token_lstm,
    "local_lead_attention": local_lead_attention,
}


def build(config, samples, leads, classes, scales, multilabel=True, membership=None):
    """The network `config.model` for signals `(batch, samples, leads)` in millivolt, or for tokens, not yet trained.

    Args:
        samples, leads, classes: sizes of the input and the output.
        scales: what `scales_of` measured on training; it goes into the graph. For tokens `{"tokens": how many there
            are}`: the input is `(batch, samples)`, and each token is embedded.
        multilabel: a sigmoid for each class, else one softmax.
        membership: of finer classes, `(fine classes, classes)`: then the network tells those first, and groups them.

    Raises:
        ValueError: no such model, or settings that do not fit together.
    """
    if config.model not in MODELS:
        raise ValueError(f"no model {config.model!r}; there are: {', '.join(MODELS)}")
    if len(config.filters) != len(config.kernels):
        raise ValueError(
            f"each block needs filters and a kernel, but filters {config.filters}, kernels {config.kernels}"
        )
    features = None
    if "tokens" in scales:
        signals = Input((samples,), dtype="int32", name="tokens")
        scaled = [layers.Embedding(scales["tokens"], config.embedding_units, name="embedding")(signals), None]
    else:
        signals = Input((samples, leads), name="signals")
        scaled = [standardize(signals, *scales["signals"]), None]
    if "features" in scales:
        features = Input((len(scales["features"][0]),), name="features")
        scaled[1] = standardize(features, *scales["features"])
        if config.feature_scaling == "quartiles":
            scaled[1] = layers.Activation("tanh")(scaled[1])
    head = layers.Dense(classes, activation=HEADS[multilabel], dtype="float32", name="probabilities")
    if membership is not None:
        head = functools.partial(grouped, len(membership), classes)
    inputs = signals if features is None else [signals, features]
    model = Model(inputs, MODELS[config.model](config, scaled, head), name=config.model)
    if membership is not None:
        model.get_layer("membership").set_weights([membership])
    return model


def grouped(fine_classes, classes, x):
    """Probabilities of classes, each of which is there if any of its finer ones is: `1 - prod(1 - p)`.

    As a sum: `log(1 - p)` of a sigmoid is minus the softplus of its logit.
    """
    # Rare at first: were each of seventy as likely as not, every class would be certain, and nothing be learned.
    rare = initializers.Constant(-4.0)
    logits = layers.Dense(fine_classes, bias_initializer=rare, dtype="float32", name="fine_logits")(x)
    absent = layers.Activation("softplus", dtype="float32")(logits)
    absent = layers.Dense(classes, use_bias=False, trainable=False, dtype="float32", name="membership")(absent)
    absent = layers.Activation("exponential", dtype="float32")(layers.Rescaling(-1.0, dtype="float32")(absent))
    return layers.Rescaling(-1.0, 1.0, dtype="float32", name="probabilities")(absent)


def with_fine_classes(model):
    """The same network with one output `(batch, classes + fine classes)`, to be trained on both."""
    fine = layers.Activation("sigmoid", dtype="float32")(model.get_layer("fine_logits").output)
    return Model(model.inputs, layers.Concatenate(dtype="float32")([model.output, fine]), name=model.name)


def scales_of(signals, features, feature_scaling="deviation"):
    """Mean and deviation of each lead of training signals `(records, samples, leads)`, and the scales of features."""
    scales = {"signals": (signals.mean((0, 1)), signals.std((0, 1)))}
    if features.shape[1]:
        scales["features"] = FEATURE_SCALES[feature_scaling](features)
    return scales


def quartiles(features):
    """Median and three times the distance of the quartiles of features `(records, features)`.

    A few beats are hundreds of deviations from the others: squashed afterwards, they count no more than far ones.
    """
    low, middle, high = np.quantile(features, (0.25, 0.5, 0.75), axis=0)
    return middle, 3 * (high - low)


FEATURE_SCALES = {"deviation": lambda features: (features.mean(0), features.std(0)), "quartiles": quartiles}


def standardize(x, mean, deviation):
    """Zero mean and unit variance as a layer, so that users pass millivolts and years."""
    deviation = np.where(deviation < 1e-6, 1, deviation)  # what never varied in training must not count a million times
    return layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(x)
