"""Networks: shapes, sizes, and what a saved file needs."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest

import models
import recipes

SCALES = {"signals": (np.zeros(12), np.ones(12)), "features": (np.array([60.0, 0.5]), np.array([20.0, 0.5]))}
TINY = replace(
    recipes.PTBXL, filters=(4, 4), lstm_units=3, dense_units=5, metadata_units=2, combined_units=4, dropout=0.0
)


@pytest.fixture(params=["residual_bilstm", "resnet1d_wang", "xresnet1d", "inception_time", "transformer"])
def config(request, monkeypatch):
    """A tiny network of each kind in turn; three blocks, since a shortcut of `inception_time` is around three."""
    monkeypatch.setitem(models.MODELS, "xresnet1d", functools.partial(models.xresnet1d, depths=(1, 2, 1)))
    return replace(TINY, model=request.param, filters=(4,) * 3, kernels=(8,) * 3)


def random_inputs(samples):
    """Twelve leads of three records, and their age and sex."""
    signals = np.random.default_rng(0).standard_normal((3, samples, 12)).astype("float32")
    return signals, np.array([[50, 1]] * 3, "float32")


def two_lead_scales():
    return {"signals": (np.zeros(2), np.ones(2))}


def test_residual_bilstm_has_the_published_sizes():
    model = models.build(recipes.PTBXL, 1000, 12, 5, SCALES)
    kernels = [tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
    blocks = [(1, 12, 256), (3, 12, 256), (3, 256, 256), (1, 256, 128), (7, 256, 128), (7, 128, 128)]
    assert sorted(kernels) == sorted(blocks)  # each with two convolutions and a shortcut
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(dense) == [1, 5, 16, 128, 128, 256]
    assert model.get_layer("attention").output.shape == (None, 250, 1)
    assert model.count_params() == 987_957


BOTTLENECK = 256 * 64 + 5 * 64 * 64 + 64 * 256
XRESNET_STEM = 5 * (12 * 32 + 32 * 32 + 32 * 64)
XRESNET_FIRST_BLOCK = 64 * 64 + 5 * 64 * 64 + 64 * 256 + 64 * 256  # the last is its shortcut's
INCEPTION_MODULES = 6 * (40 + 20 + 10) * 32 * 32 + 2 * 12 * 32 + 5 * 2 * 128 * 32


@pytest.mark.parametrize(
    "name, weights, last_map",
    [
        ("resnet1d_wang", 7 * 12 * 128 + 3 * (5 + 3) * 128 * 128 + 2 * 128 * 128, (63, 128)),
        ("xresnet1d50", XRESNET_STEM + XRESNET_FIRST_BLOCK + (3 + 4 + 6 + 3 - 1) * BOTTLENECK, (8, 256)),
        ("xresnet1d101", XRESNET_STEM + XRESNET_FIRST_BLOCK + (3 + 4 + 23 + 3 - 1) * BOTTLENECK, (8, 256)),
        ("inception_time", INCEPTION_MODULES + 12 * 128 + 128 * 128, (250, 128)),  # and two shortcuts
    ],
)
def test_convolutions_of_a_recipe_have_the_published_sizes_and_the_last_a_name(name, weights, last_map):
    model = models.build(recipes.RECIPES[name], 250, 12, 5, SCALES)
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
    assert sum(np.prod(kernel.shape) for kernel in kernels) == weights
    assert model.get_layer("last_convolution").output.shape == (None, *last_map)


def test_every_network_has_a_recipe():
    assert {config.model for config in recipes.RECIPES.values()} == set(models.MODELS)


def test_weights_trained_on_crops_fit_the_network_for_whole_records_of_any_leads(config):
    crops, whole = (models.build(config, samples, 2, 3, two_lead_scales()) for samples in (50, 500))
    whole.set_weights(crops.get_weights())
    probabilities = whole(np.ones((4, 500, 2), "float32"))
    assert probabilities.shape == (4, 3)
    assert np.all(np.isfinite(probabilities))


def test_a_step_of_training_has_a_finite_loss_and_moves_the_last_layer(config):
    model = models.build(config, 50, 12, 5, SCALES)
    model.compile("adamw", "binary_crossentropy", run_eagerly=True)
    before = model.get_layer("probabilities").get_weights()[0]
    assert np.isfinite(model.train_on_batch(list(random_inputs(50)), np.eye(5)[:3]))
    assert np.any(model.get_layer("probabilities").get_weights()[0] != before)


def test_a_saved_network_is_of_built_in_layers_and_opens_with_plain_load_model(config, tmp_path):
    model = models.build(config, 50, 12, 5, SCALES)
    for operation in model.operations:
        assert type(operation) is getattr(keras.layers, type(operation).__name__, None)
    for file in (tmp_path / "model.h5", tmp_path / "model.keras"):
        model.save(file)
        opened = keras.models.load_model(file)
        np.testing.assert_array_equal(opened(random_inputs(50)), model(random_inputs(50)))


def test_a_bottleneck_block_begins_as_its_shortcut():
    signals = np.abs(random_inputs(10)[0])  # (3, 10, 12)
    np.testing.assert_array_equal(models.bottleneck_block(signals, filters=3, kernel=5, stride=1), signals)


def test_the_transformer_tells_apart_records_with_the_same_patches_in_another_order():
    model = models.build(replace(TINY, model="transformer"), 100, 12, 5, SCALES)
    signals, features = random_inputs(100)
    swapped = signals.reshape(3, 10, 10, 12)[:, ::-1].reshape(3, 100, 12)
    assert np.max(np.abs(model((signals, features)) - model((swapped, features)))) > 1e-3


def test_an_xresnet_wants_filters_for_each_stage():
    with pytest.raises(ValueError, match=r"xresnet1d50 has 4 stages, .* filters \(4, 4\); .* --recipe xresnet1d50"):
        models.build(replace(TINY, model="xresnet1d50"), 50, 2, 3, two_lead_scales())


def test_without_features_it_takes_signals_alone():
    model = models.build(TINY, 50, 2, 3, two_lead_scales())
    assert [tensor.name for tensor in model.inputs] == ["signals"]


def test_attention_weights_of_a_record_sum_to_one():
    model = models.build(TINY, 100, 12, 5, SCALES)
    attention = keras.Model(model.inputs, model.get_layer("attention").output)
    weights = attention(random_inputs(100))
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=1e-5)


def test_probabilities_of_a_task_with_one_class_a_record_sum_to_one():
    model = models.build(TINY, 50, 2, 3, two_lead_scales(), multilabel=False)
    np.testing.assert_allclose(np.sum(model(np.ones((4, 50, 2), "float32")), axis=1), 1, rtol=1e-5)


def test_standardize_takes_away_the_mean_and_divides_by_the_deviation():
    scaled = models.standardize(np.array([[80.0, 1.0]], "float32"), np.array([60.0, 0.5]), np.array([20.0, 0.5]))
    np.testing.assert_allclose(scaled, [[1.0, 1.0]], rtol=1e-6)


def test_what_never_varied_in_training_is_only_shifted():
    scaled = models.standardize(np.array([[3.0]], "float32"), np.array([2.0]), np.array([0.0]))
    np.testing.assert_allclose(scaled, [[1.0]])


def test_a_flat_lead_does_not_divide_by_zero():
    scaled = models.standardize(np.zeros((1, 1), "float32"), np.zeros(1), np.zeros(1))
    np.testing.assert_array_equal(scaled, [[0.0]])


def test_scales_are_measured_over_records_and_time_for_each_lead():
    signals = np.array([[[0.0, 5.0], [2.0, 5.0]], [[4.0, 5.0], [6.0, 5.0]]])  # (2 records, 2 samples, 2 leads)
    mean, deviation = models.scales_of(signals, np.zeros((2, 0)))["signals"]
    np.testing.assert_allclose(mean, [3, 5])
    np.testing.assert_allclose(deviation, [np.sqrt(5), 0])


def test_an_unknown_model_is_refused_with_a_list():
    with pytest.raises(ValueError, match="no model 'lenet'; there are: residual_bilstm"):
        models.build(replace(TINY, model="lenet"), 50, 2, 3, two_lead_scales())


def test_every_block_needs_filters_and_a_kernel():
    with pytest.raises(ValueError, match=r"filters \(4, 4\), kernels \(3,\)"):
        models.build(replace(TINY, kernels=(3,)), 50, 2, 3, two_lead_scales())
