"""The report of an evaluation: JSON, CSV, Markdown for a terminal, and one HTML page that needs no network."""

import base64
import html
import io
import json

import numpy as np
import pandas as pd

import metrics
import paper
import plots
import writing

HEADLINES = {
    "macro_auc": "macro AUC",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "macro_f1": "F1",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
}
SHORT = 3  # s; shorter signals are beats
TELLING = ("classes", "words", "weights", "shapes")  # what is known of the words that tell most
ALWAYS = ("models", "classes", "subgroups", "errors")  # tables that are written even if they are empty
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 85rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 0.9rem }
td, th { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap } small { color: #666 }
th { border-bottom: 1px solid #888; white-space: normal } td:first-child, th:first-child { text-align: left }
tbody tr:nth-child(even) { background: #f5f5f5 } img { max-width: 100% } pre { white-space: pre-wrap }
"""


def write(result, predictions, folder):
    """Write metrics.json, a CSV file for each table, report.md and report.html into `folder`."""
    with writing.whole(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    with writing.whole(folder / "report.md") as temporary:
        temporary.write_text(as_text(result) + "\n")
    for name, table in tables(result).items():
        with writing.whole(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    with writing.whole(folder / "report.html") as temporary:
        temporary.write_text(as_html(result, predictions))


def tables(result):
    """Every table of the report as numbers, by name."""
    models = [
        {"model": model["model"]} | flat(model) | {"calibration_error": model["calibration_error"]}
        for model in result["models"]
    ]
    classes = [{"class": name} | scores | counts(result, name) for name, scores in result["classes"].items()]
    groups = [{"group": row["group"], "records": row["records"]} | flat(row) for row in result["subgroups"]]
    rows = {"models": models, "classes": classes, "subgroups": groups, "errors": result["errors"]}
    rows["aami"] = [{"model": row["model"]} | flat(row) for row in result["aami"]]
    rows |= {name: result[name] for name in ("confidence", "recordings")}
    return {name: pd.DataFrame(part) for name, part in rows.items() if part or name in ALWAYS}


def counts(result, name):
    """The row of a class in the confusion matrix, by name; where each class has a matrix, that in one row."""
    matrix = result["confusion_matrices"]
    if result["multilabel"]:
        return dict(zip(("tn", "fp", "fn", "tp"), np.ravel(matrix[name]), strict=True))
    classes = list(result["classes"])
    row = matrix["all classes"][classes.index(name)]
    return {f"as {other}": count for other, count in zip(classes, row, strict=True)}


def flat(row):
    """Scores with the two ends of their intervals, in one dict."""
    intervals = {name: row["intervals"][name] or (None, None) for name in row["scores"]}
    ends = {f"{name}_{end}": pair[i] for name, pair in intervals.items() for i, end in enumerate(("low", "high"))}
    return row["scores"] | ends


def shown(result):
    """The same tables as a person reads them: rounded, intervals in brackets."""
    models = [
        {"model": model["model"]} | with_intervals(model) | {"ECE": calibration(model)} for model in result["models"]
    ]
    differences = [
        {"model": model["model"]} | {HEADLINES[name]: brackets(ends) for name, ends in model["differences"].items()}
        for model in result["models"][1:]
        if not model["model"].startswith("naive")
    ]
    groups = [
        {"group": row["group"], "records": f"{row['records']:,}"} | with_intervals(row) for row in result["subgroups"]
    ]
    figures = [{"model": row["model"]} | with_intervals(row) for row in result["aami"]]
    plain = {name: rounded(table) for name, table in tables(result).items()}
    return {
        "Models": pd.DataFrame(models),
        "Differences from the first model, 95 % intervals, paired": pd.DataFrame(differences),
        "Classes (first model)": plain["classes"],
        "AAMI figures": pd.DataFrame(figures),
        "Subgroups (first model)": pd.DataFrame(groups),
        "Errors by confidence (first model)": plain.get("confidence", ()),
        "Recordings (first model)": plain.get("recordings", ()),
        "Surest errors (first model)": plain["errors"],
    }


def rounded(table):
    """A table as text, with three digits."""
    return table.map(lambda value: number(value, 3) if value is None or isinstance(value, float) else value)


def with_intervals(row):
    values = {name: f"{number(row['scores'][name])} {brackets(ends)}" for name, ends in row["intervals"].items()}
    return {HEADLINES.get(name, name): value for name, value in values.items()}


def number(value, digits=4):
    """A number as text; none where there is none, or it is not a number."""
    return "" if value is None or value != value else f"{value:.{digits}f}"


def brackets(interval):
    return "[{:.3f}, {:.3f}]".format(*interval) if interval else ""


def calibration(model):
    return f"{model['calibration_error']:.3f} → {model['calibration_error_with_temperatures']:.3f}"


def summary(result):
    """What was scored and how, as lines."""
    lines = [
        f"{result['source']}: {result['records']:,} test records of {result['patients']:,} patients.",
        decision_rule(result),
        f"In brackets: 95 % intervals of {result['bootstrap_samples']:,} bootstrap samples over patients. "
        "ECE: expected calibration error, before and after temperatures fitted on validation.",
    ]
    if result["absent"]:
        lines.append(f"No test record has {', '.join(result['absent'])}: left out of every macro score.")
    if result["samples_without_a_class"]:
        lines.append(
            f"In {result['samples_without_a_class']} samples a class was absent: left out of their macro scores."
        )
    lines.extend(f"Of the data: {note}." for note in result["notes"])
    if result["leaks_patients"]:
        lines.append("Mind: patients stand in several splits, so these are not the scores for new patients.")
    return lines


def decision_rule(result):
    """The one rule by which every table of the report decides."""
    goal = result["threshold_goal"]
    if not result["multilabel"]:
        return f"Decided: {goal}. Recall, the mean of that of each class, is the balanced accuracy."
    if goal.partition("=")[0] in metrics.GOALS:
        return f"Thresholds: chosen on validation for the goal {goal}."
    return f"Thresholds: {goal} for every class."


def write_folds(scores, folder):
    """Write and print the scores of each fold of a cross-validation, with their mean and standard deviation."""
    table = pd.DataFrame(scores)
    with writing.whole(folder / "folds.csv") as temporary:
        table.to_csv(temporary, index=False)
    values = table.drop(columns=["fold", "records", "absent"])
    rows = [*table.to_dict("records"), {"fold": "mean", **values.mean()}, {"fold": "deviation", **values.std()}]
    shown = pd.DataFrame(rows).rename(columns=HEADLINES)
    shown["records"] = [number(count, 0) for count in shown["records"]]
    text = markdown(shown.map(lambda value: number(value) if isinstance(value, float) else value))
    with writing.whole(folder / "folds.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)


def write_search(folder, lines, command, tables, figures):
    """Write report.md and report.html of a search: lines, a command, tables of text and figures, by title.

    The figures become PNG files too.
    """
    parts = [*lines, f"```\n{command}\n```", *map(markdown, tables.values())]
    with writing.whole(folder / "report.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    sections = [f"<h1>{html.escape(folder.name)}</h1>", *(f"<p>{html.escape(line)}</p>" for line in lines)]
    sections.append(f"<pre>{html.escape(command)}</pre>")
    for title, table in tables.items():
        sections += [f"<h2>{title}</h2>", table.to_html(index=False, border=0)]
    for title, figure in figures.items():
        sections += [f"<h2>{title}</h2>", picture(figure, title)]
        with writing.whole(folder / f"{title.lower().replace(' ', '-')}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    with writing.whole(folder / "report.html") as temporary:
        temporary.write_text(page(folder.name, sections))


def as_text(result):
    """The tables of models, classes and AAMI figures in Markdown, for a terminal and for documents alike."""
    parts = shown(result)
    chosen = [part for part in list(parts.values())[:4] if len(part)]
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
            sections += [f"<h2>{html.escape(title)}</h2>", html_table(table)]
    for title, figure in figures(result, predictions):
        sections += [f"<h2>{html.escape(title)}</h2>", picture(figure, title)]
    return page(result["source"], sections)


def page(title, sections):
    """One HTML page that needs no other file."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(sections)}</body></html>\n'


def html_table(table):
    """A table with each interval under its number, since side by side they are wider than a page."""
    text = table.to_html(index=False, border=0)
    return text.replace(" [", "<br><small>[").replace("]</td>", "]</small></td>")


def figures(result, predictions):
    """Title and figure, one after the other: all of the first model, on test records."""
    test = predictions["split"] == "test"
    labels, probabilities = predictions["labels"][test], predictions["probabilities"][0][test].astype("float64")
    first, classes = result["models"][0], list(result["classes"])
    calibrated = metrics.calibrate(probabilities, first["temperatures"], result["multilabel"])
    ticks = ("no", "yes") if result["multilabel"] else classes
    yield "Confusion matrices", plots.confusion_matrices(result["confusion_matrices"], ticks)
    yield "Curves", plots.curves(labels, probabilities, classes)
    yield "Probabilities", plots.score_histograms(labels, probabilities, first["thresholds"], classes)
    yield "Reliability", plots.reliability(labels, probabilities, calibrated, classes)
    if not result["multilabel"]:
        yield "Confidence", plots.confidence(labels, probabilities, classes)
    log = pd.DataFrame(json.loads(str(predictions["log"])))
    if len(log):
        yield "Training", plots.training_curve(log)
    if "telling_words" in predictions:
        yield (
            "Most telling words (logistic regression)",
            plots.words(*(predictions[f"telling_{key}"] for key in TELLING)),
        )
    if result["errors"]:
        yield from error_figures(result, predictions)


def error_figures(result, predictions):
    """The records of the surest errors: recordings one by one on ECG paper, beats all in one gallery."""
    names, leads = predictions["names"][predictions["wrong"]].tolist(), predictions["leads"].tolist()
    rate = float(predictions["sampling_rate"])
    shown = {}
    for record, wrong in pd.DataFrame(result["errors"]).groupby("record", sort=False):
        told = "; ".join(f"{e['class']} {e['probability']:.2f}, truth {e['truth']}" for _, e in wrong.iterrows())
        shown[record] = predictions["wrong_signals"][names.index(record)], told
    if predictions["wrong_signals"].shape[1] < SHORT * rate:
        gallery = [(signals, None, f"{record}\n{told}") for record, (signals, told) in shown.items()]
        yield "Surest errors", paper.gallery(gallery, leads, rate, enlarged=2)
        return
    for record, (signals, told) in shown.items():
        yield f"Error: {record}", paper.record(signals, leads, rate, told)


def picture(figure, title):
    """A figure inside the page, as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
