"""What scores of models become as recordings get worse: `python benchmarks/robustness.py [MODEL ...]`, or all shipped.

Real noise of NSTDB is added, leads go missing, electrodes are reversed, sampling rates and gains are others. Models
take such recordings as `predict.py` would; R-peaks of beats are those annotated. Only validation data are looked at:
records of PTB-XL's fold 9, and the first minutes of the validation patients of MIT-BIH's DS1. A model that refuses a
recording has no score there.

Scores are kept in `results/robustness.json`, condition by condition: a run that was killed goes on, and a model that
was trained anew is scored anew. Tables go to `results/robustness.md`, pictures to `docs/pictures/`; when models are
named, to `results/` as well.
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
from validation import ROOT, SEED, opened, read_mitbih, read_ptbxl, record_of, tell_parts, tell_wholes

sys.path.insert(0, str(ROOT))
import assessment  # noqa: E402  they lie in the folder above
import card as cards  # noqa: E402
import dataset  # noqa: E402
import faults  # noqa: E402
import metrics  # noqa: E402
import plots  # noqa: E402
import preprocessing  # noqa: E402
import report  # noqa: E402
import writing  # noqa: E402

RESULTS = ROOT / "results" / "robustness.json"
DECIBELS = (24, 18, 12, 6, 0, -6)
RATES = (250, 360, 500, 1000)  # Hz
GAINS = (0.5, 2, 10)
CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
FALL = 0.05  # of a score; less is not worth a word
FALLS = f"falls by more than {FALL}, or refuses"
NSV = "N, S, V macro F1"  # by which models of beats are compared; others by macro AUC


class Condition(NamedTuple):
    """What goes wrong with every recording.

    Attributes:
        noise: a name in faults.NOISES, and the ratio of the signal to it in decibels. lost: leads.
        reversed: a name in faults.REVERSED. rate: another sampling rate, in hertz.
    """

    family: str
    name: str
    noise: tuple = ()
    lost: tuple = ()
    reversed: str = ""
    rate: int = 0
    gain: float = 1.0


class Database(NamedTuple):
    """Where recordings come from and how models tell of them.

    Attributes:
        read: from an amount to Recordings. amount: the option that says it.
        tell: from the path of a model and Recordings to labels and probabilities.
        score: what models are compared by, for pictures.
        lost: leads, by what their loss is called. reversed: names in faults.REVERSED.
    """

    read: Callable
    amount: str
    tell: Callable
    score: str
    lost: dict
    reversed: tuple


TASKS = {"PTB-XL": ("superclass",), "MIT-BIH": ("beats", "segments")}  # whose labels are read
DATABASES = {  # by how the source on a card begins
    "PTB-XL": Database(
        read_ptbxl,
        "records",
        tell_wholes,
        "macro AUC",
        {
            "II": ("II",),
            "V1": ("V1",),
            "V1 to V6": CHEST,
            "all but I and II": ("III", "AVR", "AVL", "AVF", *CHEST),
            "all but I": ("II", "III", "AVR", "AVL", "AVF", *CHEST),
        },
        tuple(faults.REVERSED),
    ),
    "MIT-BIH": Database(
        read_mitbih,
        "minutes",
        tell_parts,
        f"{NSV} (segments: macro AUC)",
        {"the first": ("MLII",), "the second": CHEST},
        ("right arm and left leg",),
    ),
}


def conditions(database):
    """All Conditions of a Database, the recordings as they are first."""
    return [
        Condition("as recorded", ""),
        *(Condition(faults.NOISES[name], f"{dB} dB", noise=(name, dB)) for name in faults.NOISES for dB in DECIBELS),
        *(Condition("leads missing", name, lost=lost) for name, lost in database.lost.items()),
        *(Condition("electrodes reversed", name, reversed=name) for name in database.reversed),
        *(Condition("sampling rate", f"{rate} Hz", rate=rate) for rate in RATES),
        *(Condition("gain", f"x {gain:g}", gain=gain) for gain in GAINS),
    ]


def worsened(record, condition, rng):
    """A Record under a Condition."""
    signals, (_, leads, rate) = record.millivolts() * np.float32(condition.gain), record.layout
    if condition.noise:
        name, decibels = condition.noise
        signals = faults.add_noise(signals, leads, noise(name, rate), decibels, rng)
    if condition.reversed:
        signals = faults.reverse(signals, leads, condition.reversed)
    if condition.rate:
        signals, rate = preprocessing.resample(signals[None], rate, condition.rate)[0], condition.rate
    return record_of(faults.lose(signals, leads, condition.lost), leads, rate)


@functools.cache
def noise(name, rate):
    """Real noise at a sampling rate; see `faults.read_noise`."""
    return faults.read_noise(dataset.folder("nstdb"), name, rate)


def all_worsened(recordings, condition):
    """Recordings under a Condition; the noise of each is the same in every run, and at every ratio."""
    streams = (np.random.default_rng((SEED, number)) for number in range(len(recordings)))
    return [
        one._replace(record=worsened(one.record, condition, rng)) for one, rng in zip(recordings, streams, strict=True)
    ]


def shipped():
    """Paths of the models in `saved_models/`; of an ensemble, that of its card."""
    paths = sorted((ROOT / "saved_models").glob("*.json"))
    return [path if cards.read(path).members else path.with_suffix(".h5") for path in paths]


def judged(path):
    """Whether a model's classes are those that are read of its database."""
    return cards.read(path).data["task"] in TASKS[database_of(path)]


def name_of(path):
    """A model's name, or that of its training run."""
    return path.parent.name if path.stem == "model" else path.stem


def members_of(path):
    """Paths of the models that an ensemble is the mean of; of another model, its own."""
    return [path.parent / member for member in cards.read(path).members] or [path]


def database_of(path):
    """The name of the Database that a model was trained on."""
    source = cards.read(path).data["source"]
    found = [name for name in DATABASES if source.startswith(name)]
    if not found:
        raise ValueError(f"{path} was trained on {source}; there are conditions for: {', '.join(DATABASES)}")
    return found[0]


def fingerprint(path, options):
    """A hash of what scores depend on besides the condition: the model's files, and how much is read."""
    files = [np.fromfile(member, "uint8") for member in members_of(path)]
    return cards.checksum(*files, np.array([getattr(options, DATABASES[database_of(path)].amount), SEED], float))


def score(card, labels, told):
    """Scores of probabilities by name."""
    scores = metrics.scores(labels, told, card.thresholds)
    if list(card.classes) == assessment.AAMI:
        scores |= assessment.aami_figures(labels.T @ metrics.decide(told, card.thresholds))
    return {name: round(float(value), 5) for name, value in scores.items() if np.isfinite(value)}


def scores_of(paths, tell, recordings):
    """Path and scores of each model; instead of scores the reason, under "refused", if it refuses a recording."""
    tell = functools.cache(functools.partial(tell, recordings=recordings))  # an ensemble asks for its members again
    for path in paths:
        try:
            labels, told = zip(*map(tell, members_of(path)), strict=True)
        except ValueError as error:
            yield path, {"refused": str(error)}
        else:
            yield path, score(cards.read(path), labels[0], np.mean(told, axis=0))


def measure(name, prints, options, rows):
    """Add to `rows` the scores of models on a database that are not there yet; writes them after each condition.

    Args:
        prints: fingerprints by path of the model.
    """
    database = DATABASES[name]
    recordings = database.read(getattr(options, database.amount))
    for condition in conditions(database):
        about = {"database": name, "family": condition.family, "condition": condition.name}
        done = [row["of"] for row in rows if about.items() <= row.items()]
        missing = [path for path in prints if prints[path] not in done]
        if missing:
            for path in missing:
                [*map(opened, members_of(path))]  # first, since a file that is damaged is no refusal
            for path, scores in scores_of(missing, database.tell, all_worsened(recordings, condition)):
                same = about | {"model": name_of(path)}
                rows[:] = [row for row in rows if not same.items() <= row.items()]  # of the model before
                rows.append(same | {"of": prints[path], "scores": scores})
                print(f"{name_of(path):22} {condition.family} {condition.name}: {cell(main_score(scores))}", flush=True)
            with writing.whole(RESULTS) as temporary:
                temporary.write_text(json.dumps(rows, indent=1) + "\n")


def score_name(scores):
    """The score of these by which models are compared."""
    return NSV if NSV in scores else "macro_auc"


def main_score(scores):
    """Its value; NaN where the model refused."""
    return scores.get(score_name(scores), np.nan)


def cell(score):
    return "refused" if np.isnan(score) else f"{score:.3f}"


def compared(rows):
    """Main scores of rows of one database, a row for each condition and a column for each model."""
    scores = [row | {"score": main_score(row["scores"])} for row in rows]
    return pd.DataFrame(scores).set_index(["family", "condition", "model"])["score"].unstack(sort=False)


def falls(table):
    """Under what each model of a table falls by more than FALL, or refuses: a row for each model."""
    for model, scores in table.items():
        fallen = scores[~(scores.iloc[0] - scores <= FALL)].reset_index()
        where = "; ".join(
            f"{family}: {', '.join(part['condition'])}" for family, part in fallen.groupby("family", sort=False)
        )
        yield {"model": model, "as recorded": cell(scores.iloc[0]), FALLS: where}


def as_text(tables):
    """The tables in Markdown: one of falls, then one for each database."""
    of_falls = pd.DataFrame([row for table in tables.values() for row in falls(table)])
    return "\n\n".join(map(report.markdown, [of_falls, *(table.map(cell).reset_index() for table in tables.values())]))


def draw(tables, folder):
    """Pictures of each database: scores against noise, and under everything else."""
    for name, table in tables.items():
        noise = table.loc[["as recorded", *faults.NOISES.values()]]
        others = table.drop(index=list(faults.NOISES.values()), level="family")
        for what, plot, part in (("noise", plots.against_noise, noise), ("faults", plots.scores_by_row, others)):
            with writing.whole(folder / f"robustness-{name.lower()}-{what}.png") as temporary:
                plot(part, DATABASES[name].score).savefig(temporary, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="models with their cards; all shipped when not given")
    parser.add_argument("--records", type=int, default=400, help="of PTB-XL (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30, help="of each of MIT-BIH (default: %(default)s)")
    options = parser.parse_args()
    rows, tables = json.loads(RESULTS.read_text()) if RESULTS.exists() else [], {}
    prints = {path: fingerprint(path, options) for path in options.models or filter(judged, shipped())}
    for name in dict.fromkeys(map(database_of, prints)):
        own = {path: prints[path] for path in prints if database_of(path) == name}
        measure(name, own, options, rows)
        tables[name] = compared([row for row in rows if row["of"] in own.values()])
    text = as_text(tables)
    print(text)
    if not options.models:
        with writing.whole(RESULTS.with_suffix(".md")) as temporary:
            temporary.write_text(text + "\n")
    draw(tables, RESULTS.parent if options.models else ROOT / "docs" / "pictures")


if __name__ == "__main__":
    main()
