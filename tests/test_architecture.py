"""Pictures of networks: what follows one another is in one box, ways lie side by side, what repeats is drawn once."""

import keras
import pytest
from keras import layers
from tiny_runs import TINY

import architecture
from architecture import Box, Fork


def texts(items):
    """Of Boxes their text, of Forks that of each way."""
    return [item.text if isinstance(item, Box) else [[one.text for one in way] for way in item.ways] for item in items]


def block(x):
    inner = layers.Conv1D(4, 3, padding="same")(x)
    inner = layers.Dropout(0.25)(layers.ReLU()(layers.BatchNormalization()(inner)))
    return layers.ReLU()(layers.Add()([x, inner]))


@pytest.fixture
def network():
    """Three residual blocks, and a branch for two features."""
    signals, features = keras.Input((10, 4), name="signals"), keras.Input((2,), name="features")
    x = signals
    for _ in range(3):
        x = block(x)
    x = layers.Concatenate()([layers.Flatten()(x), layers.Dense(3, activation="relu")(features)])
    return keras.Model([signals, features], layers.Dense(5, activation="sigmoid")(layers.Identity()(x)))


def test_layers_that_follow_are_in_one_box_and_a_shortcut_is_a_way_without_any(network):
    shortcut = [[], ["Conv 4, kernel 3 · batch norm · ReLU · Dropout 0.25"]]
    assert texts(architecture.sequence(network)) == [
        "input",
        *[shortcut, "Add · ReLU"] * 3,
        "Concatenate with features (2) · Dense 3, relu",
        "Dense 5, sigmoid",
    ]


def test_shapes_are_those_that_come_out_of_the_last_layer_of_a_box(network):
    boxes = [item for item in architecture.sequence(network) if isinstance(item, Box)]
    assert [box.shape for box in boxes] == ["10 × 4", "10 × 4", "10 × 4", "40", "43", "5"]


def test_what_repeats_comes_once_and_a_repeated_block_begins_with_its_fork(network):
    parts = [(texts(items), times) for items, times in architecture.repeated(architecture.sequence(network))]
    assert [times for _, times in parts] == [1, 3, 1, 1]
    assert parts[1][0][1] == "Add · ReLU"


def test_ways_within_ways_are_told_one_by_one():
    x = keras.Input((8, 2), name="signals")
    narrow = layers.Conv1D(1, 1)(x)
    ways = [layers.Conv1D(1, 3, padding="same")(narrow), layers.Conv1D(1, 5, padding="same")(narrow), x]
    _, fork, joined = architecture.sequence(keras.Model(x, layers.Concatenate()(ways)))
    assert texts([fork]) == [[["Conv 1, kernel 1", "Conv 1, kernel 3"], ["Conv 1, kernel 1", "Conv 1, kernel 5"], []]]
    assert joined == Box("Concatenate", "Concatenate", "8 × 4")


def test_an_input_that_is_given_twice_is_one_way():
    x = keras.Input((6, 4), name="signals")
    attended = layers.MultiHeadAttention(2, 2)(x, x)
    assert texts(architecture.sequence(keras.Model(x, attended))) == ["input", "MultiHeadAttention 2 heads"]


def test_every_text_of_the_trained_network_stands_in_its_picture(trained):
    model = keras.models.load_model(trained / "model.h5", compile=False)
    drawn = " ".join(text.get_text().replace("\n", " ") for text in architecture.draw(model).axes[0].texts)
    for told in ("Conv 4, kernel 3", f"bidirectional LSTM {TINY.lstm_units}", "Softmax", "Dense 5, sigmoid"):
        assert told in drawn
    assert any(isinstance(item, Fork) for item in architecture.sequence(model))
