"""Validation recordings of PTB-XL and MIT-BIH, and what models tell of them as `predict.py` would; no test data."""

import functools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import beats  # noqa: E402  they lie in the folder above
import card as cards  # noqa: E402
import cutting  # noqa: E402
import data_mitbih  # noqa: E402
import dataset  # noqa: E402
import predict  # noqa: E402
import wfdb_files  # noqa: E402
from inputs import Inputs, Recorded, predict_rows  # noqa: E402

SEED = 0  # of the draw of records


class Recording(NamedTuple):
    """A recording with what is known about it.

    Attributes:
        about: of PTB-XL its labels, and features by name; of MIT-BIH when annotations are, in seconds, and their
            symbols.
    """

    name: str
    record: wfdb_files.Record
    about: tuple


def read_ptbxl(records):
    """So many records of fold 9, drawn at random."""
    data = dataset.load("ptbxl")
    rows = np.sort(np.random.default_rng(SEED).permutation(data.rows("validation"))[:records])
    names = [name.split()[0] for name in data.feature_names]
    return [
        Recording(
            data.records["name"].iloc[row],
            record_of(data.signals[row], data.leads, data.sampling_rate),
            (data.labels[row], dict(zip(names, data.features[row], strict=True))),
        )
        for row in rows
    ]


def read_mitbih(minutes):
    """The first minutes of each validation patient."""
    folder, recordings = dataset.folder(data_mitbih.FOLDER), []
    for name in beats.INTER_PATIENT["validation"]:
        record = wfdb_files.read_record(folder, name)
        samples, symbols = wfdb_files.read_annotations(folder, name, len(record.digital))
        rate = record.layout.sampling_rate
        length = round(60 * minutes * rate)
        part = record_of(record.millivolts()[:length], record.layout.leads, rate)
        inside = samples < length
        recordings.append(Recording(name, part, (samples[inside] / rate, symbols[inside])))
    return recordings


def record_of(signals, leads, sampling_rate):
    """The Record of millivolts, which are not integers here."""
    ones = np.ones(len(leads))
    return wfdb_files.Record(signals, ones, 0 * ones, wfdb_files.Layout(len(signals), tuple(leads), sampling_rate))


def tell_wholes(path, recordings):
    """Labels and probabilities `(records, classes)` of a model of whole records."""
    model, card = opened(path)
    prepared = [predict.prepare_record(card, recording.record, recording.about[1]) for recording in recordings]
    labels = np.stack([recording.about[0] for recording in recordings])
    return labels, predict.predict_together(model, prepared)


def tell_parts(path, recordings):
    """Labels and probabilities of a model of beats or segments, `(parts, classes)`."""
    model, card = opened(path)
    options = cutting.Cutting.of(card)
    cuts = {recording.name: cut(recording, options) for recording in recordings}
    rows = pd.DataFrame(data_mitbih.join(cuts, "rows"))
    rows["name"] = np.repeat(list(cuts), [len(one["rows"]) for one in cuts.values()])
    names = beats.feature_names(card.leads, options.causal) if options.task == "beats" else ()
    signals, features = data_mitbih.join(cuts, "signals"), data_mitbih.join(cuts, "features")
    recorded = Recorded(signals, card.leads, card.sampling_rate, features, names, rows)
    told = predict_rows(model, Inputs(recorded, card), np.arange(len(rows)))
    return np.eye(len(card.classes))[data_mitbih.join(cuts, "classes")], told


def cut(recording, options):
    """What is cut from a recording of MIT-BIH."""
    times, symbols = recording.about
    samples = np.round(times * recording.record.layout.sampling_rate).astype(int)
    return data_mitbih.LABELLED[options.task](recording.record, samples, symbols, options)


@functools.cache
def opened(path):
    """A model and its card; by ONNX Runtime where it can."""
    onnx = path.with_suffix(".onnx")
    return cards.load(onnx if onnx.exists() else path)
