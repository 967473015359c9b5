"""Score a saved model on the test split: `python evaluate.py saved_models/Final-ECG-Model.h5`.

Predictions go to `results/<model>/predictions.npz`, and every number is made from that file alone:
`python evaluate.py --from results/<model>/predictions.npz` makes the report again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix

import card as cards
import metrics
import recipes
from dataset import SPLITS


def predict_split(path, options):
    """Predictions of the model at `path` on a split of the dataset it was made for, as a dict of arrays."""
    import batches  # here, since it brings Keras, which a report made from predictions does without

    model, card = cards.load(path)
    config = recipes.from_json(card.config)
    data = recipes.read_data(config, options)
    if data.classes != card.classes:
        raise ValueError(f"{path} knows the classes {card.classes}, but the data have {data.classes}")
    print(data)
    rows = data.rows(options.split)
    return {
        "labels": data.labels[rows],
        "probabilities": batches.predict_rows(model, data, rows, card),
        "thresholds": np.array(card.thresholds),
        "threshold_goal": card.threshold_goal,
        "groups": data.groups[rows],
        "names": data.records["name"].to_numpy(str)[rows],
        "classes": np.array(data.classes),
        "split": options.split,
        "model": str(path),
        "leaks_patients": data.leaks_patients,
    }


def report(predictions, threshold=None):
    """All scores of a dict of predictions, for JSON; `threshold` takes the place of the card's."""
    labels, probabilities = predictions["labels"], predictions["probabilities"]
    thresholds = predictions["thresholds"] if threshold is None else np.full(labels.shape[1], threshold)
    matrices = multilabel_confusion_matrix(labels, probabilities >= thresholds)
    classes = [str(name) for name in predictions["classes"]]
    return {
        "model": str(predictions["model"]),
        "split": str(predictions["split"]),
        "records": len(labels),
        "leaks_patients": bool(predictions["leaks_patients"]),
        "threshold_rule": str(predictions["threshold_goal"]) if threshold is None else str(threshold),
        "scores": metrics.scores(labels, probabilities, thresholds),
        "classes": dict(zip(classes, metrics.class_scores(labels, probabilities, thresholds), strict=True)),
        "confusion_matrices": dict(zip(classes, matrices.tolist(), strict=True)),
    }


def as_text(report):
    """The report as Markdown tables, for a terminal and for documents alike."""
    rule = "0.5" if report["threshold_rule"] == "0.5" else f"chosen on validation for {report['threshold_rule']}"
    lines = [
        f"{report['model']} on {report['records']:,} {report['split']} records, thresholds {rule}",
        "",
        "| macro AUC | precision | recall | F1 | subset accuracy | Hamming loss |",
        "| --- | --- | --- | --- | --- | --- |",
        "| " + " | ".join(f"{value:.4f}" for value in report["scores"].values()) + " |",
        "",
        "| class | AUC | precision | recall | F1 | true positive | false positive | false negative | true negative |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, scores in report["classes"].items():
        (tn, fp), (fn, tp) = report["confusion_matrices"][name]
        values = ["-" if value is None else f"{value:.3f}" for value in scores.values()] + [
            f"{count:,}" for count in (tp, fp, fn, tn)
        ]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    if report["leaks_patients"]:
        lines += ["", "Patients stand in several splits, so these are not the scores for new patients."]
    return "\n".join(lines)


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="a .h5 or .keras file with its card")
    parser.add_argument("--from", dest="predictions", type=Path, help="a predictions.npz, instead of a model")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: %(default)s")
    parser.add_argument("--threshold", type=float, help="for all classes, instead of the card's thresholds")
    parser.add_argument("--out", type=Path, help="folder; results/MODEL when not given")
    recipes.add_data_arguments(parser)
    options = parser.parse_args(argv)
    if (options.model is None) == (options.predictions is None):
        parser.error("name either a model or, with --from, its predictions")
    if options.predictions:
        folder = options.out or options.predictions.parent
        predictions = dict(np.load(options.predictions))
    else:
        folder = options.out or Path("results") / options.model.stem
        predictions = predict_split(options.model, options)
        with cards.whole(folder / "predictions.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, **predictions)
    result = report(predictions, options.threshold)
    with cards.whole(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    print(as_text(result))
    print(f"\nwritten to {folder}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
