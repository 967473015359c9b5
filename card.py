"""The artefact: a model file (`.h5`, `.keras`, `.onnx`) and beside it its card, a JSON file that says how to use it."""

import hashlib
import json
import logging
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

import runtimes
import tokens
import writing
from dataset import HERE, SPLITS
from inputs import Inputs

FORMAT = 1
SUFFIXES = (".h5", ".keras")
ONNX = ".onnx"
RELEASE = "Final-ECG-Model"
INPUTS = (
    "classes",
    "multilabel",
    "leads",
    "sampling_rate",
    "samples",
    "cutting",
    "scaling",
    "tokens",
    "feature_names",
    "feature_defaults",
)
# Keras warns at each save that .h5 is its older format; it is the one that other people's code was promised.
logging.getLogger("absl").addFilter(lambda record: "HDF5 file" not in record.getMessage())


@dataclass(frozen=True)
class Card:
    """All that a stranger needs to use a saved model and to know what it is worth.

    Attributes:
        classes: names of the outputs; `multilabel`: each its own sigmoid, or one softmax.
        leads, sampling_rate, samples: of the input `(batch, samples, leads)`, in millivolt.
        cutting: how records are cut from recordings before, if they are; see `dataset.Dataset`.
        scaling: of each lead of each record, by name; see `preprocessing.SCALINGS`.
        feature_names: names and units of the second input `(batch, features)`, if any.
        feature_defaults: training medians, which stand in for unknown features.
        thresholds: probability from which a class is decided, in class order; `threshold_goal`: chosen for what.
        temperatures: what the logits of each class are divided by to be calibrated; fitted by `evaluate`.
        tokens: the vocabulary of a model that reads beats as text, see `tokens.Vocabulary`; else empty.
        config: the settings of the training run, `settings.Config` as a dict.
        scores: name of a split to its scores. data: see `manifest`. versions: of libraries, and of this code.
        log: of the training, a dict for each epoch.
        members: of an ensemble, which has no model file of its own: theirs, relative to the card.
    """

    classes: tuple
    multilabel: bool
    leads: tuple
    sampling_rate: float
    samples: int
    cutting: dict = field(default_factory=dict)
    scaling: str = "none"
    feature_names: tuple = ()
    feature_defaults: tuple = ()
    thresholds: tuple = ()
    threshold_goal: str = ""
    temperatures: tuple = ()
    tokens: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    log: tuple = ()
    members: tuple = ()
    format: int = FORMAT


def folder():
    """Where the models lie that the service and the web app offer."""
    return Path(os.environ.get("ECG_MODELS", Path(__file__).parent / "saved_models"))


def describe(config, data, rows):
    """The card of a model that is about to be trained on these rows."""
    names = chosen_features(config, data)
    features = data.features[rows][:, [data.feature_names.index(name) for name in names]]
    unknown = np.isnan(features).all(axis=0)
    if unknown.any():
        raise ValueError(
            f"no training record has a known {', '.join(np.array(names)[unknown])}, so nothing can be learned from it"
        )
    card = Card(
        classes=data.classes,
        multilabel=data.multilabel,
        leads=data.leads,
        sampling_rate=data.sampling_rate,
        samples=data.signals.shape[1],
        cutting=data.cutting,
        scaling=config.scaling,
        feature_names=names,
        feature_defaults=tuple(np.nanmedian(features, axis=0).tolist()),
        config=asdict(config),
        data=manifest(config, data, rows),
        versions=versions(),
    )
    return replace(card, tokens=vocabulary(config, Inputs(data, card), rows).for_card()) if config.clusters else card


def manifest(config, data, rows):
    """Which data a model is trained on: their source, version, licence, checksums and counts."""
    return {
        "source": data.source,
        "task": data.task,
        "licence": data.licence,
        "checksum": data.checksum,
        "labels_checksum": checksum(data.labels, data.features, data.groups.astype(str), data.split.astype(str)),
        "records": {"train": len(rows), "validation": len(data.rows("validation")), "test": len(data.rows("test"))},
        "counts": {split: class_counts(data, data.rows(split)) for split in SPLITS},
        "notes": list(data.notes),
        "leaks_patients": data.leaks_patients,
        "teachers": {path: checksum(np.fromfile(path, "uint8")) for path in config.teachers},
        "start": {path: checksum(np.fromfile(path, "uint8")) for path in [config.start] if path},
    }


def versions():
    """Versions of what a training depends on; of this code only where it lies in a repository, and there is git."""
    import keras  # here, so that reading a card needs no deep-learning library

    libraries = {name: version(name) for name in ("keras", "numpy", keras.backend.backend())}
    return libraries | {"python": platform.python_version()} | ({"commit": commit()} if commit() else {})


@cache
def commit():
    """The commit of this code, with a mark where its Python files are no longer those of the commit; else empty."""
    try:
        head, changes = (
            subprocess.run(["git", "-C", HERE, *words.split()], capture_output=True, text=True, check=True).stdout
            for words in ("rev-parse HEAD", "status --porcelain -- :(glob)*.py")
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.strip() + (" and changes" if changes else "")


def class_counts(data, rows):
    """How many of these records each class has."""
    return dict(zip(data.classes, data.labels[rows].sum(axis=0).astype(int).tolist(), strict=True))


def vocabulary(config, inputs, rows):
    """What is learned from training beats for reading beats as text."""
    before, after = config.neighbours, 0 if inputs.card.cutting.get("causal") else config.neighbours
    settings = tokens.Vocabulary(config.pieces, config.letters, config.word, (before, after))
    return tokens.fit(*inputs.prepared(rows), settings, config.clusters, config.seed)


def chosen_features(config, data):
    """Names of the features that the model is given: all, or those that begin as the Config says."""
    if config.features is None:
        return data.feature_names
    absent = [start for start in config.features if not any(name.startswith(start) for name in data.feature_names)]
    if absent:
        raise ValueError(f"no feature begins with {', '.join(absent)}; there are: {', '.join(data.feature_names)}")
    return tuple(name for name in data.feature_names if name.startswith(config.features))


def check_fits(path, card, data):
    """Refuse a model that was made for another task, other classes or another kind of split than a Dataset has.

    Raises:
        ValueError: what differs, of both.
    """
    came = {"classes": card.classes, **card.data}
    for name in ("classes", "task", "leaks_patients"):
        has = getattr(data, name)
        if came.get(name, has) != has:
            raise ValueError(f"{path} was made for {name} {came[name]}, but {data.source} {data.task} has {has}")


def checksum(*arrays):
    """A hash of the content of arrays: another one says that labels, features, patients or splits have changed."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def save(path, model, card):
    """Write `path`.h5, `path`.keras and the card `path`.json; returns the `.h5` path.

    Each is written under a temporary name and then renamed, so that no half-written file is ever taken for a model.
    """
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    for suffix in SUFFIXES:
        with writing.whole(_beside(stem, suffix)) as temporary:
            model.save(temporary)
    write(_beside(stem, ".h5"), card)
    return _beside(stem, ".h5")


def write(path, card):
    """Write the card of the model file `path`."""
    with writing.whole(path.with_suffix(".json")) as temporary:
        temporary.write_text(as_json(card) + "\n")


def as_json(card):
    """The text of a card."""
    return json.dumps(asdict(card), indent=1)


def _beside(stem, suffix):
    return stem.with_name(stem.name + suffix)  # with_suffix would cut "crop2.5" at its dot


def read(path):
    """The card beside the model file `path`; if there is none, that inside it, which only ONNX files have.

    Raises:
        FileNotFoundError: there is no card.
        ValueError: it is of another format version, or not a card.
    """
    beside = Path(path).with_suffix(".json")
    if beside.exists():
        return _parse(beside.read_text(), beside)
    inside = runtimes.Onnx(path).metadata if Path(path).suffix == ONNX and Path(path).exists() else {}
    if "card" not in inside:
        raise FileNotFoundError(f"no card {beside}; a model is used together with the .json that was saved beside it")
    return _parse(inside["card"], path)


def _parse(text, path):
    """The card that is written in `text`, which `path` holds."""
    try:
        values = json.loads(text)
        if values.get("format") != FORMAT:
            raise ValueError(f"{path} has card format {values.get('format')}, but this version reads format {FORMAT}")
        return Card(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a card of this project: {error}") from error


def ensemble(path, members):
    """The card, to be written to `path`, of the mean of saved models that take and give the same.

    Raises:
        ValueError: members with other inputs, classes or data, or that are not Keras models.
    """
    for member in members:
        if Path(member).suffix == ONNX:
            raise ValueError(f"{member} cannot be in an ensemble; export the ensemble of what it was exported from")
    cards = [read(member) for member in members]
    for member, card in zip(members, cards, strict=True):
        for name in INPUTS:
            if getattr(card, name) != getattr(cards[0], name):
                raise ValueError(
                    f"{member} has {name} {getattr(card, name)}, but {members[0]} has {getattr(cards[0], name)}"
                )
        for name in ("source", "task", "checksum", "leaks_patients"):
            if card.data.get(name) != cards[0].data.get(name):
                raise ValueError(f"{member} was trained on data of another {name} than {members[0]}")
    first, names = cards[0], tuple(os.path.relpath(member, Path(path).parent) for member in members)
    return replace(first, members=names, temperatures=(), thresholds=(), scores={}, log=())


def load(path):
    """The model at `path` and its card; for the card of an ensemble, the mean of its members.

    An `.onnx` file is opened by ONNX Runtime, without Keras, and can do what `runtimes.Onnx` says.

    Raises:
        FileNotFoundError: model or card is missing.
        ValueError: another kind of file, or a card that does not fit the model.
    """
    path = Path(path)
    if path.suffix == ".json" and (card := read(path)).members:
        return _mean([load(path.parent / member)[0] for member in card.members], path.stem), card
    if path.suffix not in (*SUFFIXES, ONNX):
        raise ValueError(
            f"{path} is no model file; its name must end with one of {', '.join((*SUFFIXES, ONNX))}, "
            "or be an ensemble's card"
        )
    if not path.exists():
        raise FileNotFoundError(f"no model {path}; train one with: python training.py")
    card = read(path)
    model = _open_onnx(path, card) if path.suffix == ONNX else _open_keras(path)
    expected = ((card.samples, len(card.leads)), len(card.classes))
    came = (tuple(model.inputs[0].shape[1:]), model.output_shape[-1])
    if card.tokens:
        expected = ((Inputs(None, card).length,), len(card.classes))
    if card.tokens and path.suffix != ONNX:  # which does not tell the size of its vocabulary
        expected = ((*expected[0], tokens.Vocabulary.of(card).size), expected[1])
        came = ((*came[0], model.get_layer("embedding").input_dim), came[1])
    if came != expected:
        raise ValueError(f"{path} takes and gives {came}, but its card is of another model, with {expected}")
    return model, card


def _open_keras(path):
    import keras

    return keras.models.load_model(path, compile=False)


def _open_onnx(path, card):
    """An ONNX file, unless the model was trained anew since, and with it the card beside the file."""
    model = runtimes.Onnx(path)
    inside = model.metadata.get("card")
    if inside and _as_trained(_parse(inside, path)) != _as_trained(card):
        raise ValueError(f"{path} was exported before the training that {path.with_suffix('.json')} is of")
    return model


def _as_trained(card):
    """A card without what may be chosen after the training, and with its members wherever they lie."""
    names = tuple(Path(member).name for member in card.members)
    return replace(card, thresholds=(), threshold_goal="", temperatures=(), scores={}, members=names)


def _mean(members, name):
    """One network that gives the mean of its members' probabilities."""
    import keras

    inputs = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in members[0].inputs]
    told = [keras.Model(one.inputs, one.output, name=f"member_{i}")(inputs) for i, one in enumerate(members)]
    mean = keras.layers.Average(name="probabilities")(told)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], mean, name=name)
