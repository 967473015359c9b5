"""Attention, Grad-CAM and integrated gradients: numbers worked out by hand, and that hiding what they find matters."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from tiny_runs import TINY

import attribution
import card as cards
import models
from inputs import Inputs, Recorded, as_inputs

X = np.array([[1, -1, 2, 0]], "float32")[..., None]  # one record of four samples of one lead
SCALES = {"signals": (np.zeros(2), np.ones(2))}


def inputs_of(signals, classes=2):
    """Inputs of signals `(records, samples, leads)` at 100 Hz, as they are."""
    names = tuple("abcdefgh"[: signals.shape[2]])
    card = cards.Card(tuple("AB"[:classes]), True, names, 100, signals.shape[1])
    return Inputs(Recorded(signals, names, 100, np.zeros((len(signals), 0), "float32"), ()), card)


def relevance(model, signals, method, chosen=0):
    inputs = inputs_of(signals)
    return attribution.relevance(model, inputs.card, inputs, np.arange(len(signals)), chosen, method)


def linear(weights, bias=0.5):
    """Two classes from signals `(3, 2)`: a weighted sum of the samples, and the same the other way round."""
    signals = keras.Input((3, 2), name="signals")
    told = layers.Dense(2, name="probabilities")(layers.Flatten()(signals))
    model = keras.Model(signals, told)
    column = np.reshape(weights, (6, 1))
    model.set_weights([np.concatenate([column, -column], axis=1), np.full(2, bias)])
    return model


def weigh_by_hand(bias=0.0):
    """Attention of four steps to themselves, of weights `exp(x)`; the class is the weighted mean."""
    signals = keras.Input((4, 1), name="signals")
    weights = layers.Softmax(axis=1, name="attention")(signals)
    return keras.Model(signals, layers.Flatten(name="probabilities")(layers.Dot(axes=1)([weights, signals])))


def test_integrated_gradients_of_a_weighted_sum_are_weight_times_distance_from_the_leads_mean():
    signals = np.array([[[1, 10], [2, 10], [6, 40]]], "float32")  # means 3 and 20
    weights = np.array([[1, 0], [2, 0.5], [-1, 0.1]])
    told = relevance(linear(weights), signals, "integrated-gradients")
    expected = [[[-2, 0], [-2, -5], [-3, 2]]]
    np.testing.assert_allclose(told, expected, atol=1e-5)
    np.testing.assert_allclose(
        relevance(linear(weights), signals, "integrated-gradients", chosen=1), np.negative(expected), atol=1e-5
    )


def test_integrated_gradients_sum_to_what_the_probability_is_more_than_that_of_a_flat_line(demo, trained):
    model, card = cards.load(trained / "model.h5")
    inputs, rows = Inputs(demo, card), np.arange(3)
    signals, features = inputs[rows]
    flat = np.broadcast_to(signals.mean(axis=1, keepdims=True), signals.shape)
    more = model.predict_on_batch(as_inputs(signals, features)) - model.predict_on_batch(as_inputs(flat, features))
    told = attribution.relevance(model, card, inputs, rows, 1, "integrated-gradients")
    assert told.shape == (3, 1000, 12) and told.dtype == np.float32
    np.testing.assert_allclose(told.sum(axis=(1, 2)), more[:, 1], atol=1e-4)
    assert np.abs(more[:, 1]).max() > 1e-3


def test_integrated_gradients_of_words_are_against_no_word():
    given = keras.Input((3,), dtype="int32", name="tokens")
    told = layers.Dense(1)(layers.Flatten()(layers.Embedding(4, 1, name="embedding")(given)))
    model = keras.Model(given, told)
    model.set_weights([np.array([[0.5], [1], [2], [4]]), np.array([[1], [10], [-1]]), np.zeros(1)])
    text, features = np.array([[3, 2, 0]], "int32"), np.zeros((1, 0), "float32")
    told = attribution.explainer(model, "integrated-gradients")(text, features, 0)
    np.testing.assert_allclose(told[0, :, 0], [1 * (4 - 0.5), 10 * (2 - 0.5), 0], rtol=1e-5)
    assert attribution.methods_of(model) == ("integrated-gradients",)


def test_grad_cam_weighs_each_channel_with_its_mean_slope_and_drops_what_speaks_against():
    signals = keras.Input((4, 1), name="signals")
    channels = layers.Conv1D(2, 1, use_bias=False)(signals)  # 2x and -x
    found = layers.Identity(name="last_convolution")(channels)
    told = layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling1D()(found))
    model = keras.Model(signals, told)
    model.set_weights([np.array([[[2, -1]]]), np.array([[3, 0], [1, 1]])])
    # Slopes of class A are 3/4 and 1/4 at each of four steps: 3/4 2x - 1/4 x = 1.25 x; of B 0 and 1/4: -1/4 x.
    np.testing.assert_allclose(relevance(model, X, "grad-cam")[0, :, 0], [1.25, 0, 2.5, 0], rtol=1e-6)
    np.testing.assert_allclose(relevance(model, X, "grad-cam", chosen=1)[0, :, 0], [0, 0.25, 0, 0], rtol=1e-6)


def test_grad_cam_looks_at_what_an_lstm_is_given_where_no_layer_is_named_last_convolution():
    model = models.build(TINY, 8, 2, 2, SCALES)
    assert attribution.last_map(model).shape == (None, 4, 4)  # 8 samples pooled by 2, 4 filters
    model = models.build(replace(TINY, model="cnn_lstm"), 8, 2, 2, SCALES)
    assert attribution.last_map(model) is model.get_layer("last_convolution").output


def test_attention_is_the_weights_of_the_mean_over_time_in_every_lead_and_for_every_class():
    signals = np.log([[1, 2, 1, 4]])[..., None].astype("float32")
    for chosen in (0, 1):
        told = relevance(weigh_by_hand(), signals, "attention", chosen)
        np.testing.assert_allclose(told[0, :, 0], [1 / 8, 2 / 8, 1 / 8, 4 / 8], rtol=1e-6)


def test_of_attention_in_several_heads_the_mean_over_heads_and_attending_steps_is_taken():
    model = models.build(replace(TINY, model="segment_attention"), 40, 2, 2, SCALES, multilabel=False)
    signals, features = np.random.default_rng(0).normal(size=(2, 40, 2)).astype("float32"), np.zeros((2, 0), "float32")
    told = attribution.explainer(model, "attention")(signals, features, 0)
    scores = models.attention_of(model).predict_on_batch(signals)  # (2, 8 heads, 10 steps that attend, 10)
    np.testing.assert_allclose(told[:, 3, 0], scores[:, :, :, 3].mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)


def test_attention_over_leads_shares_out_that_over_time():
    model = models.build(replace(TINY, model="local_lead_attention"), 40, 2, 2, SCALES, multilabel=False)
    signals, features = np.random.default_rng(0).normal(size=(2, 40, 2)).astype("float32"), np.zeros((2, 0), "float32")
    told = attribution.explainer(model, "attention")(signals, features, 0)
    assert told.shape == (2, 20, 2)
    np.testing.assert_allclose(
        told.sum(axis=-1), models.attention_of(model).predict_on_batch(signals)[..., 0], rtol=1e-5
    )
    assert np.abs(told[..., 0] - told[..., 1]).max() > 1e-4


def test_steps_are_equal_parts_of_the_time_and_between_their_middles_lie_straight_lines():
    card = cards.Card(("A",), True, ("I", "II"), 100, 8)
    values = np.array([[[0.0], [4.0]]])  # their middles lie at 1.5 and 5.5
    expected = [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    np.testing.assert_allclose(attribution.on_samples(values, card), np.tile(expected, (2, 1)).T[None])


def test_of_an_ensemble_it_is_the_mean():
    members = [linear(np.full((3, 2), weight)) for weight in (1, 3)]
    signals = keras.Input((3, 2), name="signals")
    model = keras.Model(signals, layers.Average()([member(signals) for member in members]))
    given = np.arange(6, dtype="float32").reshape(1, 3, 2)
    told = [relevance(one, given, "integrated-gradients") for one in (*members, model)]
    np.testing.assert_allclose(told[2], (told[0] + told[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("residual_bilstm", ("attention", "grad-cam", "integrated-gradients")),
        ("local_lead_attention", ("attention", "grad-cam", "integrated-gradients")),
        ("segment_attention", ("attention", "grad-cam", "integrated-gradients")),
        ("cnn_lstm", ("grad-cam", "integrated-gradients")),
        ("resnet1d_wang", ("grad-cam", "integrated-gradients")),
    ],
)
def test_each_network_has_its_methods(name, methods):
    model = models.build(replace(TINY, model=name), 40, 2, 2, SCALES, multilabel=False)
    assert attribution.methods_of(model) == methods


def test_what_a_model_does_not_have_is_said_with_what_to_use():
    model = models.build(replace(TINY, model="cnn_lstm"), 4, 1, 2, {"signals": (np.zeros(1), np.ones(1))})
    with pytest.raises(ValueError, match="no layer named attention; use grad-cam or integrated-gradients"):
        relevance(model, X, "attention")
    with pytest.raises(ValueError, match="no method 'lime'; there are: attention, grad-cam"):
        relevance(model, X, "lime")
    with pytest.raises(ValueError, match="name the .h5 file"):
        relevance("an ONNX file", X, "attention")


def test_gradients_of_another_backend_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow, not jax; use attention"):
        relevance(weigh_by_hand(), X, "integrated-gradients")


def test_the_highest_tenth_is_that_of_each_record():
    values = np.zeros((2, 10, 2))
    values[0, [3, 7], [0, 1]] = 1
    values[1, 4:6, 1] = -1
    values[1, [0, 9], [1, 1]] = 5
    assert np.argwhere(attribution.highest(values)).tolist() == [[0, 3, 0], [0, 7, 1], [1, 0, 1], [1, 9, 1]]


def test_elsewhere_the_same_stretches_are_hidden(hypothesis):
    from hypothesis import strategies

    @hypothesis.given(
        strategies.integers(0, 2**32 - 1), strategies.lists(strategies.booleans(), min_size=24, max_size=24)
    )
    def check(seed, bits):
        mask = np.array(bits).reshape(1, 8, 3)
        moved = attribution.elsewhere(mask, np.random.default_rng(seed))
        # Around a circle, neighbours are as alike as they were, and leads keep theirs.
        circles = [
            sorted(tuple(np.sort([tuple(np.roll(lead, turn)) for turn in range(8)], axis=0)[0]) for lead in one[0].T)
            for one in (mask, moved)
        ]
        assert circles[0] == circles[1]

    check()
    mask = np.zeros((1, 8, 3), bool)
    mask[0, 0, 0] = True
    places = {tuple(np.argwhere(attribution.elsewhere(mask, np.random.default_rng(seed)))[0]) for seed in range(200)}
    assert len(places) == 24


def test_what_is_hidden_becomes_a_straight_line_and_a_whole_lead_its_mean():
    signals = np.array([[[0, 2], [9, 4], [9, 6], [3, 8], [7, 10]]], "float32")
    mask = np.array([[[False, True], [True, True], [True, True], [False, True], [True, True]]])
    inputs = inputs_of(signals)
    told, _ = attribution.hidden(inputs, [0], mask)[[0]]
    assert told[0].T.tolist() == [[0, 1, 2, 3, 3], [6, 6, 6, 6, 6]]
    assert inputs[[0]][0].tolist() == signals.tolist()  # the given ones stay


def drops(model, card, demo, method):
    """Means over the first twenty synthetic records: the probability, its fall, and its fall at random."""
    recorded = Recorded(demo.signals[:20], demo.leads, demo.sampling_rate, demo.features[:20], demo.feature_names)
    return attribution.drops(model, Inputs(recorded, card), np.arange(20), method).mean(axis=1)


@pytest.mark.parametrize("method", attribution.METHODS)
def test_hiding_the_tenth_that_counts_most_lowers_the_probability_more_than_hiding_as_much_elsewhere(method, demo):
    """Of a network that attends to what is high in lead II, and finds the class where that is over 0.25 mV."""
    signals = keras.Input((1000, 12), name="signals")
    second = layers.Identity(name="last_convolution")(layers.Conv1D(1, 1, use_bias=False)(signals))
    weights = layers.Softmax(axis=1, name="attention")(layers.Rescaling(20.0)(second))
    high = layers.Flatten()(layers.Dot(axes=1)([weights, second]))
    model = keras.Model(signals, layers.Dense(1, activation="sigmoid", name="probabilities")(high))
    model.set_weights([np.eye(12)[1].reshape(1, 12, 1), np.array([[8]]), np.array([-2])])
    before, fall, at_random = drops(model, cards.Card(("high",), True, demo.leads, 100, 1000), demo, method)
    assert before > 0.8
    assert fall > max(0.2, 5 * at_random)


def test_hiding_what_integrated_gradients_find_matters_to_a_trained_network_too(demo, trained):
    before, fall, at_random = drops(*cards.load(trained / "model.h5"), demo, "integrated-gradients")
    assert fall > 3 * abs(at_random)
    assert 0.003 < fall < before
