"""The report of an evaluation: JSON, CSV, Markdown for a terminal, and one HTML page that needs no network."""

import base64
import html
import io
import json

import numpy as np
import pandas as pd

import card as cards
import metrics
import plots

HEADLINES = {
    "macro_auc": "macro AUC",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "macro_f1": "F1",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 85rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 0.9rem }
td, th { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap }
th { border-bottom: 1px solid #888 } td:first-child, th:first-child { text-align: left }
tbody tr:nth-child(even) { background: #f5f5f5 } img { max-width: 100% } .mind { color: #a00 }
"""


def write(result, predictions, folder):
    """Write metrics.json, a CSV file for each table, and report.html into `folder`."""
    with cards.whole(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    for name, table in tables(result).items():
        with cards.whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    with cards.whole(folder / "report.html") as temporary:
        temporary.write_text(as_html(result, predictions))


def tables(result):
    """Every table of the report as numbers, by name."""
    models = [
        {"model": model["model"]} | flat(model) | {"calibration_error": model["calibration_error"]}
        for model in result["models"]
    ]
    confusion = result["confusion_matrices"]
    counts = [dict(zip(("tn", "fp", "fn", "tp"), np.ravel(confusion[name]), strict=True)) for name in confusion]
    classes = [
        {"class": name} | scores | count
        for (name, scores), count in zip(result["classes"].items(), counts, strict=True)
    ]
    groups = [{"group": row["group"], "records": row["records"]} | flat(row) for row in result["subgroups"]]
    rows = {"models": models, "classes": classes, "subgroups": groups, "errors": result["errors"]}
    return {name: pd.DataFrame(part) for name, part in rows.items()}


def flat(row):
    """Scores with the two ends of their intervals, in one dict."""
    ends = {
        f"{name}_{end}": row["intervals"][name][i] for name in row["scores"] for i, end in enumerate(("low", "high"))
    }
    return row["scores"] | ends


def shown(result):
    """The same tables as a person reads them: rounded, intervals in brackets."""
    models = [
        {"model": model["model"]} | with_intervals(model) | {"ECE": calibration(model)} for model in result["models"]
    ]
    differences = [
        {"model": model["model"]} | {title: brackets(model["differences"][name]) for name, title in HEADLINES.items()}
        for model in result["models"][1:]
        if not model["model"].startswith("naive")
    ]
    groups = [
        {"group": row["group"], "records": f"{row['records']:,}"} | with_intervals(row) for row in result["subgroups"]
    ]
    classes = tables(result)["classes"].map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    errors = tables(result)["errors"].map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    return {
        "Models": pd.DataFrame(models),
        "Differences from the first model, 95 % intervals, paired": pd.DataFrame(differences),
        "Classes (first model)": classes,
        "Subgroups (first model)": pd.DataFrame(groups),
        "Surest errors (first model)": errors,
    }


def with_intervals(row):
    return {title: f"{row['scores'][name]:.4f} {brackets(row['intervals'][name])}" for name, title in HEADLINES.items()}


def brackets(interval):
    return "[{:.3f}, {:.3f}]".format(*interval)


def calibration(model):
    return f"{model['calibration_error']:.3f} → {model['calibration_error_with_temperatures']:.3f}"


def summary(result):
    """What was scored and how, as lines."""
    goal = result["threshold_goal"]
    lines = [
        f"{result['source']}: {result['records']:,} test records of {result['patients']:,} patients.",
        f"Thresholds: chosen on validation for the goal {goal}."
        if goal.partition("=")[0] in metrics.GOALS
        else f"Thresholds: {goal} for every class.",
        f"In brackets: 95 % intervals of {result['bootstrap_samples']:,} bootstrap samples over patients. "
        "ECE: expected calibration error, before and after one temperature for each class, fitted on validation.",
    ]
    if result["samples_without_a_class"]:
        lines.append(f"In {result['samples_without_a_class']} samples a class was absent: left out of their macro AUC.")
    if result["leaks_patients"]:
        lines.append("Mind: patients stand in several splits, so these are not the scores for new patients.")
    return lines


def as_text(result):
    """The tables of models and classes in Markdown, for a terminal and for documents alike."""
    parts = shown(result)
    chosen = [part for part in list(parts.values())[:3] if len(part)]
    return "\n\n".join(["\n".join(summary(result)), *(markdown(part) for part in chosen)])


def markdown(table):
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_html(result, predictions):
    """One page with every table and figure."""
    sections = [
        f"<h1>{html.escape(result['source'])}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in summary(result)),
    ]
    for title, table in shown(result).items():
        if len(table):
            sections += [f"<h2>{html.escape(title)}</h2>", table.to_html(index=False, border=0)]
    for title, figure in figures(result, predictions):
        sections += [f"<h2>{html.escape(title)}</h2>", picture(figure, title)]
    head = f'<meta charset="utf-8"><title>{html.escape(result["source"])}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(sections)}</body></html>\n'


def figures(result, predictions):
    """Title and figure, one after the other: all of the first model, on test records."""
    test = predictions["split"] == "test"
    labels, probabilities = predictions["labels"][test], predictions["probabilities"][0][test].astype("float64")
    first, classes = result["models"][0], list(result["classes"])
    calibrated = metrics.calibrate(probabilities, first["temperatures"])
    yield "Confusion matrices", plots.confusion_matrices(result["confusion_matrices"])
    yield "Curves", plots.curves(labels, probabilities, classes)
    yield "Probabilities", plots.score_histograms(labels, probabilities, first["thresholds"], classes)
    yield "Reliability", plots.reliability(labels, probabilities, calibrated, classes)
    log = pd.DataFrame(json.loads(str(predictions["log"])))
    if len(log):
        yield "Training", plots.training_curve(log)
    for record, wrong in pd.DataFrame(result["errors"]).groupby("record", sort=False) if result["errors"] else ():
        which = list(predictions["names"][predictions["wrong"]]).index(record)
        told = "; ".join(f"{e['class']} {e['probability']:.2f}, truth {e['truth']}" for _, e in wrong.iterrows())
        signals = predictions["wrong_signals"][which]
        yield f"Error: {record}", plots.ecg(signals, predictions["leads"], float(predictions["sampling_rate"]), told)


def picture(figure, title):
    """A figure inside the page, as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
