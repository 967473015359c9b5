"""Networks: shapes, sizes, and what a saved file needs."""

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


def test_residual_bilstm_has_the_published_sizes():
    model = models.build(recipes.PTBXL, 1000, 12, 5, SCALES)
    kernels = [tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
    blocks = [(1, 12, 256), (3, 12, 256), (3, 256, 256), (1, 256, 128), (7, 256, 128), (7, 128, 128)]
    assert sorted(kernels) == sorted(blocks)  # each with two convolutions and a shortcut
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(dense) == [1, 5, 16, 128, 128, 256]
    assert model.get_layer("attention").output.shape == (None, 250, 1)


def test_it_is_built_for_any_number_of_samples_and_leads_with_the_same_number_of_weights():
    short, long = (models.build(TINY, samples, 2, 3, one_lead_scales()) for samples in (50, 5000))
    assert short.count_params() == long.count_params()
    assert long.output_shape == (None, 3)


def one_lead_scales():
    return {"signals": (np.zeros(2), np.ones(2))}


def test_without_features_it_takes_signals_alone():
    model = models.build(TINY, 50, 2, 3, one_lead_scales())
    assert [tensor.name for tensor in model.inputs] == ["signals"]


def test_attention_weights_of_a_record_sum_to_one():
    model = models.build(TINY, 100, 12, 5, SCALES)
    attention = keras.Model(model.inputs, model.get_layer("attention").output)
    signals = np.random.default_rng(0).standard_normal((3, 100, 12)).astype("float32")
    weights = attention((signals, np.array([[50, 1]] * 3, "float32")))
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=1e-5)


def test_probabilities_of_a_task_with_one_class_a_record_sum_to_one():
    model = models.build(TINY, 50, 2, 3, one_lead_scales(), multilabel=False)
    np.testing.assert_allclose(np.sum(model(np.ones((4, 50, 2), "float32")), axis=1), 1, rtol=1e-5)


def test_standardize_takes_away_the_mean_and_divides_by_the_deviation():
    scaled = models.standardize(np.array([[80.0, 1.0]], "float32"), np.array([60.0, 0.5]), np.array([20.0, 0.5]))
    np.testing.assert_allclose(scaled, [[1.0, 1.0]], rtol=1e-6)


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
        models.build(replace(TINY, model="lenet"), 50, 2, 3, one_lead_scales())


def test_every_block_needs_filters_and_a_kernel():
    with pytest.raises(ValueError, match=r"filters \(4, 4\), kernels \(3,\)"):
        models.build(replace(TINY, kernels=(3,)), 50, 2, 3, one_lead_scales())
