"""Losses: a plain function that does the arithmetic, and a class that holds the settings."""

import keras
from keras import ops


def focal_loss_with_class_weights(
    labels, probabilities, alpha=0.434, gamma=2.135, class_weights=None, label_smoothing=0.0
):
    """Binary cross-entropy that looks past the easy classes (Lin et al. 2017, arXiv 1708.02002).

    The mean over classes of `class_weight * alpha_t * (1 - p_t)^gamma * -log(p_t)`, where `p_t` is the
    probability given to the truth. With weights of one it is Keras' own binary focal loss with class balancing.

    Args:
        labels: 0 or 1, `(batch, classes)`.
        probabilities: `(batch, classes)` in any float type; the arithmetic is in float32.
        alpha: share of the positives; that of the negatives is `1 - alpha`.
        gamma: how far an easy class is played down; 0 plays down none.
        class_weights: a number a class, or None for ones.
        label_smoothing: how far labels are drawn from 0 and 1 towards one half.

    Returns:
        The loss of each record `(batch,)`.
    """
    labels, probabilities = ops.cast(labels, "float32"), ops.cast(probabilities, "float32")
    labels = labels * (1 - label_smoothing) + label_smoothing / 2
    entropy = ops.binary_crossentropy(labels, probabilities)
    probabilities = _inside(probabilities)
    wrong = labels * (1 - probabilities) + (1 - labels) * probabilities  # 1 - p_t
    share = labels * alpha + (1 - labels) * (1 - alpha)
    return _mean_over_classes(share * ops.power(wrong, gamma) * entropy, class_weights)


def asymmetric_loss(labels, probabilities, gamma_positive=0.0, gamma_negative=4.0, clip=0.05, class_weights=None):
    """A focus for positives, another for negatives, and none on the easiest (Ridnik et al. 2021, arXiv 2009.14119).

    Args:
        labels: 0 or 1, `(batch, classes)`.
        probabilities: `(batch, classes)` in any float type; the arithmetic is in float32.
        gamma_positive: how far an easy positive is played down.
        gamma_negative: how far an easy negative is played down.
        clip: taken from the probability of a negative: what lies below costs nothing.
        class_weights: a number a class, or None for ones.

    Returns:
        The loss of each record `(batch,)`: the mean over classes, where the paper has the sum.
    """
    labels, probabilities = ops.cast(labels, "float32"), ops.cast(probabilities, "float32")
    shifted = _inside(probabilities - clip)
    probabilities = _inside(probabilities)
    positives = ops.power(1 - probabilities, gamma_positive) * ops.log(probabilities)
    negatives = ops.power(shifted, gamma_negative) * ops.log(1 - shifted)
    return _mean_over_classes(-labels * positives - (1 - labels) * negatives, class_weights)


def _inside(probabilities):
    """Probabilities kept off 0 and 1, where a logarithm, or a power below one, has no finite slope."""
    return ops.clip(probabilities, keras.config.epsilon(), 1 - keras.config.epsilon())


def _mean_over_classes(losses, class_weights):
    """`(batch, classes)` to `(batch,)`."""
    if class_weights is None:
        return ops.mean(losses, axis=-1)
    if len(class_weights) != losses.shape[-1]:
        raise ValueError(
            f"class_weights has {len(class_weights)} numbers for {losses.shape[-1]} classes; give one a class"
        )
    return ops.mean(losses * ops.convert_to_tensor(class_weights, "float32"), axis=-1)


@keras.saving.register_keras_serializable(package="ecg")
class FocalLossWithClassWeights(keras.losses.Loss):
    """`focal_loss_with_class_weights` with its settings, for `model.compile`."""

    def __init__(self, alpha=0.434, gamma=2.135, class_weights=None, label_smoothing=0.0, **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "alpha": alpha,
            "gamma": gamma,
            "class_weights": _as_floats(class_weights),
            "label_smoothing": label_smoothing,
        }

    def call(self, labels, probabilities):
        return focal_loss_with_class_weights(labels, probabilities, **self.settings)

    def get_config(self):
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="ecg")
class AsymmetricLoss(keras.losses.Loss):
    """`asymmetric_loss` with its settings, for `model.compile`."""

    def __init__(self, gamma_positive=0.0, gamma_negative=4.0, clip=0.05, class_weights=None, **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "gamma_positive": gamma_positive,
            "gamma_negative": gamma_negative,
            "clip": clip,
            "class_weights": _as_floats(class_weights),
        }

    def call(self, labels, probabilities):
        return asymmetric_loss(labels, probabilities, **self.settings)

    def get_config(self):
        return {**super().get_config(), **self.settings}


def _as_floats(class_weights):
    """A list that JSON can hold: weights counted with NumPy come as an array."""
    return None if class_weights is None else [float(weight) for weight in class_weights]


def _crossentropy(config, class_weights, multilabel):
    """Keras' own; with class weights, the focal loss at gamma 0, doubled because alpha one half halves it."""
    if not multilabel:
        return _categorical(config, class_weights, gamma=0.0)
    if class_weights is None:
        return keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing)
    doubled = [2 * weight for weight in class_weights]
    return FocalLossWithClassWeights(0.5, 0.0, doubled, config.label_smoothing)


def _focal(config, class_weights, multilabel):
    if not multilabel:
        return _categorical(config, class_weights, config.focal_gamma)
    return FocalLossWithClassWeights(config.focal_alpha, config.focal_gamma, class_weights, config.label_smoothing)


def _asymmetric(config, class_weights, multilabel):
    if not multilabel:
        raise ValueError("the asymmetric loss is for tasks of several classes a record; use crossentropy or focal")
    return AsymmetricLoss(class_weights=class_weights)


def _categorical(config, class_weights, gamma):
    """For one class a record; Keras' focal loss takes class weights as alpha, and at gamma 0 plays nothing down."""
    weights = 1.0 if class_weights is None else _as_floats(class_weights)
    return keras.losses.CategoricalFocalCrossentropy(weights, gamma, label_smoothing=config.label_smoothing)


LOSSES = {"crossentropy": _crossentropy, "focal": _focal, "asymmetric": _asymmetric}


def build(config, class_weights=None, multilabel=True):
    """The Keras loss that `config.loss` names.

    Args:
        class_weights: a number a class, or None.
        multilabel: whether a record may have several classes, each with its own sigmoid.
    """
    if config.loss not in LOSSES:
        raise ValueError(f"unknown loss {config.loss!r}; choose from {', '.join(LOSSES)}")
    return LOSSES[config.loss](config, class_weights, multilabel)
