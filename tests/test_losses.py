"""Losses: numbers worked out by hand, agreement with Keras' own, no infinite slopes, and settings that are kept."""

import os
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import losses

LABELS = np.array([[1, 0], [0, 1]], "float32")
SETTINGS = SimpleNamespace(loss="focal", focal_alpha=0.25, focal_gamma=2.0, label_smoothing=0.0)


def settings(**changes):
    return SimpleNamespace(**{**vars(SETTINGS), **changes})


def as_numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_the_focal_loss_of_four_probabilities_worked_out_by_hand():
    probabilities = np.array([[0.5, 0.5], [0.1, 0.8]], "float32")
    came = losses.focal_loss_with_class_weights(LABELS, probabilities, alpha=0.25, gamma=2)
    first = (0.25 * 0.5**2 * 0.69315 + 0.75 * 0.5**2 * 0.69315) / 2  # -log 0.5 = 0.69315
    second = (0.75 * 0.1**2 * 0.10536 + 0.25 * 0.2**2 * 0.22314) / 2  # -log 0.9, -log 0.8
    np.testing.assert_allclose(as_numbers(came), [first, second], rtol=1e-4)


def test_the_asymmetric_loss_of_four_probabilities_worked_out_by_hand():
    probabilities = np.array([[0.5, 0.55], [0.04, 0.9]], "float32")
    came = losses.asymmetric_loss(LABELS, probabilities, gamma_positive=1, gamma_negative=2, clip=0.05)
    first = (0.5 * 0.69315 + 0.5**2 * 0.69315) / 2  # 0.55 counts as 0.5
    second = (0 + 0.1 * 0.10536) / 2  # 0.04 lies under the clip and costs nothing
    np.testing.assert_allclose(as_numbers(came), [first, second], rtol=1e-4)


def test_a_class_weight_of_two_doubles_the_share_of_its_class():
    probabilities = np.array([[0.5, 0.5]], "float32")
    came = losses.focal_loss_with_class_weights(LABELS[:1], probabilities, alpha=0.25, gamma=2, class_weights=[2, 1])
    np.testing.assert_allclose(as_numbers(came), [0.25 * 0.69315 * (2 * 0.25 + 0.75) / 2], rtol=1e-4)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_probabilities_give_a_float32_loss(precision):
    probabilities = keras.ops.cast([[0.5, 0.25], [0.25, 0.5]], precision)  # exact in either
    for function in (losses.focal_loss_with_class_weights, losses.asymmetric_loss):
        came = function(LABELS, probabilities)
        assert keras.backend.standardize_dtype(came.dtype) == "float32"
        np.testing.assert_array_equal(
            as_numbers(came), as_numbers(function(LABELS, keras.ops.cast(probabilities, "float32")))
        )


def test_losses_agree_with_those_of_keras_where_they_coincide(hypothesis):
    numbers = hypothesis.strategies.floats(0, 1)

    @hypothesis.given(numbers, numbers, numbers, hypothesis.strategies.floats(0, 5))
    def agree(first, second, alpha, gamma):
        probabilities = np.array([[first, second], [second, first]], "float32")
        focal = keras.losses.BinaryFocalCrossentropy(True, alpha, gamma, label_smoothing=0.1, reduction=None)
        own = losses.focal_loss_with_class_weights(LABELS, probabilities, alpha, gamma, [1, 1], 0.1)
        np.testing.assert_allclose(as_numbers(own), as_numbers(focal(LABELS, probabilities)), rtol=1e-4, atol=1e-5)
        entropy = keras.losses.binary_crossentropy(LABELS, probabilities)
        own = losses.asymmetric_loss(LABELS, probabilities, 0, 0, clip=0)
        np.testing.assert_allclose(as_numbers(own), as_numbers(entropy), rtol=1e-4, atol=1e-5)

    agree()


def test_crossentropy_with_class_weights_of_one_is_crossentropy():
    probabilities = np.array([[0.5, 0.2], [0.3, 0.8]], "float32")
    plain, weighted = (losses.build(settings(loss="crossentropy", label_smoothing=0.1), w) for w in (None, [1, 1]))
    np.testing.assert_allclose(plain(LABELS, probabilities), weighted(LABELS, probabilities), rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.FocalLossWithClassWeights(class_weights=[1, 2]),
        losses.FocalLossWithClassWeights(gamma=0.5),
        losses.AsymmetricLoss(),
        losses.AsymmetricLoss(gamma_positive=0.5, gamma_negative=0.5),
    ],
)
def test_a_step_from_probabilities_of_exactly_zero_and_one_leaves_finite_weights(loss):
    layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")  # hands its input on
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("sgd", loss)
    right_and_wrong = np.concatenate([LABELS, LABELS]), np.concatenate([LABELS, 1 - LABELS])
    history = model.fit(*right_and_wrong, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(layer.get_weights()[0]).all()


@pytest.mark.slow
def test_all_of_this_holds_on_the_jax_backend():
    pytest.importorskip("jax")
    if keras.backend.backend() == "jax":
        pytest.skip("this is the JAX backend")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        cwd=os.path.dirname(losses.__file__),
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    "loss",
    [
        losses.FocalLossWithClassWeights(0.3, 1.5, np.array([1.0, 2.0]), 0.1),
        losses.AsymmetricLoss(1.0, 3.0, 0.1, (1.0, 2.0)),
    ],
)
def test_a_compiled_model_keeps_the_settings_of_its_loss_on_disk(loss, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="sigmoid")])
    model.compile("sgd", loss)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").loss
    assert type(loaded) is type(loss)
    assert loaded.get_config() == loss.get_config()


def test_settings_reach_the_loss_that_they_name():
    focal = losses.build(SETTINGS, class_weights=[1, 2]).get_config()
    assert (focal["alpha"], focal["gamma"], focal["class_weights"]) == (0.25, 2.0, [1.0, 2.0])
    assert isinstance(losses.build(settings(loss="asymmetric")), losses.AsymmetricLoss)


@pytest.mark.parametrize("name, expected", [("crossentropy", -np.log(0.8)), ("focal", 0.2**2 * -np.log(0.8))])
def test_with_one_class_a_record_the_true_class_alone_counts_times_its_weight(name, expected):
    labels, probabilities = np.array([[1.0, 0, 0]]), np.array([[0.8, 0.15, 0.05]])
    plain, weighted = (losses.build(settings(loss=name), weights, multilabel=False) for weights in (None, [3, 1, 1]))
    assert float(plain(labels, probabilities)) == pytest.approx(expected, rel=1e-5)
    assert float(weighted(labels, probabilities)) == pytest.approx(3 * expected, rel=1e-5)


def test_the_asymmetric_loss_is_refused_for_one_class_a_record():
    with pytest.raises(ValueError, match="several classes a record; use crossentropy or focal"):
        losses.build(settings(loss="asymmetric"), multilabel=False)


def test_an_unknown_loss_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(ValueError, match="'hinge'; choose from crossentropy, focal, asymmetric"):
        losses.build(settings(loss="hinge"))


def test_class_weights_that_do_not_fit_the_classes_are_refused():
    with pytest.raises(ValueError, match="3 numbers for 2 classes"):
        losses.asymmetric_loss(LABELS, LABELS, class_weights=[1, 2, 3])
