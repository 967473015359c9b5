"""A run is its Config: chosen by recipe or dataset, changed by flags, stored as JSON."""

import argparse
import json
from dataclasses import asdict, fields, replace

import pytest

import dataset
import recipes
import settings
from recipes import RECIPES
from settings import Config


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return parser


@pytest.fixture
def from_flags(parser):
    """The Config of a command line."""
    return lambda flags: recipes.from_arguments(parser.parse_args(flags.split()))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_carries_its_own_name_and_a_dataset_that_there_is(name):
    assert RECIPES[name].recipe == name
    assert RECIPES[name].dataset in dataset.readers()


def test_nothing_asked_for_is_the_recipe_ptbxl(from_flags):
    assert from_flags("") == RECIPES["ptbxl"] == Config()


def test_a_dataset_alone_means_its_first_recipe(from_flags):
    assert from_flags("--dataset ptbxl") == RECIPES["ptbxl"]
    assert from_flags("--dataset demo") == RECIPES["demo"]


def test_a_recipe_can_be_tried_on_another_dataset(from_flags):
    assert from_flags("--recipe ptbxl-crops --dataset demo") == replace(RECIPES["ptbxl-crops"], dataset="demo")


@pytest.mark.parametrize(
    "flags, changes",
    [
        ("--epochs 3", {"epochs": 3}),
        ("--learning-rate 1e-2", {"learning_rate": 0.01}),
        ("--class-weight-power 0", {"class_weight_power": 0.0}),
        ("--sampling-rate 500", {"sampling_rate": 500.0}),
        ("--task form", {"task": "form"}),
        ("--filters 8 16 32", {"filters": (8, 16, 32)}),
        ("--augmentation noise mixup", {"augmentation": ("noise", "mixup")}),
        ("--deterministic", {"deterministic": True}),
    ],
)
def test_a_flag_overrides_one_setting_of_a_recipe_and_no_other(from_flags, flags, changes):
    assert from_flags(f"--recipe ptbxl-crops {flags}") == replace(RECIPES["ptbxl-crops"], **changes)


def test_flags_can_also_empty_a_list_and_switch_off(from_flags, monkeypatch):
    monkeypatch.setitem(RECIPES, "strict", Config(recipe="strict", augmentation=("noise",), deterministic=True))
    came = from_flags("--recipe strict --augmentation --no-deterministic")
    assert came == Config(recipe="strict", augmentation=(), deterministic=False)


@pytest.mark.parametrize("flags", ["--filters 2.5", "--epochs many"])
def test_a_value_of_the_wrong_kind_ends_with_the_usage(parser, flags, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(flags.split())
    assert "usage:" in capsys.readouterr().err


def test_help_explains_every_setting(parser):
    shown = " ".join(parser.format_help().split())
    for item in fields(Config):
        assert f"--{item.name.replace('_', '-')}" in shown
        assert item.metadata["help"] in shown


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_comes_back_from_json_as_it_was(name):
    config = replace(RECIPES[name], augmentation=("noise", "mixup"), task="form")
    assert settings.from_json(json.loads(json.dumps(asdict(config)))) == config


def test_settings_that_an_older_config_lacks_have_their_defaults():
    assert settings.from_json({"epochs": 3}) == Config(epochs=3)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match=r"unknown settings \['epoch'\]; this version knows .*'epochs'"):
        settings.from_json({"epoch": 3, "seed": 1})


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no recipe 'ptbx'; there are: ptbxl, ptbxl-crops, .*demo"):
        recipes.choose("ptbx")


def test_a_dataset_without_a_recipe_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match="no recipe for dataset 'cpsc'; there are recipes for: .*ptbxl"):
        recipes.choose(dataset="cpsc")


def test_another_dataset_task_or_protocol_has_its_own_folder():
    assert recipes.default_name(recipes.choose("demo")) == "demo"
    assert recipes.default_name(recipes.choose("ptbxl-crops", dataset="demo")) == "ptbxl-crops-demo"
    assert recipes.default_name(recipes.choose("ptbxl", task="rhythm")) == "ptbxl-rhythm"
    assert recipes.default_name(recipes.choose("cnn-lstm", protocol="inter-patient")) == "cnn-lstm-inter-patient"
