"""Networks: functional Keras models of built-in layers only, so that a saved one opens with plain `load_model`."""

import numpy as np
from keras import Input, Model, layers

HEADS = {True: "sigmoid", False: "softmax"}  # by whether the task is multilabel


def residual_bilstm(config, inputs, head):
    """Residual Conv1D blocks, bidirectional LSTM, attention over time, and a branch for age and sex.

    The blocks are those of He et al. (2016, arXiv 1512.03385), the attention that of Yang et al. (2016, NAACL).
    """
    x, features = inputs
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        x = residual_block(x, filters, kernel, config.dropout)
        x = layers.MaxPooling1D(2)(x)
    x = layers.Bidirectional(layers.LSTM(config.lstm_units, return_sequences=True))(x)
    x = layers.Dropout(config.dropout)(x)
    x = attend(x, config.lstm_units)
    x = layers.Dense(config.dense_units, activation="relu")(x)
    x = layers.Dropout(config.dropout)(x)
    if features is not None:
        features = layers.Dense(config.metadata_units, activation="relu")(features)
        x = layers.Concatenate()([x, features])
    x = layers.Dense(config.combined_units, activation="relu")(x)
    return head(layers.Dropout(config.dropout)(x))


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
    scores = layers.Dense(1, use_bias=False)(layers.Dense(units, activation="tanh")(x))  # (batch, steps, 1)
    weights = layers.Softmax(axis=1, name="attention")(scores)
    return layers.Flatten()(layers.Dot(axes=1)([weights, x]))  # (batch, 1, channels) -> (batch, channels)


MODELS = {"residual_bilstm": residual_bilstm}


def build(config, samples, leads, classes, scales, multilabel=True):
    """The network `config.model` for signals `(batch, samples, leads)` in millivolt, not yet trained.

    Args:
        samples, leads, classes: sizes of the input and the output.
        scales: what `scales_of` measured on training; it goes into the graph.
        multilabel: a sigmoid for each class, else one softmax.

    Raises:
        ValueError: no such model, or settings that do not fit together.
    """
    if config.model not in MODELS:
        raise ValueError(f"no model {config.model!r}; there are: {', '.join(MODELS)}")
    if len(config.filters) != len(config.kernels):
        raise ValueError(
            f"each block needs filters and a kernel, but filters {config.filters}, kernels {config.kernels}"
        )
    signals, features = Input((samples, leads), name="signals"), None
    scaled = [standardize(signals, *scales["signals"]), None]
    if "features" in scales:
        features = Input((len(scales["features"][0]),), name="features")
        scaled[1] = standardize(features, *scales["features"])
    head = layers.Dense(classes, activation=HEADS[multilabel], dtype="float32", name="probabilities")
    inputs = signals if features is None else [signals, features]
    return Model(inputs, MODELS[config.model](config, scaled, head), name=config.model)


def scales_of(signals, features):
    """Mean and deviation of each lead of training signals `(records, samples, leads)` and of each feature."""
    scales = {"signals": (signals.mean((0, 1)), signals.std((0, 1)))}
    if features.shape[1]:
        scales["features"] = (features.mean(0), features.std(0))
    return scales


def standardize(x, mean, deviation):
    """Zero mean and unit variance as a layer, so that users pass millivolts and years."""
    deviation = np.maximum(deviation, 1e-6)  # a lead that is flat in all of the training data
    return layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(x)
