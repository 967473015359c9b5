"""Every figure but ECGs, drawn by matplotlib without a screen; each function gives back a Figure."""

import itertools
import textwrap

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

SHADES = colormaps["Blues"]


def row_of_axes(count, height=3.0, width=2.9):
    """A figure with `count` axes side by side, without the frame's upper and right line."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def training_curve(log):
    """Loss and validation macro AUC over the epochs of a training log (a row an epoch)."""
    figure, (left, right) = row_of_axes(2, height=3.5, width=4.5)
    left.plot(log["epoch"], log["loss"], label="training")
    left.plot(log["epoch"], log["val_loss"], label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    right.plot(log["epoch"], log["val_macro_auc"], color="tab:orange")
    best = log["val_macro_auc"].idxmax()
    right.plot(log["epoch"][best], log["val_macro_auc"][best], "o", color="tab:orange")
    right.set(xlabel="epoch", ylabel="validation macro AUC", title=f"best {log['val_macro_auc'][best]:.4f}")
    return figure


def confusion_matrices(matrices, ticks=("no", "yes")):
    """Matrices by name, true rows and decided columns: counts, and shares of the row as colour and percentage."""
    size = 1.1 + 0.75 * len(ticks)
    figure, axes = row_of_axes(len(matrices), height=size + 0.3, width=size)
    for each, (name, matrix) in zip(axes, matrices.items(), strict=True):
        counts = np.asarray(matrix)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        each.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
            each.text(column, row, text, ha="center", va="center", color=colour)
        each.set(title=name)
        each.set_xticks(range(len(ticks)), ticks)
        each.set_yticks(range(len(ticks)), ticks)
        each.set_xlabel("decided")
    axes[0].set_ylabel("true")
    return figure


def curves(labels, probabilities, classes):
    """ROC and precision-recall curves, a line for each class present."""
    figure, (roc, recall) = row_of_axes(2, height=4.4, width=4.7)
    for name, truth, column in zip(classes, labels.T, probabilities.T, strict=True):
        if 0 < truth.mean() < 1:
            RocCurveDisplay.from_predictions(truth, column, name=name, ax=roc)
            PrecisionRecallDisplay.from_predictions(truth, column, name=name, ax=recall)
    roc.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC")
    recall.set(xlabel="recall", ylabel="precision", title="precision and recall")
    for axes in (roc, recall):
        axes.legend(frameon=False, fontsize=8)
    return figure


def score_histograms(labels, probabilities, thresholds, classes):
    """How probabilities of negative and positive records are spread, and where the threshold lies, if there is one."""
    figure, axes = row_of_axes(len(classes))
    edges = np.linspace(0, 1, 26)
    for each, name, truth, column in zip(axes, classes, labels.T, probabilities.T, strict=True):
        each.hist([column[truth == 0], column[truth == 1]], edges, stacked=True, label=("negative", "positive"))
        each.set(title=name, xlabel="probability", yscale="log")
    for each, threshold in zip(axes, thresholds, strict=False):
        each.axvline(threshold, color="black", linestyle=":")
    axes[0].set_ylabel("records")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def reliability(labels, probabilities, calibrated, classes):
    """Share of positive records against mean probability in ten bins, before and after temperatures."""
    figure, axes = row_of_axes(len(classes))
    for each, name, truth, *columns in zip(axes, classes, labels.T, probabilities.T, calibrated.T, strict=True):
        each.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
        for column, label in zip(columns, ("as it is", "with temperature"), strict=True):
            share, mean = calibration_curve(truth, column, n_bins=10)
            each.plot(mean, share, "o-", markersize=3, label=label)
        each.set(title=name, xlabel="mean probability", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of positive records")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def confidence(labels, probabilities, classes):
    """How sure right and wrong decisions are: all as a histogram, and by decided class as boxes."""
    figure, (left, right) = row_of_axes(2, height=3.6, width=4.7)
    decided, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = labels[np.arange(len(labels)), decided] == 1
    left.hist([surest[correct], surest[~correct]], np.linspace(0, 1, 41), stacked=True, label=("right", "wrong"))
    left.set(xlabel="probability of the decided class", ylabel="records", yscale="log")
    left.legend(frameon=False, fontsize=8)
    boxes = [surest[kind & (decided == i)] for i in range(len(classes)) for kind in (correct, ~correct)]
    ticks = [f"{name}\n{what}" for name in classes for what in ("right", "wrong")]
    right.boxplot(boxes, tick_labels=ticks, flierprops={"markersize": 2})
    right.tick_params(axis="x", labelsize=7)
    right.set_ylabel("probability of the decided class")
    return figure


def words(classes, names, weights, shapes):
    """The most telling words, a row for each class: the wave that is written so, or the name alone.

    Args:
        classes, names, weights: of each word `(words,)`, class by class, as many for each.
        shapes: of each, `(words, samples)`; NaN where it is of a feature.
    """
    rows = list(dict.fromkeys(classes))
    columns = len(names) // len(rows)
    figure = Figure(figsize=(1.25 * columns, 1.35 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey=True)
    for each, name, weight, shape in zip(axes.ravel(), names, weights, shapes, strict=True):
        each.plot(shape, color="tab:blue")
        each.set_title(textwrap.fill(f"{name} ({weight:.1f})", 18), fontsize=7)
        each.set(xticks=[], yticks=[])
        each.spines[["top", "right", "left"]].set_visible(False)
    for each, name in zip(axes[:, 0], rows, strict=True):
        each.set_ylabel(name)
    return figure


def search_history(trials):
    """The score of each trial of a search (a row each: trial, status, score), and the best so far."""
    figure, (axes,) = row_of_axes(1, height=3.6, width=8)
    finished, failed = trials[trials["status"] == "finished"], trials[trials["status"] == "failed"]
    axes.plot(finished["trial"], finished["score"], "o", color="tab:blue", label="trial")
    axes.step(finished["trial"], finished["score"].cummax(), where="post", color="tab:orange", label="best so far")
    if finished["trial"].min() == 0:
        axes.axhline(finished["score"].iloc[0], color="grey", linestyle=":", label="published values")
    if len(failed):
        bottom = axes.get_xaxis_transform()  # at the lower edge, wherever that is
        axes.plot(failed["trial"], np.full(len(failed), 0.02), "x", color="tab:red", transform=bottom, label="failed")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="trial", ylabel="validation macro AUC")
    axes.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def shares(values, label):
    """Horizontal bars of a Series of shares, the first on top."""
    figure, (axes,) = row_of_axes(1, height=0.3 * len(values) + 0.9, width=7)
    bars = axes.barh(values.index[::-1], values[::-1], color="tab:blue")
    axes.bar_label(bars, fmt="{:.0%}", padding=3)
    axes.set(xlabel=label, xlim=(0, 1.1 * max(values.max(), 0.01)))
    axes.xaxis.set_major_formatter("{x:.0%}")
    return figure


def parallel_coordinates(places, ticks, scores):
    """A line for each trial through its values, the darker the better; the best stands out.

    Args:
        places: between 0 and 1, `(trials, settings)`, by the name of the setting.
        ticks: name of a setting to its marks, a dict from place to text.
        scores: of the trials, a Series `(trials,)`.
    """
    figure, (axes,) = row_of_axes(1, height=4.6, width=1.15 * (places.shape[1] + 1))
    low, high = scores.min(), max(scores.max(), scores.min() + 1e-9)
    lines = places.assign(score=(scores - low) / (high - low))
    shades = 0.2 + 0.7 * scores.rank(pct=True)  # by rank: one bad trial would make all others look alike
    for number in scores.sort_values().index:
        axes.plot(lines.loc[number].to_numpy(), color=SHADES(shades[number]), linewidth=1.5)
    axes.plot(lines.loc[scores.idxmax()].to_numpy(), "o-", color="tab:red", linewidth=2.5, markersize=4, label="best")
    for column, marks in enumerate((ticks | {"score": {0: f"{low:.4f}", 1: f"{high:.4f}"}}).values()):
        axes.axvline(column, color="black", linewidth=0.8)
        for height, text in marks.items():
            label = axes.annotate(text, (column, height), (4, 0), textcoords="offset points", va="center", fontsize=7)
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1})
    axes.set_xticks(range(lines.shape[1]), lines.columns, rotation=30, ha="right")
    axes.set(yticks=[], ylim=(-0.05, 1.05))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def against_noise(table, score):
    """Scores of models against ratios of signal to noise: a panel for each kind of noise, a line for each model.

    Args:
        table: a column for each model; rows by kind of noise and ratio, the first without noise.
        score: its name.
    """
    kinds = list(dict.fromkeys(table.index.get_level_values(0)))[1:]
    figure, axes = row_of_axes(len(kinds), height=4.2, width=3.6)
    limits = np.nanmin(table) - 0.02, np.nanmax(table) + 0.02
    for each, kind in zip(axes, kinds, strict=True):
        part = table.loc[kind]
        for model in table:
            each.plot(["none", *part.index], [table[model].iloc[0], *part[model]], "o-", markersize=3, label=model)
        each.set(title=kind, xlabel="ratio of signal to noise", ylim=limits)
        each.tick_params(axis="x", labelsize=8)
    axes[0].set_ylabel(score)
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def scores_by_row(table, score):
    """Scores of models as dots: a line for each row of a table, the first also as a dotted line; missing ones not."""
    figure = Figure(figsize=(8, 0.28 * len(table) + 1.2), layout="constrained")
    axes = figure.subplots()
    for number, (model, marker) in enumerate(zip(table, itertools.cycle("os^Dv*P"), strict=False)):
        colour = f"C{number}"
        axes.plot(table[model], range(len(table)), marker, color=colour, markersize=5, alpha=0.8, label=model)
        axes.axvline(table[model].iloc[0], color=colour, linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(table)), [": ".join(filter(None, row)) for row in table.index])
    axes.set(xlabel=score, ylim=(len(table) - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
