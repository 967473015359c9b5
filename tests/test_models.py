"""Networks: shapes, sizes, and what a saved file needs."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest

import blocks
import models
import recipes
import references

SCALES = {"signals": (np.zeros(12), np.ones(12)), "features": (np.array([60.0, 0.5]), np.array([20.0, 0.5]))}
TINY = replace(
    recipes.PTBXL, filters=(4, 4), lstm_units=3, dense_units=5, metadata_units=2, combined_units=4, dropout=0.0
)


@pytest.fixture(
    params=[
        "residual_bilstm",
        "resnet1d_wang",
        "xresnet1d",
        "inception_time",
        "transformer",
        "cnn_lstm",
        "local_lead_attention",
    ]
)
def config(request, monkeypatch):
    """A tiny network of each kind in turn; three blocks, since a shortcut of `inception_time` is around three."""
    monkeypatch.setitem(models.MODELS, "xresnet1d", functools.partial(references.xresnet1d, depths=(1, 2, 1)))
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


def test_cnn_lstm_has_the_published_sizes():
    sizes = {"filters": (64, 128, 128), "kernels": (5, 3, 3), "lstm_units": 64, "combined_units": 64, "dropout": 0.5}
    config = replace(recipes.PTBXL, model="cnn_lstm", **sizes)
    model = models.build(config, 187, 1, 5, {"signals": (np.zeros(1), np.ones(1))}, multilabel=False)
    convolutions = 5 * 1 * 64 + 3 * 64 * 128 + 3 * 128 * 128
    lstm = 2 * 4 * ((128 + 64) * 64 + 64)  # two directions, four gates, their inputs and biases
    assert model.count_params() == convolutions + 4 * (64 + 128 + 128) + lstm + 129 * 64 + 65 * 5
    assert model.get_layer("last_convolution").output.shape == (None, 23, 128)  # 187 halved three times
    dropout = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropout == [0.2, 0.2, 0.2, 0.5]


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
    np.testing.assert_array_equal(references.bottleneck_block(signals, filters=3, kernel=5, stride=1), signals)


def test_the_transformer_tells_apart_records_with_the_same_patches_in_another_order():
    keras.utils.set_random_seed(0)  # or all units of a tiny layer may be silent by chance
    model = models.build(replace(TINY, model="transformer"), 100, 12, 5, SCALES)
    signals, features = random_inputs(100)
    swapped = signals.reshape(3, 10, 10, 12)[:, ::-1].reshape(3, 100, 12)
    assert np.max(np.abs(model((signals, features)) - model((swapped, features)))) > 1e-3


SEGMENTS = replace(TINY, model="segment_attention", filters=(8, 16), kernels=(3, 3), pooling=4)


def test_segment_attention_has_the_published_sizes():
    model = models.build(recipes.RECIPES["segment-attention"], 3600, 1, 2, {"signals": (np.zeros(1), np.ones(1))})
    assert model.get_layer("last_convolution").output.shape == (None, 225, 64)  # 3,600 pooled twice by 4
    attention = model.get_layer("attention")
    assert (attention.num_heads, attention.key_dim) == (8, 8)
    assert (225 * 64 + 1) * 128 in [layer.count_params() for layer in model.layers]


def test_attention_of_segments_is_read_from_a_second_model_with_the_same_layers(tmp_path):
    models.build(SEGMENTS, 160, 2, 2, two_lead_scales(), multilabel=False).save(tmp_path / "model.h5")
    model = keras.models.load_model(tmp_path / "model.h5")
    signals = lead_signals(160, 2)
    scores = models.attention_of(model)(signals)
    assert scores.shape == (3, 8, 10, 10)  # 160 samples pooled twice by 4
    np.testing.assert_allclose(np.sum(scores, axis=-1), 1, rtol=1e-5)
    attention, steps = (
        model.get_layer("attention"),
        keras.Model(model.input, model.get_layer("last_convolution").output),
    )
    steps = steps(signals)
    np.testing.assert_allclose(attention(steps, steps, return_attention_scores=True)[1], scores, rtol=1e-5)


def test_attention_over_time_is_read_in_the_same_way_and_a_model_without_any_says_so():
    weights = models.attention_of(models.build(TINY, 100, 12, 5, SCALES))(random_inputs(100))
    assert weights.shape == (3, 25, 1)
    with pytest.raises(ValueError, match="cnn_lstm has no layer named attention"):
        models.attention_of(models.build(replace(TINY, model="cnn_lstm"), 100, 12, 5, SCALES))


def test_a_network_of_tokens_embeds_them_and_reads_their_order(tmp_path):
    config = replace(TINY, model="token_lstm", filters=(), kernels=(), embedding_units=6)
    model = models.build(config, 7, 2, 3, {"tokens": 11}, multilabel=False)
    assert [(tensor.name, tensor.shape) for tensor in model.inputs] == [("tokens", (None, 7))]
    assert model.get_layer("embedding").get_weights()[0].shape == (11, 6)
    text = np.array([[1, 2, 3, 4, 5, 6, 10]], "int32")
    assert np.max(np.abs(model(text) - model(text[:, ::-1]))) > 1e-5
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.h5")(text), model(text))


LOCAL = replace(TINY, model="local_lead_attention")


def lead_signals(samples, leads):
    return np.random.default_rng(0).standard_normal((3, samples, leads)).astype("float32")


def lead_model(samples, leads):
    return models.build(LOCAL, samples, leads, 5, {"signals": (np.zeros(leads), np.ones(leads))})


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis 1")  # of one lead: it has the whole weight
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_attention_sums_to_one_over_leads_at_each_step_and_over_time(leads):
    model = lead_model(100, leads)
    named = [model.get_layer(name).output for name in ("lead_attention", "attention")]
    over_leads, over_time = keras.Model(model.inputs, named)([lead_signals(100, leads)])
    assert (over_leads.shape, over_time.shape) == ((3, leads, 25, 1), (3, 25, 1))  # two blocks halve 100
    np.testing.assert_allclose(np.sum(over_leads, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.sum(over_time, axis=1), 1, rtol=1e-5)
    assert np.ptp(over_time) > 1e-4
    assert (np.ptp(over_leads) > 1e-4) == (leads > 1)


def test_shared_weights_fit_any_number_of_leads_in_any_order_and_a_lead_twice_counts_once():
    two, four = lead_model(100, 2), lead_model(100, 4)
    four.set_weights(two.get_weights())
    signals = lead_signals(100, 2)
    expected = two(signals)
    np.testing.assert_allclose(two(signals[..., ::-1]), expected, atol=1e-5)
    np.testing.assert_allclose(four(np.concatenate([signals, signals], axis=-1)), expected, atol=1e-5)
    assert np.max(np.abs(two(signals[..., [0, 0]]) - expected)) > 1e-4


def test_attention_within_windows_sees_its_window_and_nothing_else():
    x = keras.Input((2, 8, 16))
    model = keras.Model(x, blocks.attend_within_windows(x, window=3, dropout=0.0))
    before = np.random.default_rng(0).standard_normal((1, 2, 8, 16)).astype("float32")
    after = before.copy()
    after[0, 1, 4] = 5  # the second lead, the middle of its second window
    moved = np.abs(model(after) - model(before)).max(axis=-1)[0] > 1e-6
    assert moved.tolist() == [[False] * 8, [False] * 3 + [True] * 3 + [False] * 2]


def test_attention_over_leads_is_a_weighted_mean():
    x = keras.Input((3, 4, 2))
    model = keras.Model(x, blocks.attend_over_leads(x, units=5))
    signals = np.random.default_rng(0).standard_normal((1, 3, 4, 2)).astype("float32")
    weights = keras.Model(x, model.get_layer("lead_attention").output)(signals)
    np.testing.assert_allclose(model(signals), np.sum(weights * signals, axis=1), rtol=1e-5)


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


MEMBERSHIP = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], "float32")  # of four finer classes in two


def test_a_class_is_there_if_any_of_its_finer_classes_is():
    model = models.build(TINY, 50, 12, 2, SCALES, membership=MEMBERSHIP)
    both = models.with_fine_classes(model)(random_inputs(50))
    fine = np.asarray(both)[:, 2:]
    np.testing.assert_allclose(both[:, 0], 1 - (1 - fine[:, 0]) * (1 - fine[:, 1]), rtol=1e-5)
    np.testing.assert_allclose(both[:, 1], fine[:, 2], rtol=1e-5)


def test_which_class_a_finer_one_belongs_to_is_not_learned(tmp_path):
    model = models.build(TINY, 50, 12, 2, SCALES, membership=MEMBERSHIP)
    trainee = models.with_fine_classes(model)
    trainee.compile("adamw", "binary_crossentropy", run_eagerly=True)
    trainee.train_on_batch(list(random_inputs(50)), np.ones((3, 6)))
    np.testing.assert_array_equal(model.get_layer("membership").get_weights()[0], MEMBERSHIP)
    model.save(tmp_path / "model.h5")
    opened = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(opened(random_inputs(50)), model(random_inputs(50)))


def test_standardize_takes_away_the_mean_and_divides_by_the_deviation():
    scaled = models.standardize(np.array([[80.0, 1.0]], "float32"), np.array([60.0, 0.5]), np.array([20.0, 0.5]))
    np.testing.assert_allclose(scaled, [[1.0, 1.0]], rtol=1e-6)


def test_what_never_varied_in_training_is_only_shifted():
    scaled = models.standardize(np.array([[3.0]], "float32"), np.array([2.0]), np.array([0.0]))
    np.testing.assert_allclose(scaled, [[1.0]])


def test_a_flat_lead_does_not_divide_by_zero():
    scaled = models.standardize(np.zeros((1, 1), "float32"), np.zeros(1), np.zeros(1))
    np.testing.assert_array_equal(scaled, [[0.0]])


def test_features_by_quartiles_are_squashed_so_that_a_far_one_counts_no_more_than_others():
    features = np.array([[0.0], [1], [2], [3], [4]])
    scales = models.scales_of(np.zeros((5, 2, 12)), features, "quartiles")
    assert [part.tolist() for part in scales["features"]] == [[2], [6]]  # quartiles are 1 and 3
    model = models.build(replace(TINY, model="cnn_lstm", feature_scaling="quartiles"), 100, 12, 5, scales)
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Activation))
    squashed = keras.Model(model.input, layer.output)
    signals = np.zeros((3, 100, 12), "float32")
    told = squashed.predict_on_batch((signals, np.array([[2.0], [8], [1e6]])))
    np.testing.assert_allclose(told[:, 0], [0, np.tanh(1), 1], atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_features_pass_as_many_dense_layers_as_asked_for_before_they_join_the_signal(count):
    model = models.build(replace(TINY, model="cnn_lstm", metadata_layers=count), 100, 12, 5, SCALES)
    kernels = [layer.kernel.shape for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [tuple(shape) for shape in kernels if shape[1] == 2] == [(2, 2)] * count


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
