"""Networks of the literature on PTB-XL, in the sizes that were published, to compare ours with."""

from keras import layers

import blocks


def resnet1d_wang(config, inputs, head):
    """The residual network of Wang et al. (2017, arXiv 1611.06455), with three blocks alike.

    Strodthoff et al. (2020, arXiv 2004.13701) made it so, and found it and `xresnet1d101` the best on PTB-XL.
    """
    x, features = inputs
    x = blocks.convolve(x, config.filters[0], 7)
    for number, (filters, kernel) in enumerate(zip(config.filters, config.kernels, strict=True)):
        x = basic_block(x, filters, kernel, stride=2 if number else 1)
    return blocks.pool_and_classify(config, x, features, head)


def basic_block(x, filters, kernel, stride):
    """Two convolutions, the second with about half the kernel, and a shortcut, projected where shapes differ."""
    inner = blocks.convolve(x, filters, kernel, stride)
    inner = blocks.convolve(inner, filters, kernel // 2 + 1, relu=False)
    if stride > 1 or x.shape[-1] != filters:
        # Every second step, taken by a maximum over one: TensorFlow 2.21 crashes training a strided kernel of 1.
        x = blocks.convolve(layers.MaxPooling1D(1, stride)(x), filters, 1, relu=False)
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
        x = blocks.convolve(x, filters, kernel, stride)
    x = layers.MaxPooling1D(3, 2, padding="same")(x)
    for stage, (depth, filters, kernel) in enumerate(zip(depths, config.filters, config.kernels, strict=True)):
        for block in range(depth):
            x = bottleneck_block(x, filters, kernel, stride=2 if stage and not block else 1)
    return blocks.pool_and_classify(config, x, features, head)


def bottleneck_block(x, filters, kernel, stride):
    """A convolution between two of kernel 1, and a shortcut: `(batch, steps, any)` to `(batch, steps, 4 filters)`.

    It begins as its shortcut alone (gamma zero), which averages where the stride would throw samples away.
    """
    inner = blocks.convolve(blocks.convolve(x, filters, 1), filters, kernel, stride)
    inner = blocks.convolve(inner, 4 * filters, 1, relu=False, gamma="zeros")
    if stride > 1:
        x = layers.AveragePooling1D(stride, padding="same")(x)
    if x.shape[-1] != 4 * filters:
        x = blocks.convolve(x, 4 * filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([x, inner]))


def inception_time(config, inputs, head):
    """InceptionTime (Ismail Fawaz et al. 2020, arXiv 1909.04939), a shortcut around every three modules."""
    x, features = inputs
    shortcut = x
    for number, (filters, kernel) in enumerate(zip(config.filters, config.kernels, strict=True), start=1):
        x = inception_module(x, filters, kernel)
        if number % 3 == 0:
            shortcut = blocks.convolve(shortcut, x.shape[-1], 1, relu=False)
            x = shortcut = layers.ReLU()(layers.Add()([shortcut, x]))
    return blocks.pool_and_classify(config, x, features, head)


def inception_module(x, filters, kernel):
    """Long, middle and short kernels side by side, and a maximum of neighbours: `(batch, steps, 4 filters)`."""
    bottleneck = blocks.convolution(filters, 1)(x)
    branches = [blocks.convolution(filters, size)(bottleneck) for size in (kernel, kernel // 2, kernel // 4)]
    branches.append(blocks.convolution(filters, 1)(layers.MaxPooling1D(3, 1, padding="same")(x)))
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
    return blocks.pool_and_classify(config, layers.LayerNormalization()(x), features, head)


def transformer_block(x, units, kernel, dropout):
    """Position, attention in heads of 16 channels, and two dense layers, each added to `(batch, tokens, units)`."""
    x = layers.Add()([x, layers.DepthwiseConv1D(kernel, padding="same")(x)])
    x = blocks.self_attend(x, dropout)
    # Not the usual GELU: Keras writes it with an operation that ONNX does not have.
    inner = layers.Dense(4 * units, activation="silu")(layers.LayerNormalization()(x))
    inner = layers.Dense(units)(layers.Dropout(dropout)(inner))
    return layers.Add()([x, layers.Dropout(dropout)(inner)])
