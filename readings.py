"""What a model tells of a recording, wherever that comes from: WFDB or CSV files in memory, or the demo."""

import functools
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

import card as cards
import data_demo
import data_heartbeat
import logs
import meanings
import predict
import preprocessing
import uploads
import wfdb_files
from inputs import Inputs, Recorded, patient

PAGE = 10  # seconds of an ECG that is shown at once, where it is told beat by beat
RATE = 500  # Hz of the demo's twelve leads
SEED = 1  # of the demo, the first whose forty records have each class alone
STRIP_RATE = 360  # of its two leads
STRIP = "A minute with early beats"
HEARTBEAT = "heartbeat"  # the task of models that read single beats, not recordings


class Source(NamedTuple):
    """Where a recording comes from: files `(name, content)`, or none for one of the demo; the rate is for CSV."""

    name: str
    files: tuple = ()
    sampling_rate: float | None = None


class Reading(NamedTuple):
    """What a model tells of a recording.

    Attributes:
        card: of the model.
        signals: `(samples, leads)` in millivolt at `sampling_rate`: those `leads` that the model reads.
        inputs: windows, segments or beats as the model is given them. starts: seconds at which they begin `(rows,)`.
        row: the recording's row of a table, by name of column.
        probabilities: `(rows, classes)`; of a whole recording one row, the mean over its windows.
        parts: a row for each beat or segment, as `predict.predict_parts` has them; None for whole recordings.
    """

    card: cards.Card
    signals: np.ndarray
    leads: tuple
    sampling_rate: float
    inputs: Inputs
    starts: np.ndarray
    row: dict
    probabilities: np.ndarray
    parts: pd.DataFrame | None = None

    @property
    def has_beats(self):
        """Whether its parts are beats, of which a page of the ECG has several."""
        return task_of(self.card) in ("beats", HEARTBEAT)

    @property
    def seconds(self):
        """Where beats are and segments begin `(parts,)`."""
        return self.parts["sample"].to_numpy() / self.sampling_rate

    @property
    def places(self):
        """The number of the class of each beat or segment `(parts,)`."""
        return self.parts["class"].map(self.card.classes.index).to_numpy(int)

    @property
    def length(self):
        """Seconds of what the model is given at once."""
        return self.card.samples / self.card.sampling_rate

    def pages(self):
        """Seconds at which pages of the ECG begin, one for each window or segment, and seconds of a page."""
        if self.has_beats:
            return np.arange(0, len(self.signals) / self.sampling_rate, PAGE), PAGE
        return self.starts, self.length

    def rows_on(self, page):
        """The rows of inputs that a page shows, by its number."""
        return np.flatnonzero(self.seconds // PAGE == page) if self.has_beats else np.array([page])

    def page_of(self, row):
        """The number of the page that shows a row of inputs."""
        return int(self.seconds[row] // PAGE) if self.has_beats else row

    def signals_on(self, page):
        """What a page shows of the signals `(samples, leads)`."""
        starts, length = self.pages()
        first, last = (round(seconds * self.sampling_rate) for seconds in (starts[page], starts[page] + length))
        return self.signals[first:last]

    def spans(self, rows):
        """What beats or segments cover: first and last second, where they are, and the number of their class.

        Where two overlap, each has its half.
        """
        if self.parts is None:
            return []
        starts, ends = self.starts[rows], self.starts[rows] + self.length
        middles = (ends[:-1] + starts[1:]) / 2
        where = self.seconds[rows] if self.has_beats else (starts + ends) / 2
        ends[:-1], starts[1:] = np.minimum(ends[:-1], middles), np.maximum(starts[1:], middles)
        return list(zip(starts, ends, where, self.places[rows], strict=True))

    def laid_over(self, relevance, rows, page):
        """Relevance `(rows, samples, leads)` of rows on the time of a page `(steps, leads)`; the larger on overlaps."""
        rate, (starts, length) = self.card.sampling_rate, self.pages()
        laid = np.zeros((round(length * rate), relevance.shape[2]), "float32")
        for value, start in zip(relevance, self.starts[rows], strict=True):
            places = round((start - starts[page]) * rate) + np.arange(len(value))
            inside = (places >= 0) & (places < len(laid))
            there, new = laid[places[inside]], value[inside]
            laid[places[inside]] = np.where(np.abs(new) > np.abs(there), new, there)
        return laid


def task_of(card):
    """What a model reads: "" for whole recordings, "beats", "segments" or HEARTBEAT."""
    return card.cutting.get("task", "")


def read(source, card):
    """The recording of a Source, and what is known of its patient.

    Raises:
        ValueError: what is wrong with the files.
    """
    endings = tuple(sorted(PurePosixPath(name).suffix.lower() for name, _ in source.files))
    if endings not in READERS:
        came = ", ".join(name for name, _ in source.files)
        raise ValueError(
            f"{came} came; a .hea together with its .dat is expected, or one .csv, under a name of its own"
        )
    record, known = READERS[endings](source, card)
    uploads.check_known(known)
    uploads.check_signals(record.millivolts())
    return record, known


def read_wfdb(source, card):
    """A recording of a header and its file of samples, and what the header tells of the patient."""
    predict.check("this model", card, [])
    files = {PurePosixPath(name).suffix.lower(): (name, content) for name, content in source.files}
    name, dat = files[".dat"]
    with uploads.unpacked(files[".hea"][1], dat, name) as path:
        return wfdb_files.read_record(path.parent, path.name), predict.told_by_header(path)


def read_csv(source, card):
    """A recording whose columns are leads; or single beats, whose rows are."""
    leads, numbers = uploads.read_csv(source.files[0][1])
    if not leads and task_of(card) == HEARTBEAT:
        return in_a_row(uploads.heartbeats(numbers, card.samples), card), {}
    if not leads:
        raise ValueError(
            f"rows of {numbers.shape[1]} numbers came without names of leads, as files of single heartbeats have; this "
            f"model reads {meanings.reads(card)}: choose one that reads single heartbeats, if there is any"
        )
    predict.check("this model", card, [])
    if source.sampling_rate is None:
        raise ValueError("a CSV file does not say how many samples a second it has: fill in its sampling rate")
    return uploads.measured(numbers, leads, source.sampling_rate), {}


def in_a_row(beats, card):
    """Single beats `(beats, samples)` one after the other, as a recording."""
    return uploads.measured(beats.reshape(-1, 1), card.leads, card.sampling_rate)


def read_demo(source, card):
    """A recording of the demo."""
    if source.name == STRIP:
        return read_strip(card), {}
    features, signals = demo_records()[demo_names(card).index(source.name)]
    known = {name: float(value) for name, value in zip(("age", "sex"), features, strict=True) if np.isfinite(value)}
    return uploads.measured(signals, data_demo.LEADS, RATE), known


def demo_names(card):
    """Names of the demo's recordings that a model reads."""
    if task_of(card) == HEARTBEAT or not set(card.leads) <= set(data_demo.LEADS):
        return [STRIP]
    return [meanings.titled(name) for name in data_demo.TASKS["superclass"]]


@functools.cache
def demo_records():
    """Features and signals `(samples, leads)` of one synthetic record for each class, which has no other class."""
    data = data_demo.load(None, "superclass", records=40, sampling_rate=RATE, seed=SEED)
    alone = data.labels * (data.labels.sum(axis=1, keepdims=True) == 1)
    return [(data.features[i], data.signals[i]) for i in alone.argmax(axis=0)]


def read_strip(card):
    """The demo's two leads; for models of single heartbeats the beats of the first, each by itself."""
    signals, peaks, _ = data_demo.strip(sampling_rate=STRIP_RATE)
    if task_of(card) != HEARTBEAT:
        return uploads.measured(signals, data_demo.STRIP_LEADS, STRIP_RATE)
    lead = preprocessing.resample(signals[None], STRIP_RATE, card.sampling_rate)[0, :, 0]
    starts = np.round(peaks * (card.sampling_rate / STRIP_RATE)).astype(int)
    lengths = np.round(1.2 * np.diff(starts)).astype(int)
    return in_a_row(data_heartbeat.scale_beats(lead, starts[:-1], lengths), card)


READERS = {(): read_demo, (".csv",): read_csv, (".dat", ".hea"): read_wfdb}  # by endings


def tell(model, card, source, age=None, sex=None):
    """The Reading of a Source by a model; or, as a string, why there is none."""
    try:
        record, known = read(source, card)
        if task_of(card):
            return tell_parts(model, card, record)
        return tell_whole(model, card, record, patient(known, age, sex))
    except (ValueError, OSError, ArithmeticError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception as error:
        logs.failed(error)
        return "this recording made the app fail; its log says where"


def tell_whole(model, card, record, known):
    """The Reading of a recording by a model of whole ones."""
    inputs = predict.windows_of(card, record, known)
    rows = np.arange(len(inputs.data.signals))
    probabilities = uploads.finite(predict.predict_together(model, [inputs[rows]]))
    starts = rows * (card.samples / card.sampling_rate / 2)
    row = predict.named(card, probabilities[0])
    return Reading(card, *leads_of(record, card), inputs, starts, row, probabilities)


def tell_parts(model, card, record):
    """The Reading of a recording by a model of its beats or segments."""
    single = task_of(card) == HEARTBEAT
    inputs, samples = parts_in_a_row(record, card) if single else predict.parts_of(card, record)
    parts = predict.tell_rows(model, inputs, samples)
    row = predict.summary(parts, record.layout.sampling_rate, card.classes)
    row = {name: row[name] for name in card.classes} if single else row  # beats in a row have no rhythm
    before = card.cutting["window"][0] if task_of(card) == "beats" else 0
    starts = samples / record.layout.sampling_rate - before
    probabilities = uploads.finite(parts[list(card.classes)].to_numpy("float64"))
    return Reading(card, *leads_of(record, card), inputs, starts, row, probabilities, parts)


def parts_in_a_row(record, card):
    """Inputs of what `in_a_row` laid out, and the samples at which beats begin."""
    beats = record.millivolts().reshape(-1, card.samples, 1)
    recorded = Recorded(beats, card.leads, card.sampling_rate, np.zeros((len(beats), 0), "float32"), ())
    return Inputs(recorded, card), np.arange(len(beats)) * card.samples


def leads_of(record, card):
    """Those leads of a recording that a model reads `(samples, leads)`, their names, and the sampling rate."""
    layout = record.layout
    signals, names = (
        preprocessing.choose_leads(each, layout.leads, card.leads)
        for each in (record.millivolts(), np.array(layout.leads))
    )
    return signals, tuple(names.tolist()), layout.sampling_rate
