"""Recipes: the Configs that are known to work, by name, and the data and the Config that a command line asks for."""

from dataclasses import replace

import dataset as datasets
import settings
from settings import Config

# What a reader is asked for, if anything but None.
READING = ("sampling_rate", "minimum_likelihood", "fine_task", "protocol", "leads", "window", "band")
READING += ("causal", "deviation", "rhythms")

PTBXL = Config()

# The same network on random crops (Strodthoff et al. 2020 train on 2.5 s): a third of the time, and a higher score.
CROPS = replace(
    PTBXL,
    recipe="ptbxl-crops",
    crop=2.5,
    loss="crossentropy",
    class_weight_power=0.0,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=1e-2,
    schedule="cosine",
    batch_size=64,
    epochs=20,
    patience=20,
)

# Trained on all 71 statements too, of which the superclasses are made (Strodthoff et al. 2020 group afterwards).
STATEMENTS = replace(CROPS, recipe="ptbxl-statements", fine_task="statements", augmentation=("mixup",))

# The release before, trained on, a little, with what goes wrong at the bedside.
ROBUST = replace(
    CROPS,
    recipe="ptbxl-robust",
    start="saved_models/ptbxl-crops.h5",
    augmentation=("noise", "baseline-wander", "gain", "leads-unplugged"),
    learning_rate=3e-4,
    epochs=4,
    patience=4,
)


def reference(model, filters, kernels, dropout=0.5):
    """The recipe of a network of the literature in its published sizes, trained as `ptbxl-crops` is, only longer."""
    sizes = {"filters": filters, "kernels": kernels, "dropout": dropout}
    return replace(CROPS, recipe=model, model=model, epochs=24, patience=24, **sizes)


# The published network on the published beats, larger and trained longer. Where that one weights sampling and loss in
# full, this one weights the loss alone, and mildly: both in full balance twice, and half of the beats of N are then
# taken for another class.
CNN_LSTM = Config(
    recipe="cnn-lstm",
    dataset="heartbeat",
    features=(),
    model="cnn_lstm",
    filters=(64, 128, 256),
    kernels=(5, 3, 3),
    dropout=0.5,
    lstm_units=128,
    combined_units=64,
    loss="crossentropy",
    class_weight_power=0.25,
    optimizer="adamw",
    weight_decay=1e-2,
    learning_rate=2e-3,
    schedule="cosine",
    batch_size=128,
    epochs=20,
    patience=20,
)

# Features against what is usual for the patient, without a unit: sizes in millivolt tell patients apart, not beats.
RHYTHM = ("RR before /", "RR before -", "RR after /", "RR after -", "irregularity")
SHAPE = ("1 - correlation", "difference in fifth")
FIRST, SECOND = (tuple(f"{lead} {what}" for what in SHAPE) for lead in ("MLII/V5", "other"))
AROUND = ("log", "MLII/V5 beat before", "MLII/V5 beat after")

MITBIH = replace(  # what recipes for MIT-BIH have in common
    CNN_LSTM,
    dataset="mitbih",
    sampling_rate=125.0,
    leads=("MLII/V5",),
    window=(0.3, 0.5),
    band=(0.5, 40.0),
    lstm_units=64,
    metadata_units=64,
    learning_rate=1e-3,
)

# The same network, smaller, with what tells a beat apart for the patient's sake alone: rhythm, and how it differs from
# the usual beat. In five folds of DS1, before there were made rhythms, the shapes themselves and the second lead, which
# is not the same one in all recordings, were learned by heart: the more of them, the worse with other patients.
CONTEXT = replace(
    MITBIH,
    recipe="cnn-lstm-context",
    deviation=True,
    rhythms=3,
    features=RHYTHM + FIRST + AROUND,
    feature_scaling="quartiles",
    filters=(16, 32, 32),
    metadata_units=128,
    metadata_layers=2,
    augmentation=("noise",),
    epochs=8,
    patience=8,
)

# With the shapes themselves, where the patients are known: protocol random.
SHAPES = replace(
    CONTEXT,
    recipe="cnn-lstm-shapes",
    protocol="random",
    leads=("MLII/V5", "other"),
    deviation=None,
    rhythms=None,
    features=RHYTHM + FIRST + SECOND + AROUND,
    filters=(64, 128, 128),
    epochs=10,
    patience=10,
)

LOCAL_LEAD_ATTENTION = replace(
    MITBIH,
    recipe="local-lead-attention",
    sampling_rate=360.0,
    leads=("MLII/V5", "other"),
    rhythms=2,
    features=RHYTHM + FIRST + SECOND + AROUND,
    feature_scaling="quartiles",
    scaling="min-max",
    model="local_lead_attention",
    filters=(32, 64, 64),
    kernels=(7, 5, 5),
    dropout=0.2,
    dense_units=64,
    metadata_units=128,
    metadata_layers=2,
    smote=0.1,
    class_weight_power=0.0,
    epochs=4,
    patience=4,
)

# Ten seconds, normal or not (inter-patient, both leads). As published: band-pass, z-score, class weights.
SEGMENT_ATTENTION = replace(
    MITBIH,
    recipe="segment-attention",
    task="segments",
    sampling_rate=360.0,
    window=None,
    band=(0.5, 50.0),
    features=(),
    scaling="z-score",
    model="segment_attention",
    filters=(32, 64),
    kernels=(5, 5),
    dropout=0.5,
    combined_units=128,
    augmentation=("noise",),
    class_weight_power=1.0,
    learning_rate=3e-4,  # at 1e-3 it knows the training patients by heart after two epochs
    batch_size=64,
    epochs=6,
    patience=6,
)

# At the sampling rate of PTB-XL. Pooled by 3, there are about as many steps as at 360 Hz pooled by 4 and by 4.
SEGMENTS_AT_100 = replace(SEGMENT_ATTENTION, sampling_rate=100.0, band=(0.5, 40.0), pooling=3)

# Beats as text: words of both leads and of the rhythm, and the clusters of the beats around.
BEAT_TOKENS = replace(
    MITBIH,
    recipe="beat-tokens",
    leads=("MLII/V5", "other"),
    features=("RR before / usual", "RR before / mean", "RR before -", "RR after /", "RR after -"),
    clusters=64,
    scaling="z-score",
    model="token_lstm",
    filters=(),
    kernels=(),
    dropout=0.2,
    augmentation=(),
    learning_rate=2e-3,
    epochs=10,
    patience=10,
)

RECIPES = {
    "ptbxl": PTBXL,  # the published network and settings
    "ptbxl-crops": CROPS,
    "ptbxl-statements": STATEMENTS,
    "ptbxl-robust": ROBUST,
    "resnet1d_wang": reference("resnet1d_wang", filters=(128,) * 3, kernels=(5,) * 3),
    "xresnet1d50": reference("xresnet1d50", filters=(64,) * 4, kernels=(5,) * 4),
    "xresnet1d101": reference("xresnet1d101", filters=(64,) * 4, kernels=(5,) * 4),
    "inception_time": reference("inception_time", filters=(32,) * 6, kernels=(40,) * 6),
    "transformer": reference("transformer", filters=(128,) * 4, kernels=(5,) * 4, dropout=0.2),
    "local-lead-attention": LOCAL_LEAD_ATTENTION,
    "cnn-lstm": CNN_LSTM,
    "cnn-lstm-context": CONTEXT,
    "cnn-lstm-shapes": SHAPES,
    "segment-attention": SEGMENT_ATTENTION,
    "segment-attention-ptbxl": replace(
        CROPS,
        recipe="segment-attention-ptbxl",
        task="normal",
        model="segment_attention",
        filters=(32, 64),
        kernels=(5, 5),
        dropout=0.5,
        class_weight_power=1.0,
        crop=0.0,
    ),
    # The same for lead II of PTB-XL, which has hundreds of patients with abnormal beats where DS1 of MIT-BIH has five:
    "segment-attention-beats": replace(
        SEGMENTS_AT_100,
        recipe="segment-attention-beats",
        dataset="ptbxl",
        task="beats",
        protocol=None,
        leads=("II",),
        band=None,
        learning_rate=1e-3,
        epochs=8,
        patience=8,
    ),
    # and, from there on, MIT-BIH.
    "segment-attention-transfer": replace(
        SEGMENTS_AT_100,
        recipe="segment-attention-transfer",
        start="saved_models/segment-attention-beats.h5",
        learning_rate=1e-5,  # on held-out patients of DS1 it only gets worse, the sooner the faster it learns
        epochs=2,
    ),
    "beat-tokens": BEAT_TOKENS,
    # One beat of one lead by itself, as the heartbeat files have them; zeros after its end write no words.
    "beat-tokens-heartbeat": replace(
        BEAT_TOKENS,
        recipe="beat-tokens-heartbeat",
        dataset="heartbeat",
        sampling_rate=None,
        leads=None,
        window=None,
        band=None,
        features=(),
        scaling="none",
        pieces=40,
    ),
    # Small enough that the whole pipeline runs in two minutes on two cores.
    "demo": replace(
        PTBXL,
        recipe="demo",
        dataset="demo",
        filters=(32, 32),
        lstm_units=32,
        dense_units=64,
        combined_units=32,
        crop=2.5,
        learning_rate=3e-3,
        epochs=10,
    ),
}


def choose(recipe=None, dataset=None, **changes):
    """The Config of a recipe, or of a dataset's first recipe, or of `ptbxl`, with some settings changed.

    Raises:
        ValueError: no such recipe, or none for this dataset.
    """
    if recipe is None:
        firsts = {config.dataset: name for name, config in reversed(RECIPES.items())}
        recipe = "ptbxl" if dataset is None else firsts.get(dataset)
        if recipe is None:
            raise ValueError(f"no recipe for dataset {dataset!r}; there are recipes for: {', '.join(firsts)}")
    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    if dataset is not None:
        changes["dataset"] = dataset
    return replace(RECIPES[recipe], **changes)


def default_name(config):
    """The recipe's name, and what of dataset, task and protocol is not the recipe's own: each has its own folder."""
    own = RECIPES[config.recipe]
    changed = [
        getattr(config, name) for name in ("dataset", "task", "protocol") if getattr(config, name) != getattr(own, name)
    ]
    return "-".join([config.recipe, *changed])


def from_arguments(options, start=None):
    """The Config that parsed flags ask for: of a recipe, or of `start`, another Config, with what they change."""
    given = settings.given(options)
    return replace(start, **given) if start else choose(**given)


def add_data_arguments(parser):
    """Flags that say where recordings are and what to do about missing and damaged ones."""
    parser.add_argument("--data-dir", help="folder of the database; else ECG_DATA/NAME, else datasets/NAME")
    parser.add_argument("--download", action="store_true", default=None, help="fetch what is missing first")
    parser.add_argument("--skip-broken", action="store_true", default=None, help="leave damaged records out")


def read_data(config, options):
    """The Dataset of a Config; options that the user did not give are left to its reader."""
    given = {name: getattr(config, name) for name in READING}
    given |= {name: getattr(options, name) for name in ("download", "skip_broken")}
    given = {name: value for name, value in given.items() if value is not None}
    return datasets.load(config.dataset, config.task, options.data_dir, **given)
