"""Settings: every setting of a run in one flat Config, which is also the command-line flags and the JSON in a card."""

import argparse
import types
from dataclasses import dataclass, field, fields


def setting(default, text):
    """A Config field whose help text is what `--help` shows."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """Defaults are those of recipe `ptbxl`. A run is its Config: printed, stored in the card, searched by tuning."""

    recipe: str = setting("ptbxl", "name of the recipe that the other settings start from")
    dataset: str = setting("ptbxl", "which data_<name>.py reads the recordings")
    task: str | None = setting(None, "what the labels are; the dataset's first task when not given")
    sampling_rate: float | None = setting(None, "which of the dataset's sampling rates to read, in Hz")
    minimum_likelihood: float | None = setting(None, "PTB-XL: count statements of at least this likelihood (0 to 100)")
    protocol: str | None = setting(None, "MIT-BIH: who trains and who tests: inter-patient or random")
    leads: tuple[str, ...] | None = setting(None, "leads to read, by name; MLII/V5 is V5 where there is no MLII")
    window: tuple[float, ...] | None = setting(None, "MIT-BIH: seconds of a beat before and after its R-peak")
    band: tuple[float, ...] | None = setting(None, "MIT-BIH: band-pass of whole recordings, lowest and highest Hz")
    causal: bool | None = setting(None, "MIT-BIH: features of a beat look only back, for live use")
    deviation: bool | None = setting(None, "MIT-BIH: beats less their recording's usual beat")
    rhythms: int | None = setting(None, "MIT-BIH: recordings of other rhythms made of each training one, of each kind")
    features: tuple[str, ...] | None = setting(None, "features to use, by how their names begin; all when not given")
    fine_task: str | None = setting(None, "train on the classes of this finer task as well, grouped into the task's")
    clusters: int = setting(0, "beats as text: clusters of K-means, each a token of a whole beat; 0 reads signals")
    pieces: int = setting(20, "beats as text: letters of each lead of a beat")
    letters: int = setting(6, "beats as text: different letters")
    word: int = setting(3, "beats as text: letters of a word")
    neighbours: int = setting(4, "beats as text: beats before and after whose clusters are read")
    scaling: str = setting("none", "of each lead of each record, by name, on top of the scales learned from training")
    data_fraction: float = setting(1.0, "share of the training patients to train on")

    model: str = setting("residual_bilstm", "architecture, by name; most have a recipe of that name with their sizes")
    filters: tuple[int, ...] = setting((256, 128), "filters of each block")
    kernels: tuple[int, ...] = setting((3, 7), "kernel size of each block, in samples")
    pooling: int = setting(4, "segment_attention: steps that are pooled to one after each block")
    embedding_units: int = setting(32, "units of the embedding of a token")
    dropout: float = setting(0.25, "share of units dropped, everywhere in the network")
    lstm_units: int = setting(128, "units of the LSTM in each direction")
    dense_units: int = setting(256, "units of the dense layer after attention")
    metadata_units: int = setting(16, "units of each dense layer for age and sex, or other features")
    metadata_layers: int = setting(1, "dense layers for features, before these join the signal")
    feature_scaling: str = setting("deviation", "of features: by mean and deviation, or by quartiles and squashed")
    combined_units: int = setting(128, "units of the dense layer over signal and metadata")

    loss: str = setting("focal", "loss, by name")
    focal_alpha: float = setting(0.434, "focal loss: weight of a positive label; 1 - alpha of a negative one")
    focal_gamma: float = setting(2.135, "focal loss: how strongly easy labels are discounted")
    label_smoothing: float = setting(0.0, "cross-entropy: how far labels are moved towards one half")
    sampling_power: float = setting(0.0, "rare classes drawn more often: 0 not, 0.5 square root, 1 all as often")
    smote: float = setting(0.0, "synthetic training records until each class has this share of the largest; 0 none")
    class_weight_power: float = setting(1.0, "weights of classes: 0 all one, 0.5 square root, 1 balanced")

    optimizer: str = setting("adam", "optimizer, by name")
    learning_rate: float = setting(4.67e-4, "learning rate, or the highest of the schedule")
    weight_decay: float = setting(0.0, "decoupled weight decay, for optimizer adamw")
    schedule: str = setting("plateau", "learning-rate schedule, by name")
    warmup: float = setting(0.2, "share of all steps in which schedule cosine rises to the learning rate")
    start: str = setting("", "saved model of the same network, from whose weights training begins")
    teachers: tuple[str, ...] = setting((), "saved models whose mean probabilities are learned from, with the labels")
    teaching: float = setting(0.5, "share of the teachers in what is learned; the rest is the labels'")
    precision: str = setting("float32", "training arithmetic; mixed_bfloat16 is faster where the processor has it")
    batch_size: int = setting(32, "records a step")
    epochs: int = setting(30, "epochs at the most")
    patience: int = setting(6, "epochs without a better validation macro AUC before training stops")
    crop: float = setting(0.0, "train on random crops of so many seconds; 0 for whole records")
    augmentation: tuple[str, ...] = setting((), "changes of training signals, by name, in order")
    seed: int = setting(0, "seed of weights, order, crops, augmentation and dropout")
    deterministic: bool = setting(False, "the same bits in every run, more slowly")


def add_arguments(parser):
    """Give an argparse parser one flag per Config field; a flag that is not used leaves the recipe's value."""
    for item in fields(Config):
        flag = "--" + item.name.replace("_", "-")
        options = {"default": None, "help": f"{item.metadata['help']} (default of recipe ptbxl: {item.default})"}
        kind, several = _kind(item.type)
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        else:
            parser.add_argument(flag, type=kind, nargs="*" if several else None, **options)


def given(options):
    """The Config fields that parsed flags set, with their values."""
    named = {item.name: getattr(options, item.name) for item in fields(Config)}
    return {name: _frozen(value) for name, value in named.items() if value is not None}


def from_json(values):
    """A Config from the dict that `dataclasses.asdict` made and JSON stored.

    Raises:
        ValueError: settings that this version does not know.
    """
    known = {item.name for item in fields(Config)}
    if set(values) - known:
        raise ValueError(f"unknown settings {sorted(set(values) - known)}; this version knows {sorted(known)}")
    return Config(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def _kind(annotation):
    """Type, and whether several come: `int, True` of `tuple[int, ...]`, `float, False` of `float | None`."""
    if isinstance(annotation, types.UnionType):
        return _kind(annotation.__args__[0])
    if getattr(annotation, "__origin__", None) is tuple:
        return annotation.__args__[0], True
    return annotation, False
