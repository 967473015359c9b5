"""What a search may change: every model's settings, the published ones among them, there and back as text."""

import argparse
import shlex
from dataclasses import fields, replace

import numpy as np
import pytest

import models
import recipes
import settings
import spaces
from recipes import RECIPES
from settings import Config
from spaces import Range

PTBXL = RECIPES["ptbxl"]


def decode(config, space, values):
    return spaces.complete(replace(config, **spaces.chosen(space, values)))


def published(config, space):
    """The values of a search that stand for a Config itself."""
    own = {name: getattr(config, name) for name in space}
    return {name: own[name] if isinstance(part, Range) else spaces.text(own[name]) for name, part in space.items()}


def drawn(config, space, draw, strategies):
    """Values that a search might choose."""
    return {
        name: round(draw(strategies.floats(part.low, part.high)), 7)
        if isinstance(part, Range)
        else draw(strategies.sampled_from([spaces.text(each) for each in part]))
        for name, part in space.items()
    }


def parsed(line):
    """The Config that training.py would make of a command line."""
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    words = shlex.split(line)
    assert words[:2] == ["python", "training.py"]
    return recipes.from_arguments(parser.parse_args(words[2:]))


def test_every_model_has_a_space_of_settings_that_there_are():
    assert set(spaces.SPACES) == set(models.MODELS)
    for space in spaces.SPACES.values():
        assert set(space) <= {item.name for item in fields(Config)}


def test_the_space_of_the_published_system_has_what_was_searched_for_it():
    assert set(spaces.of(RECIPES["ptbxl"])) == {
        *("filters", "kernels", "dropout", "lstm_units", "dense_units", "metadata_units", "combined_units"),
        *("learning_rate", "focal_alpha", "focal_gamma", "augmentation", "batch_size"),
    }
    assert {len(filters) for filters in spaces.of(RECIPES["ptbxl"])["filters"]} == {1, 2, 3, 4}  # blocks


@pytest.mark.parametrize("name", [name for name in models.MODELS if name not in ("xresnet1d101", "token_lstm")])
def test_the_last_values_of_a_space_make_a_network(name):
    space = spaces.SPACES[name]
    last = {field: part.high if isinstance(part, Range) else part[-1] for field, part in space.items()}
    config = spaces.complete(replace(Config(model=name), **last))
    scales = {"signals": (np.zeros(2), np.ones(2)), "features": (np.zeros(1), np.ones(1))}
    samples = 1000 if name == "segment_attention" else 100  # the shortest that it is given
    assert models.build(config, samples, 2, 3, scales).output_shape == (None, 3)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_s_own_values_are_in_its_space_and_come_back_as_its_config(name):
    config = RECIPES[name]
    space = spaces.of(config)
    assert decode(config, space, published(config, space)) == config


@pytest.mark.parametrize("name", RECIPES)
def test_the_line_that_is_printed_asks_for_the_config_that_was_tried(name, hypothesis):
    config = RECIPES[name]
    space = spaces.of(config)

    @hypothesis.given(hypothesis.strategies.data())
    def check(data):
        found = decode(config, space, drawn(config, space, data.draw, hypothesis.strategies))
        assert parsed(spaces.command(found)) == found

    check()


def test_numbers_that_came_through_32_bits_stand_for_the_same_config(hypothesis):
    space = {name: part for name, part in spaces.of(RECIPES["ptbxl"]).items() if isinstance(part, Range)}

    @hypothesis.given(hypothesis.strategies.data())
    def check(data):
        values = drawn(PTBXL, space, data.draw, hypothesis.strategies)
        exact = {name: float(spaces.text(value)) for name, value in values.items()}
        rounded = {name: float(np.float32(value)) for name, value in exact.items()}
        assert decode(PTBXL, space, rounded) == decode(PTBXL, space, exact)

    check()


@pytest.mark.parametrize(
    "filters, kernels, expected",
    [
        ("128", "7 3", (7,)),
        ("256 128", "7 3", (7, 3)),
        ("64 128 256", "7 3", (7, 3, 3)),
        ("128 128 128", "5", (5,) * 3),
    ],
)
def test_each_block_has_a_kernel_the_last_one_where_there_are_too_few(filters, kernels, expected):
    space = {name: spaces.of(PTBXL)[name] for name in ("filters", "kernels")}
    assert decode(PTBXL, space, {"filters": filters, "kernels": kernels}).kernels == expected


def test_an_own_value_outside_what_is_usual_widens_it():
    space = spaces.of(replace(PTBXL, learning_rate=0.05, lstm_units=48, filters=(7,)))
    assert space["learning_rate"] == Range(1e-4, 0.05, log=True)
    assert space["lstm_units"] == (32, 48, 64, 128, 192)
    assert space["filters"][0] == (7,)


def test_what_the_user_has_set_is_not_searched_and_what_is_asked_for_alone_is():
    assert "dropout" not in spaces.of(PTBXL, given=["dropout", "epochs"])
    assert list(spaces.of(PTBXL, only=["dropout", "batch_size"])) == ["dropout", "batch_size"]


def test_what_has_no_effect_is_not_searched():
    assert "weight_decay" not in spaces.of(PTBXL)
    crops = spaces.of(RECIPES["ptbxl-crops"])  # cross-entropy and AdamW
    assert "weight_decay" in crops and not {"focal_alpha", "focal_gamma"} & set(crops)
    assert "metadata_units" not in spaces.of(RECIPES["cnn-lstm"])  # it has no features


@pytest.mark.parametrize(
    "only, given, told", [(["seed"], (), "seed"), (["dropout"], ("dropout",), "dropout"), ([], (), "")]
)
def test_what_cannot_be_searched_is_refused_with_what_can(only, given, told):
    with pytest.raises(ValueError, match=f"{told}.* cannot be searched; with these flags there are: learning_rate, "):
        spaces.of(PTBXL, given, only)


def test_places_are_between_the_ends_of_a_range_and_in_the_order_of_other_values():
    np.testing.assert_allclose(spaces.place(Range(1e-4, 1e-2, log=True), [1e-4, 1e-3, 1e-2]), [0, 0.5, 1])
    np.testing.assert_allclose(spaces.place(Range(0.2, 0.8), [0.2, 0.35]), [0, 0.25])
    np.testing.assert_allclose(spaces.place(((), ("noise",), ("noise", "mixup")), ["noise mixup", "none"]), [1, 0])
    assert spaces.marks(Range(0.0, 0.6)) == {0: "0", 1: "0.6"}
    assert spaces.marks((8, 16, 32)) == {0: "8", 0.5: "16", 1: "32"}
