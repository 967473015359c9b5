"""Write `docs/models/`: a card in Markdown and a picture of the network for each shipped model.

    python benchmarks/model_cards.py

Numbers come from the models' own cards, from the predictions of the evaluations named below and from
`results/robustness.json`; only what no file knows is written here. A model whose evaluation is not at hand keeps the
card it has.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import robustness

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import architecture  # noqa: E402  they lie in the folder above
import assessment  # noqa: E402
import card as cards  # noqa: E402
import faults  # noqa: E402
import report  # noqa: E402
import settings  # noqa: E402
import spaces  # noqa: E402
import writing  # noqa: E402

FOLDER = ROOT / "docs" / "models"
TABLES = {  # of a report, and what they are called here
    "Models": "All classes",
    "Classes (first model)": "Each class",
    "AAMI figures": "AAMI figures",
    "Subgroups (first model)": "Subgroups",
    "Recordings (first model)": "Each recording",
}
WARNING = "Research software, not a medical device: no diagnosis, and no decision about a patient, may rest on it."


class Words(NamedTuple):
    """What no file knows of a model.

    Attributes:
        evaluation: folder under results/. what: it is. use: what it is meant for. limits: beside the measured ones.
    """

    evaluation: str
    what: str
    use: str
    limits: tuple


PTBXL_USE = (
    "Research and teaching on ten seconds of resting twelve-lead ECG: as a baseline, as a starting point, for studies "
    "of calibration, explanation and robustness."
)
PTBXL_LIMITS = (
    "Its data are of one collection, made with devices of one maker between 1989 and 1996: other devices, filters, "
    "countries and times were not tried.",
    'The classes are coarse, and rhythm is none of them: "NORM" excludes no arrhythmia.',
    "It takes every lead for what it is called and every sample for millivolts: nothing inside recognises a lost lead, "
    "reversed electrodes or a wrong gain.",
    "An unknown age or sex is replaced by the median of the training patients.",
)
BEATS_USE = (
    "Research and teaching on beats of two-lead ambulatory recordings, for patients that were not trained on: as a "
    "baseline for inter-patient scores."
)
BEATS_LIMITS = (
    "Trained on 17 patients and tested on 22, all recorded before 1980: an interval over so few is wide, and single "
    "patients decide, see the table of recordings.",
    "Paced patients were left out. F is nearly all of one training patient, and Q hardly occurs: read neither.",
    "It was scored at annotated R-peaks; where they have to be found, missed and false ones come on top.",
    "What is usual for a patient is taken from the whole recording: a few beats say too little.",
    "A recording with a constant lead is refused.",
)
MADE = "Its beats to train are those recorded and, half as many or fewer, those of recordings made of them."
WORDS = {
    "Final-ECG-Model": Words(
        "search-test",
        "The release: a residual network with a bidirectional LSTM and attention over time, with the published values, "
        "trained on random crops.",
        PTBXL_USE,
        PTBXL_LIMITS,
    ),
    "ptbxl-crops": Words(
        "search-test",
        "The release before: the same network, trained on random crops with AdamW and cross-entropy.",
        PTBXL_USE,
        PTBXL_LIMITS,
    ),
    "ECG-Ensemble": Words(
        "ptbxl-table",
        "The mean of the probabilities of the five networks of PTB-XL that are shipped.",
        PTBXL_USE,
        (*PTBXL_LIMITS, "It takes the time of five networks."),
    ),
    "ptbxl-statements": Words(
        "ptbxl-table",
        "The network of the release, trained on all 71 statements too, which it groups into the superclasses inside.",
        PTBXL_USE,
        PTBXL_LIMITS,
    ),
    "ptbxl-robust": Words(
        "robust-test",
        "`ptbxl-crops`, trained on for four epochs with lost plugs, wrong gains, noise and wander.",
        f"{PTBXL_USE} For recordings whose leads or gain cannot be relied on; on whole ones others are better.",
        PTBXL_LIMITS,
    ),
    "resnet1d_wang": Words(
        "ptbxl-table", "A reference: the residual network of Wang et al. (2017).", PTBXL_USE, PTBXL_LIMITS
    ),
    "xresnet1d50": Words(
        "ptbxl-table", "A reference: the XResNet of He et al. (2019) in one dimension.", PTBXL_USE, PTBXL_LIMITS
    ),
    "transformer": Words(
        "ptbxl-table", "A reference: attention over patches of a tenth of a second.", PTBXL_USE, PTBXL_LIMITS
    ),
    "cnn-lstm-context": Words(
        "beats-inter",
        "Convolutions and a bidirectional LSTM over beats of one lead less the patient's usual one, with features of "
        "the rhythm and of the beats around; trained on other rhythms of its patients' beats, too.",
        BEATS_USE,
        (MADE, *BEATS_LIMITS),
    ),
    "local-lead-attention": Words(
        "beats-inter",
        "One encoder for every lead, attention within windows of time and over leads, and features of the rhythm and "
        "of the beats around; trained with SMOTE and on other rhythms of its patients' beats, too.",
        BEATS_USE,
        (MADE, *BEATS_LIMITS),
    ),
    "beat-tokens": Words(
        "text-inter",
        "Beats as text: letters, words and clusters, read by an LSTM; its vocabulary is part of the card.",
        BEATS_USE,
        (
            *BEATS_LIMITS,
            "Across patients the order of words is worth nothing: a logistic regression on them is as good.",
        ),
    ),
    "segment-attention": Words(
        "segments-inter",
        "Ten seconds of one lead, normal or abnormal: convolutions and attention of eight heads, from PTB-XL on.",
        "Research and teaching: a first look at long recordings, where most beats of ten seconds are abnormal.",
        (
            "It knows bundle branch blocks, bigeminy and pacemakers; other beats that are not N it often misses.",
            "Its scores on validation data are of four patients, and say little about others.",
        ),
    ),
    "segment-attention-beats": Words(
        "segment-attention-beats-test",
        "The network that segment-attention starts from: lead II of PTB-XL, bundle branch blocks, bigeminy, trigeminy "
        "and pacemakers against the rest.",
        "To start training from, for other single leads of ten seconds.",
        ("A record is abnormal by its statements, which do not say how many of its beats are.",),
    ),
}


def main():
    for path in robustness.shipped():
        name, card = path.stem, cards.read(path)
        evaluation = ROOT / "results" / WORDS[name].evaluation / "predictions.npz"
        if not card.members:
            write_picture(path)
        if not evaluation.exists():
            print(f"no {evaluation.relative_to(ROOT)}: the card of {name} stays as it is")
            continue
        with np.load(evaluation) as saved:
            result = assessment.assess(only(dict(saved), f"saved_models/{path.name}"))
        with writing.whole(FOLDER / f"{name}.md") as temporary:
            temporary.write_text("\n\n".join(sections(name, card, result)) + "\n")
        print(f"docs/models/{name}.md")


def write_picture(path):
    """Draw the network of a model file."""
    model, _ = cards.load(path)
    with writing.whole(FOLDER / f"{path.stem}.png") as temporary:
        architecture.draw(model).savefig(temporary, dpi=90)


def only(predictions, model):
    """The predictions of one of several models."""
    chosen = predictions["models"] == model
    return predictions | {name: predictions[name][chosen] for name in ("models", "probabilities")}


def sections(name, card, result):
    """The parts of a card, one after the other."""
    words = WORDS[name]
    yield f"# {name}\n\n{words.what} {WARNING}"
    yield f"Made by `python benchmarks/model_cards.py`; settings, thresholds and all else: `saved_models/{name}.json`."
    yield report.markdown(pd.DataFrame(about(card), columns=["", ""]))
    yield f"## Intended use\n\n{words.use}"
    yield "\n\n".join(["## Data", *data(card)])
    yield "\n".join(["## Scores\n", *report.summary(result)])
    shown = report.shown(result)
    for title, heading in TABLES.items():
        if len(shown[title]):
            yield f"{heading}:"
            yield report.markdown(shown[title].drop(columns="model", errors="ignore"))
    yield from worse(name)
    yield "## Limits\n\n" + "\n".join(f"- {limit}" for limit in words.limits)
    if not card.members:
        yield f"## Network\n\n![The layers of {name}]({name}.png)"


def about(card):
    """What goes in and what comes out, as rows of two."""
    length = f"{card.samples / card.sampling_rate:g} s at {card.sampling_rate:g} Hz, in millivolt"
    cut = {"beats": "a beat around its R-peak, ", "segments": ""}.get(card.cutting.get("task"), "")
    yield "signals", f"{cut}{length}; leads {' '.join(card.leads)}"
    if card.cutting.get("band"):
        yield "band-pass", " to ".join(f"{bound:g}" for bound in card.cutting["band"]) + " Hz, of the whole recording"
    if card.scaling != "none":
        yield "scaling", card.scaling
    if card.feature_names:
        first, more = card.feature_names[:3], len(card.feature_names) - 3
        yield "features", "; ".join(first) + (f"; and {more} more of rhythm and shape" if more > 0 else "")
    kind = "each its own probability" if card.multilabel else "of which a record has exactly one"
    yield "classes", f"{' '.join(card.classes)}, {kind}"
    if card.thresholds:
        limits = zip(card.classes, card.thresholds, strict=True)
        yield f"thresholds ({card.threshold_goal})", ", ".join(f"{name} {threshold:.3f}" for name, threshold in limits)


def data(card):
    """What it was trained on, and how."""
    counts, config = card.data["records"], settings.from_json(card.config)
    what = card.cutting.get("task", "records")
    divided = "patients stand in several" if card.data["leaks_patients"] else "no patient is in two"
    yield (
        f"{card.data['source']}, task {card.data['task']}, licence {card.data['licence']}: {counts['train']:,} {what} "
        f"to train, {counts['validation']:,} to choose by, {counts['test']:,} to test; {divided} of these."
    )
    if "counts" in card.data:
        splits = {
            split: {name: f"{count:,}" for name, count in of.items()} for split, of in card.data["counts"].items()
        }
        yield report.markdown(pd.DataFrame(splits).T.rename_axis("split").reset_index())
    if card.members:
        links = (f"[{Path(member).stem}]({Path(member).stem}.md)" for member in card.members)
        yield f"It is the mean of {', '.join(links)}."
    else:
        yield f"Trained with `{spaces.command(config)}` for {len(card.log)} epochs."


def worse(name):
    """What becomes of its main score as recordings get worse, where that was measured."""
    rows = json.loads(robustness.RESULTS.read_text()) if robustness.RESULTS.exists() else []
    rows = [row for row in rows if row["model"] == name]
    if not rows:
        return
    scores, score = robustness.compared(rows), robustness.score_name(rows[0]["scores"])
    yield "## When recordings get worse"
    yield (
        f"{report.HEADLINES.get(score, score)} on validation data (`python benchmarks/robustness.py`); as recorded "
        f"{robustness.cell(scores.iloc[0, 0])}."
    )
    ratios = [f"{dB} dB" for dB in robustness.DECIBELS]
    noise = scores[name].unstack(sort=False).loc[list(faults.NOISES.values()), ratios]
    yield report.markdown(noise.map(robustness.cell).rename_axis("noise").reset_index())
    others = scores.drop(index=["as recorded", *faults.NOISES.values()], level="family")
    yield report.markdown(others.map(robustness.cell).reset_index().rename(columns={name: "score"}))
    [fall] = robustness.falls(scores)
    yield f"Where it {robustness.FALLS}: {fall[robustness.FALLS] or 'nowhere'}."


if __name__ == "__main__":
    main()
