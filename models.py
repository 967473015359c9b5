"""Networks: functional Keras models of built-in layers only, so that a saved one opens with plain `load_model`.

But for `segment_attention`, no weight depends on the number of samples: a network is trained on crops and saved for
whole records.
"""

import functools

import numpy as np
from keras import Input, Model, initializers, layers

HEADS = {True: "sigmoid", False: "softmax"}  # by whether the task is multilabel
convolution = functools.partial(layers.Conv1D, padding="same", use_bias=False, kernel_initializer="he_normal")


def residual_bilstm(config, inputs, head):
    """Residual Conv1D blocks, bidirectional LSTM, attention over time, and a branch for age and sex.

    The blocks are those of He et al. (2016, arXiv 1512.03385), the attention that of Yang et al. (2016, NAACL).
    """
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = residual_block(x, filters, kernel, config.dropout)
        x = layers.MaxPooling1D(2)(x)
    return follow_and_classify(config, x, features, head)


def residual_block(x, filters, kernel, dropout):
    """Two convolutions and a shortcut around them: `(batch, steps, any)` to `(batch, steps, filters)`."""
    shortcut = layers.BatchNormalization()(layers.Conv1D(filters, 1, use_bias=False)(x))
    x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(dropout)(x)
    x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.Add()([shortcut, layers.BatchNormalization()(x)])
    return layers.ReLU()(x)


def attend(x, units):
    """The mean of `(batch, steps, channels)` over time, weighted by what the network finds telling."""
    weights = weigh(x, units, name="attention")
    return layers.Flatten()(layers.Dot(axes=1)([weights, x]))  # (batch, 1, channels) -> (batch, channels)


def weigh(x, units, name):
    """Weights `(batch, any, ..., 1)` of `(batch, any, ..., channels)` that sum to one over the first axis of any."""
    scores = layers.Dense(1, use_bias=False)(layers.Dense(units, activation="tanh")(x))
    return layers.Softmax(axis=1, name=name)(scores)


def cnn_lstm(config, inputs, head):
    """Convolutions, each with pooling, a bidirectional LSTM over what they found, and one dense layer."""
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = layers.MaxPooling1D(2)(convolve(x, filters, kernel))
        x = layers.Dropout(0.4 * config.dropout)(x)  # as published: 0.2 between the blocks, 0.5 before the head
    x = layers.Identity(name="last_convolution")(x)
    return classify(config, layers.Bidirectional(layers.LSTM(config.lstm_units))(x), features, head)


def segment_attention(config, inputs, head, heads=8):
    """Convolutions, each with pooling, then attention in eight heads, from every step to every other.

    What each step attended to is laid out flat, as published, so that time has its own weights: no crops, and by
    pooling few steps (ten seconds at 360 Hz, pooled twice by 4, have 225; by 2, 900, and 16 times the scores).
    """
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = layers.Dropout(0.4 * config.dropout)(layers.MaxPooling1D(config.pooling)(convolve(x, filters, kernel)))
    x = layers.Identity(name="last_convolution")(x)
    attention = layers.MultiHeadAttention(heads, max(1, x.shape[-1] // heads), name="attention")
    attended, _ = attention(x, x, return_attention_scores=True)  # the scores are for `attention_of`
    x = layers.Flatten()(layers.Add()([x, attended]))
    return classify(config, layers.Dropout(config.dropout)(x), features, head)


def token_lstm(config, inputs, head):
    """An LSTM over embedded tokens, whose last state tells the class."""
    x, features = inputs
    x = layers.LSTM(config.lstm_units)(layers.Dropout(config.dropout / 2)(x))
    return classify(config, layers.Dropout(config.dropout)(x), features, head)


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
    x = attend_within_windows(x, window, config.dropout)
    return follow_and_classify(config, attend_over_leads(x, config.lstm_units), features, head)


def attend_within_windows(x, window, dropout):
    """Self-attention between the steps of each window of each lead of `(batch, leads, steps, channels)`."""
    leads, steps, channels = x.shape[1:]
    missing = -steps % window  # steps, zeros, that make the last window a whole one
    x = layers.ZeroPadding2D(((0, 0), (0, missing)))(x)
    x = layers.Reshape((-1, window, channels))(x)  # (batch, leads x windows, window, channels)
    x = self_attend(x, dropout, axes=2)
    x = layers.Reshape((leads, steps + missing, channels))(x)
    return layers.Cropping2D(((0, 0), (0, missing)))(x)


def attend_over_leads(x, units):
    """The mean of `(batch, leads, steps, channels)` over leads, weighted anew at each step."""
    leads, steps, channels = x.shape[1:]
    x = layers.Multiply()([weigh(x, units, name="lead_attention"), x])
    x = layers.Rescaling(leads)(layers.AveragePooling2D((leads, 1))(x))  # their sum: as often their mean as there are
    return layers.Reshape((steps, channels))(x)


def resnet1d_wang(config, inputs, head):
    """The residual network of Wang et al. (2017, arXiv 1611.06455), with three blocks alike.

    Strodthoff et al. (2020, arXiv 2004.13701) made it so, and found it and `xresnet1d101` the best on PTB-XL.
    """
    x, features = inputs
    x = convolve(x, config.filters[0], 7)
    for number, (filters, kernel) in enumerate(zip(config.filters, config.kernels, strict=True)):
        x = basic_block(x, filters, kernel, stride=2 if number else 1)
    return pool_and_classify(config, x, features, head)


def basic_block(x, filters, kernel, stride):
    """Two convolutions, the second with about half the kernel, and a shortcut, projected where shapes differ."""
    inner = convolve(x, filters, kernel, stride)
    inner = convolve(inner, filters, kernel // 2 + 1, relu=False)
    if stride > 1 or x.shape[-1] != filters:
        # Every second step, taken by a maximum over one: TensorFlow 2.21 crashes training a strided kernel of 1.
        x = convolve(layers.MaxPooling1D(1, stride)(x), filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([x, inner]))


def xresnet1d(config, inputs, head, depths):
    """ResNet with the bag of tricks of He et al. (2019, arXiv 1812.01187), as narrow as Strodthoff et al. made it.

    Args:
        depths: bottleneck blocks in each stage; `config` has filters and a kernel for each stage.
    """
    if len(config.filters) != len(depths):
        raise ValueError(
            f"{config.model} has {len(depths)} stages, but filters {config.filters}; start from --recipe {config.model}"
        )
    x, features = inputs
    width, kernel = config.filters[0], config.kernels[0]
    for filters, stride in ((width // 2, 2), (width // 2, 1), (width, 1)):
        x = convolve(x, filters, kernel, stride)
    x = layers.MaxPooling1D(3, 2, padding="same")(x)
    for stage, (depth, filters, kernel) in enumerate(zip(depths, config.filters, config.kernels, strict=True)):
        for block in range(depth):
            x = bottleneck_block(x, filters, kernel, stride=2 if stage and not block else 1)
    return pool_and_classify(config, x, features, head)


def bottleneck_block(x, filters, kernel, stride):
    """A convolution between two of kernel 1, and a shortcut: `(batch, steps, any)` to `(batch, steps, 4 filters)`.

    It begins as its shortcut alone (gamma zero), which averages where the stride would throw samples away.
    """
    inner = convolve(convolve(x, filters, 1), filters, kernel, stride)
    inner = convolve(inner, 4 * filters, 1, relu=False, gamma="zeros")
    if stride > 1:
        x = layers.AveragePooling1D(stride, padding="same")(x)
    if x.shape[-1] != 4 * filters:
        x = convolve(x, 4 * filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([x, inner]))


def inception_time(config, inputs, head):
    """InceptionTime (Ismail Fawaz et al. 2020, arXiv 1909.04939), a shortcut around every three modules."""
    x, features = inputs
    shortcut = x
    for number, (filters, kernel) in enumerate(zip(config.filters, config.kernels, strict=True), start=1):
        x = inception_module(x, filters, kernel)
        if number % 3 == 0:
            shortcut = convolve(shortcut, x.shape[-1], 1, relu=False)
            x = shortcut = layers.ReLU()(layers.Add()([shortcut, x]))
    return pool_and_classify(config, x, features, head)


def inception_module(x, filters, kernel):
    """Long, middle and short kernels side by side, and a maximum of neighbours: `(batch, steps, 4 filters)`."""
    bottleneck = convolution(filters, 1)(x)
    branches = [convolution(filters, size)(bottleneck) for size in (kernel, kernel // 2, kernel // 4)]
    branches.append(convolution(filters, 1)(layers.MaxPooling1D(3, 1, padding="same")(x)))
    return layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()(branches)))


def transformer(config, inputs, head):
    """Patches of ten samples as tokens, then the encoder of Vaswani et al. (2017, arXiv 1706.03762), normalised first.

    A token learns its position from its neighbours, by convolution (Chu et al. 2021, arXiv 2102.10882): a table of
    positions would end where the crops end.
    """
    x, features = inputs
    x = layers.Conv1D(config.filters[0], 10, strides=10, padding="same")(x)
    for units, kernel in zip(config.filters, config.kernels, strict=True):
        x = transformer_block(x, units, kernel, config.dropout)
    return pool_and_classify(config, layers.LayerNormalization()(x), features, head)


def transformer_block(x, units, kernel, dropout):
    """Position, attention in heads of 16 channels, and two dense layers, each added to `(batch, tokens, units)`."""
    x = layers.Add()([x, layers.DepthwiseConv1D(kernel, padding="same")(x)])
    x = self_attend(x, dropout)
    # Not the usual GELU: Keras writes it with an operation that ONNX does not have.
    inner = layers.Dense(4 * units, activation="silu")(layers.LayerNormalization()(x))
    inner = layers.Dense(units)(layers.Dropout(dropout)(inner))
    return layers.Add()([x, layers.Dropout(dropout)(inner)])


def self_attend(x, dropout, axes=None):
    """Add to `x` what it attends to along `axes` (all but batch and channels when not given), in heads of 16 channels.

    Normalised first, as in Xiong et al. (2020, arXiv 2002.04745).
    """
    channels = x.shape[-1]
    inner, heads = layers.LayerNormalization()(x), max(1, channels // 16)
    attention = layers.MultiHeadAttention(heads, channels // heads, dropout=dropout, attention_axes=axes)
    return layers.Add()([x, layers.Dropout(dropout)(attention(inner, inner))])


def convolve(x, filters, kernel, stride=1, relu=True, gamma="ones"):
    """Convolution, batch normalisation whose scale begins at `gamma`, and ReLU."""
    x = convolution(filters, kernel, strides=stride)(x)
    x = layers.BatchNormalization(gamma_initializer=gamma)(x)
    return layers.ReLU()(x) if relu else x


def pool_and_classify(config, x, features, head):
    """From `(batch, steps, channels)` to probabilities, by mean and maximum over time (Strodthoff et al. 2020)."""
    x = layers.Identity(name="last_convolution")(x)  # a name for the map that explanations look at
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    x = layers.Dropout(config.dropout / 2)(layers.BatchNormalization()(x))
    return classify(config, x, features, head)


def follow_and_classify(config, x, features, head):
    """From `(batch, steps, channels)` to probabilities, by a bidirectional LSTM and attention over time."""
    x = layers.Bidirectional(layers.LSTM(config.lstm_units, return_sequences=True))(x)
    x = layers.Dropout(config.dropout)(x)
    x = attend(x, config.lstm_units)
    x = layers.Dense(config.dense_units, activation="relu")(x)
    return classify(config, layers.Dropout(config.dropout)(x), features, head)


def classify(config, x, features, head):
    """From a vector of each record, with its age and sex if there are any, to probabilities."""
    if features is not None:
        features = layers.Dense(config.metadata_units, activation="relu")(features)
        x = layers.Concatenate()([x, features])
    x = layers.Dense(config.combined_units, activation="relu")(x)
    return head(layers.Dropout(config.dropout)(x))


MODELS = {
    "residual_bilstm": residual_bilstm,
    "resnet1d_wang": resnet1d_wang,
    "xresnet1d50": functools.partial(xresnet1d, depths=(3, 4, 6, 3)),
    "xresnet1d101": functools.partial(xresnet1d, depths=(3, 4, 23, 3)),
    "inception_time": inception_time,
    "transformer": transformer,
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


def scales_of(signals, features):
    """Mean and deviation of each lead of training signals `(records, samples, leads)` and of each feature."""
    scales = {"signals": (signals.mean((0, 1)), signals.std((0, 1)))}
    if features.shape[1]:
        scales["features"] = (features.mean(0), features.std(0))
    return scales


def standardize(x, mean, deviation):
    """Zero mean and unit variance as a layer, so that users pass millivolts and years."""
    deviation = np.where(deviation < 1e-6, 1, deviation)  # what never varied in training must not count a million times
    return layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(x)
