"""Optimizers and the learning rates that they follow, by name."""

import keras


def constant(config, steps):
    """The same learning rate in every step."""
    return config.learning_rate


def cosine(config, steps):
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017, arXiv 1608.03983)."""
    warmup = int(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate, steps - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
    )


SCHEDULES = {"plateau": constant, "constant": constant, "cosine": cosine}  # plateau: a callback lowers it
OPTIMIZERS = {
    "adam": lambda config, rate: keras.optimizers.Adam(rate),
    "adamw": lambda config, rate: keras.optimizers.AdamW(rate, weight_decay=config.weight_decay),
}


def build(config, steps):
    """The optimizer of a training run of so many steps."""
    return OPTIMIZERS[config.optimizer](config, SCHEDULES[config.schedule](config, steps))
