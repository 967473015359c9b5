"""Search spaces: what a search may change of each model's settings, and between which bounds."""

import shlex
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np

from recipes import RECIPES
from settings import Config

DIGITS = 4  # of a number that a search has found


class Range(NamedTuple):
    """All numbers from `low` to `high`; with `log`, as many between 0.1 and 1 as between 1 and 10."""

    low: float
    high: float
    log: bool = False


# A field of Config, and a Range or the values that it may have; a recipe's own value is always one of them.
TRAINING = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "batch_size": (16, 32, 64, 128),
    "dropout": Range(0.0, 0.6),
    "weight_decay": (0.0, 1e-3, 1e-2, 1e-1),
    "focal_alpha": Range(0.2, 0.8),
    "focal_gamma": Range(0.0, 4.0),
    "combined_units": (32, 64, 128, 256),
}
CHANGES = ("noise", "baseline-wander", "time-shift", "lead-dropout", "mixup")
SIGNALS = {
    **TRAINING,
    "augmentation": ((), *((name,) for name in CHANGES), ("noise", "baseline-wander")),
    "metadata_units": (8, 16, 32, 64),
    # Of the blocks in order: further blocks have the last one's; where there are fewer blocks, the rest is not used.
    "kernels": ((3,), (5,), (7,), (3, 7), (7, 3), (15, 7, 3)),
}
BEATS = {
    "class_weight_power": (0.0, 0.25, 0.5, 1.0),
    "lstm_units": (32, 64, 128),
    "metadata_layers": (1, 2, 3),
    "feature_scaling": ("deviation", "quartiles"),
}
XRESNET = {**SIGNALS, "filters": ((32,) * 4, (64,) * 4, (32, 32, 64, 64)), "kernels": ((3,), (5,), (7,), (7, 5, 3))}
BLOCKS = (
    *((128,), (64, 64), (128, 128), (128, 256), (256, 128)),
    *((64, 128, 256), (128, 128, 128), (256, 128, 64), (64, 128, 128, 256)),
)

SPACES = {
    "residual_bilstm": {
        **SIGNALS,
        "filters": BLOCKS,
        "lstm_units": (32, 64, 128, 192),
        "dense_units": (64, 128, 256, 512),
    },
    "resnet1d_wang": {**SIGNALS, "filters": BLOCKS},
    "xresnet1d50": XRESNET,
    "xresnet1d101": XRESNET,
    "inception_time": {
        **SIGNALS,
        "filters": ((32,) * 3, (16,) * 6, (32,) * 6, (32,) * 9),
        "kernels": ((10,), (20,), (40,)),
    },
    "transformer": {**SIGNALS, "filters": ((64,) * 4, (128,) * 2, (128,) * 4, (128,) * 6, (192,) * 4)},
    "cnn_lstm": {
        **SIGNALS,
        **BEATS,
        "filters": ((32, 64), (64, 128), (64, 128, 128), (64, 128, 256), (64, 64, 128, 128)),
    },
    "segment_attention": {
        **SIGNALS,
        "filters": ((32, 64), (64, 64), (32, 64, 64)),
        "pooling": (4, 6, 8),
        "class_weight_power": BEATS["class_weight_power"],
    },
    "local_lead_attention": {
        **SIGNALS,
        **BEATS,
        "filters": ((32, 64), (16, 32, 32), (32, 64, 64), (64, 64, 64)),
        "dense_units": (32, 64, 128),
        "smote": (0.0, 0.1, 0.2, 0.5),
    },
    "token_lstm": {
        **TRAINING,
        **BEATS,
        "clusters": (32, 64, 128),
        "neighbours": (2, 4, 8),
        "embedding_units": (16, 32, 64),
    },
}

# What has no effect but with another setting is not searched without it.
EFFECTIVE = {
    "weight_decay": lambda config: config.optimizer == "adamw",
    "focal_alpha": lambda config: config.loss == "focal",
    "focal_gamma": lambda config: config.loss == "focal",
    **dict.fromkeys(
        ("metadata_units", "metadata_layers", "feature_scaling"),
        lambda config: config.features != () and not config.clusters,
    ),
}


def of(config, given=(), only=None):
    """What a search from `config` may change: a dict from field to a Range or a tuple of values.

    Args:
        given: fields that are not searched, since the user has set them. only: if not None, those that are.

    Raises:
        ValueError: `only` names a field that cannot be searched, or nothing is left.
    """
    free = {
        name: _with_own(part, getattr(config, name))
        for name, part in SPACES[config.model].items()
        if name not in given and (name not in EFFECTIVE or EFFECTIVE[name](config))
    }
    wanted = list(free) if only is None else only
    if not wanted or set(wanted) - set(free):
        unknown = ", ".join(name for name in wanted if name not in free) or "nothing"
        raise ValueError(f"{unknown} cannot be searched; with these flags there are: {', '.join(free) or 'none'}")
    return {name: free[name] for name in wanted}


def _with_own(part, own):
    """Values among which is the recipe's own; numbers in order."""
    if isinstance(part, Range):
        return part._replace(low=min(part.low, own), high=max(part.high, own))
    if isinstance(own, tuple):
        return tuple(dict.fromkeys((own, *part)))
    return tuple(sorted({own, *part}))


def text(value):
    """A value as it stands on a command line and in tables."""
    if isinstance(value, tuple):
        return " ".join(map(text, value)) or "none"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def chosen(space, values):
    """Values of a search, which are numbers of a Range and texts of others, as values of Config.

    Numbers are rounded, so that those that came through keras-tuner's service, in 32 bits, are as they were.
    """
    return {
        name: float(text(values[name]))
        if isinstance(part, Range)
        else {text(each): each for each in part}[values[name]]
        for name, part in space.items()
    }


def complete(config):
    """A Config with as many kernels as it has blocks."""
    blocks = len(config.filters)
    return replace(config, kernels=(config.kernels + config.kernels[-1:] * blocks)[:blocks])


def place(part, values):
    """Where values, or their texts, lie in what a setting may be: from 0, the lowest or first, to 1."""
    if isinstance(part, Range):
        scale = np.log if part.log else np.asarray
        low, high, values = scale(part.low), scale(part.high), scale(np.asarray(values))
        return (values - low) / (high - low)
    order = [text(each) for each in part]
    return np.array([order.index(text(value)) for value in values]) / max(1, len(order) - 1)


def marks(part):
    """Places between 0 and 1 and the values there, as text: both ends of a Range, or every value."""
    values = (part.low, part.high) if isinstance(part, Range) else part
    return dict(zip(place(part, values), map(text, values), strict=True))


def command(config, *further):
    """The line that trains a Config: its recipe, a flag for each setting that is not the recipe's own, and others."""
    words = ["python", "training.py", "--recipe", config.recipe]
    for item in fields(Config):
        value, flag = getattr(config, item.name), item.name.replace("_", "-")
        if item.name == "recipe" or value == getattr(RECIPES[config.recipe], item.name):
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else [value])]
    return shlex.join([*words, *map(str, further)])
