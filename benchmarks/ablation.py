"""What weighting of rare classes, features, shapes and made rhythms are worth: one network, one change at a time.

    python benchmarks/ablation.py

Trains recipe `cnn-lstm-context` on MIT-BIH, inter-patient, with each change, and scores it on the validation patients,
as recorded and with their beats in other rhythms; nothing here looks at the test split. Writes `results/ablation.md`
and goes on where it was interrupted.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

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
import metrics  # noqa: E402
import recipes  # noqa: E402
import report  # noqa: E402
import state  # noqa: E402
import training  # noqa: E402
import writing  # noqa: E402
from inputs import Inputs, Recorded, predict_rows  # noqa: E402

UNWEIGHTED = {"class_weight_power": 0.0}
CHANGES = {
    "as the recipe has it": {},
    "no weighting": UNWEIGHTED,
    "weighted sampling": UNWEIGHTED | {"sampling_power": 1.0},
    "SMOTE": UNWEIGHTED | {"smote": 1.0},
    "square-root weights": {"class_weight_power": 0.5},
    "balanced weights": {"class_weight_power": 1.0},
    "no features": {"features": ()},
    "RR features": {"features": ("RR", "mean of 10 RR", "mean heart rate", "log")},
    "no features of the beats around": {"features": recipes.RHYTHM + recipes.FIRST},
    "features by mean and deviation": {"feature_scaling": "deviation"},
    "no made rhythms": {"rhythms": None},
    "all features": {"features": None},
    "raw beats": {"deviation": None},
    "both leads": {"leads": ("MLII/V5", "other")},
    "raw beats of both leads": {"deviation": None, "leads": ("MLII/V5", "other")},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe = recipes.RECIPES["cnn-lstm-context"]
    parser.add_argument("--epochs", type=int, default=recipe.epochs, help="of each training (default: %(default)s)")
    recipes.add_data_arguments(parser)
    options = parser.parse_args()
    rows = []
    for name, change in CHANGES.items():
        config = replace(recipe, epochs=options.epochs, **change)
        data = recipes.read_data(config, options)
        folder = ROOT / "results" / "ablation" / name.replace(" ", "-")
        if not (folder / "model.h5").exists():
            training.train(config, data, folder, resume=(folder / state.STATE).exists())
        rows.append({"change": name} | scores(folder / "model.h5", data, options))
        table = pd.DataFrame(rows).map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
        with writing.whole(ROOT / "results" / "ablation.md") as temporary:
            temporary.write_text(report.markdown(table) + "\n")
    print(report.markdown(table))


def scores(path, data, options):
    """Scores of a model on validation records, with the F1 of each of the AAMI figures, and on other rhythms."""
    model, card = cards.load(path)
    rows = data.rows("validation")
    labels, told = data.labels[rows], predict_rows(model, Inputs(data, card), rows)
    made, made_labels = in_other_rhythms(card, options.data_dir)
    told_of_made = predict_rows(model, Inputs(made, card), np.arange(len(made_labels)))
    figures = {f"{name}, made rhythms": value for name, value in f1_scores(made_labels, told_of_made).items()}
    own = {name: metrics.scores(labels, told, ())[name] for name in ("accuracy", "macro_auc")}
    return own | f1_scores(labels, told) | {name: figures[name] for name in figures if not name.startswith("VEB")}


def f1_scores(labels, told):
    """The F1 of each of the AAMI figures."""
    figures = assessment.aami_figures(labels.T @ metrics.decide(told, ()))
    return {name: float(value) for name, value in figures.items() if name.endswith("F1")}


def in_other_rhythms(card, data_dir, count=2):
    """Beats of the validation patients in rhythms that were made of them, and their labels `(beats, classes)`."""
    folder, options = dataset.folder(data_mitbih.FOLDER, data_dir), cutting.Cutting.of(card)
    names = beats.INTER_PATIENT["validation"]
    cuts = {name: data_mitbih.cut_record(folder, name, options, count) for name in names}
    signals, features, classes = (data_mitbih.join(cuts, key) for key in ("signals", "features", "classes"))
    made = data_mitbih.join(cuts, "rows")["rhythm"] > 0
    feature_names = beats.feature_names(card.leads, options.causal)
    recorded = Recorded(signals[made], card.leads, card.sampling_rate, features[made], feature_names)
    return recorded, np.eye(len(card.classes))[classes[made]]


if __name__ == "__main__":
    main()
