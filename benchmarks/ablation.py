"""What weighting of rare classes, features and shapes of beats are worth: one network, one change at a time.

    python benchmarks/ablation.py

Trains recipe `cnn-lstm-context` on MIT-BIH, inter-patient, with each change, and scores it on the validation patients;
nothing here looks at the test split. Writes `results/ablation.md` and goes on where it was interrupted.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import assessment  # noqa: E402  they lie in the folder above
import card as cards  # noqa: E402
import metrics  # noqa: E402
import recipes  # noqa: E402
import report  # noqa: E402
import state  # noqa: E402
import training  # noqa: E402
import writing  # noqa: E402
from inputs import Inputs, predict_rows  # noqa: E402

UNWEIGHTED = {"class_weight_power": 0.0}
CHANGES = {
    "as the recipe has it": {},
    "no weighting": UNWEIGHTED,
    "weighted sampling": UNWEIGHTED | {"sampling_power": 1.0},
    "SMOTE": UNWEIGHTED | {"smote": 1.0},
    "square-root weights": {"class_weight_power": 0.5},
    "balanced weights": {"class_weight_power": 1.0},
    "no features": {"features": ()},
    "RR features": {"features": ("RR", "mean of 10 RR", "mean heart rate")},
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
        rows.append({"change": name} | scores(folder / "model.h5", data))
        table = pd.DataFrame(rows).map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
        with writing.whole(ROOT / "results" / "ablation.md") as temporary:
            temporary.write_text(report.markdown(table) + "\n")
    print(report.markdown(table))


def scores(path, data):
    """Scores of a model on validation records, with the F1 of each of the AAMI figures."""
    model, card = cards.load(path)
    rows = data.rows("validation")
    labels, told = data.labels[rows], predict_rows(model, Inputs(data, card), rows)
    matrix = labels.T @ metrics.decide(told, ())
    figures = {name: float(value) for name, value in assessment.aami_figures(matrix).items() if name.endswith("F1")}
    return {name: metrics.scores(labels, told, ())[name] for name in ("accuracy", "macro_auc")} | figures


if __name__ == "__main__":
    main()
