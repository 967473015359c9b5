"""What the scores of shipped models become as recordings get worse: `python benchmarks/robustness.py`.

Real noise of NSTDB is added, leads go missing, electrodes are reversed, sampling rates and gains are others. Models
take such recordings as `predict.py` would; R-peaks of beats are those annotated. Only validation data are looked at:
records of PTB-XL's fold 9, and the first minutes of the validation patients of MIT-BIH's DS1. A model that refuses a
recording has no score there.

Scores are kept in `results/robustness.json` one by one: a run that was killed goes on, and a model that was trained
anew is scored anew. Tables go to `results/robustness.md`, pictures to `docs/pictures/`.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import assessment  # noqa: E402  they lie in the folder above
import beats  # noqa: E402
import card as cards  # noqa: E402
import cutting  # noqa: E402
import data_mitbih  # noqa: E402
import dataset  # noqa: E402
import faults  # noqa: E402
import metrics  # noqa: E402
import plots  # noqa: E402
import predict  # noqa: E402
import preprocessing  # noqa: E402
import report  # noqa: E402
import wfdb_files  # noqa: E402
import writing  # noqa: E402
from inputs import Inputs, Recorded, predict_rows  # noqa: E402

SHIPPED = ROOT / "saved_models"
RESULTS = ROOT / "results" / "robustness.json"
PICTURES = ROOT / "docs" / "pictures"
DECIBELS = (24, 18, 12, 6, 0, -6)
RATES = (250, 360, 500, 1000)  # Hz
GAINS = (0.5, 2, 10)
CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
FALL = 0.05  # of a score; less is not worth a word
SEED = 0
NSV = "N, S, V macro F1"  # by which models of beats are compared; others by macro AUC


class Recording(NamedTuple):
    """A recording with what is known about it.

    Attributes:
        about: of PTB-XL its labels, and features by name; of MIT-BIH when annotations are, in seconds, and their
            symbols.
    """

    name: str
    record: wfdb_files.Record
    about: tuple


class Condition(NamedTuple):
    """What goes wrong with every recording; `change(signals, leads, sampling_rate, rng)` gives signals and rate."""

    family: str
    name: str
    change: Callable


class Database(NamedTuple):
    """Where recordings come from and how models tell of them.

    Attributes:
        read: from options to Recordings. tell: from a model's name and Recordings to labels and probabilities.
        lost: leads by what their loss is called. reversed: names in faults.REVERSED.
    """

    read: Callable
    tell: Callable
    lost: dict
    reversed: tuple


def read_ptbxl(options):
    """Records of fold 9, drawn at random."""
    data = dataset.load("ptbxl")
    rows = np.sort(np.random.default_rng(SEED).permutation(data.rows("validation"))[: options.records])
    names = [name.split()[0] for name in data.feature_names]
    return [
        Recording(
            data.records["name"].iloc[row],
            record_of(data.signals[row], data.leads, data.sampling_rate),
            (data.labels[row], dict(zip(names, data.features[row], strict=True))),
        )
        for row in rows
    ]


def read_mitbih(options):
    """The first minutes of each validation patient."""
    folder, recordings = dataset.folder(data_mitbih.FOLDER), []
    for name in beats.INTER_PATIENT["validation"]:
        record = wfdb_files.read_record(folder, name)
        samples, symbols = wfdb_files.read_annotations(folder, name, len(record.digital))
        length, rate = round(options.minutes * 60 * record.layout.sampling_rate), record.layout.sampling_rate
        inside = samples < length
        part = record_of(record.millivolts()[:length], record.layout.leads, rate)
        recordings.append(Recording(name, part, (samples[inside] / rate, symbols[inside])))
    return recordings


def record_of(signals, leads, sampling_rate):
    """The Record of millivolts, which are not integers here."""
    ones = np.ones(len(leads))
    return wfdb_files.Record(signals, ones, 0 * ones, wfdb_files.Layout(len(signals), tuple(leads), sampling_rate))


def changed(recording, number, condition):
    """The Recording under a Condition; its noise is the same in every run, and at every ratio."""
    layout, rng = recording.record.layout, np.random.default_rng((SEED, number))
    signals, rate = condition.change(recording.record.millivolts(), layout.leads, layout.sampling_rate, rng)
    return recording._replace(record=record_of(signals, layout.leads, rate))


def tell_wholes(name, recordings):
    """Labels and probabilities `(records, classes)` of a model of whole records."""
    model, card = opened(name)
    prepared = [predict.prepare_record(card, recording.record, recording.about[1]) for recording in recordings]
    labels = np.stack([recording.about[0] for recording in recordings])
    return labels, predict.predict_together(model, prepared)


def tell_parts(name, recordings):
    """Labels and probabilities of a model of beats or segments, `(parts, classes)`."""
    model, card = opened(name)
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


DATABASES = {
    "PTB-XL": Database(
        read_ptbxl,
        tell_wholes,
        {
            "II": ("II",),
            "V1": ("V1",),
            "V1 to V6": CHEST,
            "all but I and II": ("III", "AVR", "AVL", "AVF", *CHEST),
            "all but I": ("II", "III", "AVR", "AVL", "AVF", *CHEST),
        },
        tuple(faults.REVERSED),
    ),
    "MIT-BIH": Database(read_mitbih, tell_parts, {"first": ("MLII",), "second": CHEST}, ("right arm and left leg",)),
}


def conditions(database):
    """All Conditions of a Database, the recordings as they are first."""
    yield Condition("as recorded", "", lambda signals, leads, rate, rng: (signals, rate))
    for record, what in faults.NOISES.items():
        yield from (Condition(what, f"{ratio} dB", functools.partial(noisy, record, ratio)) for ratio in DECIBELS)
    for name, lost in database.lost.items():
        yield Condition("leads missing", name, functools.partial(without, lost))
    for electrodes in database.reversed:
        yield Condition("electrodes reversed", electrodes, functools.partial(crossed, electrodes))
    for wanted in RATES:
        yield Condition("sampling rate", f"{wanted} Hz", functools.partial(sampled, wanted))
    for gain in GAINS:
        yield Condition("gain", f"x {gain:g}", functools.partial(amplified, np.float32(gain)))


def noisy(record, ratio, signals, leads, rate, rng):
    return faults.add_noise(signals, leads, noise(record, rate), ratio, rng), rate


def without(lost, signals, leads, rate, rng):
    return faults.lose(signals, leads, lost), rate


def crossed(electrodes, signals, leads, rate, rng):
    return faults.reverse(signals, leads, electrodes), rate


def sampled(wanted, signals, leads, rate, rng):
    return preprocessing.resample(signals[None], rate, wanted)[0], wanted


def amplified(gain, signals, leads, rate, rng):
    return gain * signals, rate


@functools.cache
def noise(record, rate):
    """A record of NSTDB at a sampling rate."""
    return faults.read_noise(dataset.folder("nstdb"), record, rate)


@functools.cache
def card_of(name):
    """The card of a shipped model."""
    return cards.read(SHIPPED / f"{name}.json")


@functools.cache
def opened(name):
    """A shipped model and its card; by ONNX Runtime where it can."""
    onnx = SHIPPED / f"{name}.onnx"
    return cards.load(onnx if onnx.exists() else onnx.with_suffix(".h5"))


def members_of(name):
    """Names of the models that an ensemble is the mean of; of another model, its own."""
    return [Path(member).stem for member in card_of(name).members] or [name]


def fingerprint(name, options):
    """A hash of what scores depend on besides the condition: the model's files, and how many recordings."""
    files = [np.fromfile(SHIPPED / f"{member}.h5", "uint8") for member in members_of(name)]
    return cards.checksum(*files, np.array([options.records, options.minutes, SEED], float))


def score(card, labels, told):
    """Scores of probabilities by name."""
    scores = metrics.scores(labels, told, card.thresholds)
    if list(card.classes) == assessment.AAMI:
        scores |= assessment.aami_figures(labels.T @ metrics.decide(told, card.thresholds))
    return {name: round(float(value), 5) for name, value in scores.items() if np.isfinite(value)}


def scores_of(models, tell, recordings):
    """Name and scores of each model; instead of scores the reason, under "refused", if it refuses a recording."""
    known = {}  # what single models tell, of which an ensemble is the mean

    def told_by(name):
        if name not in known:
            known[name] = tell(name, recordings)
        return known[name]

    for name in models:
        try:
            labels, told = zip(*map(told_by, members_of(name)), strict=True)
            yield name, score(card_of(name), labels[0], np.mean(told, axis=0))
        except ValueError as error:
            yield name, {"refused": str(error)}


def measure(name, models, options, rows):
    """Add to `rows` the scores of these models on a database that are not there yet, each condition by itself."""
    database, prints = DATABASES[name], {model: fingerprint(model, options) for model in models}
    recordings = database.read(options)
    for condition in conditions(database):
        key = {"database": name, "family": condition.family, "condition": condition.name}
        done = [row["of"] for row in rows if key.items() <= row.items()]
        missing = [model for model in models if prints[model] not in done]
        if not missing:
            continue
        worse = [changed(recording, number, condition) for number, recording in enumerate(recordings)]
        for model, scores in scores_of(missing, database.tell, worse):
            rows.append(key | {"model": model, "of": prints[model], "scores": scores})
            print(f"{model:22} {condition.family} {condition.name}: {cell(main_score(scores), scores)}", flush=True)
        write(rows)


def main_score(scores):
    """The score by which models are compared; NaN where the model refused."""
    return scores.get(NSV, scores.get("macro_auc", np.nan))


def cell(score, scores=()):
    return "refused" if np.isnan(score) else f"{score:.3f}"


def write(rows):
    with writing.whole(RESULTS) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n")


def compared(rows, database):
    """Main scores on a database, a row for each condition and a column for each model."""
    scores = [row | {"score": main_score(row["scores"])} for row in rows if row["database"] == database]
    return pd.DataFrame(scores).set_index(["family", "condition", "model"])["score"].unstack(sort=False)


def falls(table):
    """Under what each model of a table falls by more than FALL, as text: a row for each model."""
    fallen = table.iloc[0] - table > FALL
    for model in table:
        families = fallen[model][fallen[model]].reset_index().groupby("family", sort=False)["condition"]
        where = "; ".join(f"{family}: {', '.join(names)}" for family, names in families)
        yield {"model": model, "as recorded": cell(table[model].iloc[0]), f"falls by more than {FALL} under": where}


def as_text(tables):
    """The tables in Markdown: one of falls, then one for each database."""
    parts = [report.markdown(pd.DataFrame([row for table in tables.values() for row in falls(table)]))]
    for table in tables.values():
        parts.append(report.markdown(table.map(cell).reset_index()))
    return "\n\n".join(parts) + "\n"


def draw(tables):
    """Pictures of each database: scores against noise, and under everything else."""
    for database, table in tables.items():
        noise = table.loc[["as recorded", *faults.NOISES.values()]]
        others = table.drop(index=list(faults.NOISES.values()), level="family")
        for name, figure in (("noise", plots.against_noise(noise)), ("faults", plots.scores_by_row(others))):
            with writing.whole(PICTURES / f"robustness-{database.lower()}-{name}.png") as temporary:
                figure.savefig(temporary, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = sorted(path.stem for path in SHIPPED.glob("*.json"))
    parser.add_argument("--models", nargs="+", default=shipped, choices=shipped, help="names (default: all shipped)")
    parser.add_argument("--records", type=int, default=400, help="of PTB-XL (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="of each of MIT-BIH (default: %(default)s)")
    options = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    prints = [fingerprint(name, options) for name in shipped]
    rows = [row for row in rows if row["of"] in prints]  # others are of models that were trained anew, or other records
    for database in DATABASES:
        models = [name for name in options.models if card_of(name).data["source"].startswith(database)]
        measure(database, models, options, rows)
    measured = dict.fromkeys(row["database"] for row in rows)
    tables = {name: compared(rows, name) for name in measured}
    with writing.whole(RESULTS.with_suffix(".md")) as temporary:
        temporary.write_text(as_text(tables))
    print(as_text(tables))
    draw(tables)


if __name__ == "__main__":
    main()
