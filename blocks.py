"""Parts that networks are built of, from tensors to tensors, of built-in Keras layers only."""

import functools

from keras import layers

convolution = functools.partial(layers.Conv1D, padding="same", use_bias=False, kernel_initializer="he_normal")


def convolve(x, filters, kernel, stride=1, relu=True, gamma="ones"):
    """Convolution, batch normalisation whose scale begins at `gamma`, and ReLU."""
    x = convolution(filters, kernel, strides=stride)(x)
    x = layers.BatchNormalization(gamma_initializer=gamma)(x)
    return layers.ReLU()(x) if relu else x


def residual_block(x, filters, kernel, dropout):
    """Two convolutions and a shortcut around them: `(batch, steps, any)` to `(batch, steps, filters)`."""
    shortcut = layers.BatchNormalization()(layers.Conv1D(filters, 1, use_bias=False)(x))
    x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(dropout)(x)
    x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.Add()([shortcut, layers.BatchNormalization()(x)])
    return layers.ReLU()(x)


def self_attend(x, dropout, axes=None):
    """Add to `x` what it attends to along `axes` (all but batch and channels when not given), in heads of 16 channels.

    Normalised first, as in Xiong et al. (2020, arXiv 2002.04745).
    """
    channels = x.shape[-1]
    inner, heads = layers.LayerNormalization()(x), max(1, channels // 16)
    attention = layers.MultiHeadAttention(heads, channels // heads, dropout=dropout, attention_axes=axes)
    return layers.Add()([x, layers.Dropout(dropout)(attention(inner, inner))])


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


def attend(x, units):
    """The mean of `(batch, steps, channels)` over time, weighted by what the network finds telling."""
    weights = weigh(x, units, name="attention")
    return layers.Flatten()(layers.Dot(axes=1)([weights, x]))  # (batch, 1, channels) -> (batch, channels)


def weigh(x, units, name):
    """Weights `(batch, any, ..., 1)` of `(batch, any, ..., channels)` that sum to one over the first axis of any."""
    scores = layers.Dense(1, use_bias=False)(layers.Dense(units, activation="tanh")(x))
    return layers.Softmax(axis=1, name=name)(scores)


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
        for _ in range(config.metadata_layers):
            features = layers.Dense(config.metadata_units, activation="relu")(features)
        x = layers.Concatenate()([x, features])
    x = layers.Dense(config.combined_units, activation="relu")(x)
    return head(layers.Dropout(config.dropout)(x))
