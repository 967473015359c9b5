"""Interactive figures of the web app, drawn by Plotly: the ECG, probabilities, and beats over time."""

import numpy as np
import plotly.graph_objects as go

INK, ACCENT, QUIET, GRID, PAPER = "#22303c", "#c2410c", "#c3ccd4", "#e9edf0", "#f7dedb"
COLOURS = (INK, "#e08700", "#c8102e", "#7c3aed", "#0e7490")  # of beats, by the place of their class
# From what speaks against a class over nothing to what speaks for it: the colours of `paper`.
RELEVANCE = ((0, "rgba(230,97,0,.7)"), (0.5, "rgba(255,255,255,0)"), (1, "rgba(26,95,180,.7)"))
NAMES = 0.6  # mV of height for the names of beats
LARGE = 0.2, 0.5  # seconds and millivolts of a large square of ECG paper
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}


def figure(height, **layout):
    """An empty figure in the app's style."""
    margin = {"l": 10, "r": 10, "t": 10, "b": 10}
    look = {"plot_bgcolor": "white", "paper_bgcolor": "white", "font": {"size": 14, "color": INK}}
    axis = {"automargin": True, "zeroline": False, "gridcolor": GRID, "ticks": ""}
    return go.Figure(layout={"height": height, "margin": margin, "xaxis": axis, "yaxis": axis, **look, **layout})


def ecg(signals, leads, sampling_rate, start, length, spans=(), relevance=None):
    """Leads one below the other on ECG paper: large squares of 0.2 s and 0.5 mV.

    Args:
        signals: `(samples, leads)` in millivolt.
        start, length: seconds at which the first sample is, and of the whole figure.
        spans: stretches in the colour of their class: first and last second, second of the name, place, name.
        relevance: of each sample for a class, below zero what speaks against it: `(steps, leads)` over the same time.
    """
    lines, offsets = stacked(signals)
    top = max(1.0, lines[:, 0].max() + 0.2) + (NAMES if spans else 0)
    bottom = min(offsets[-1] - 1, lines[:, -1].min() - 0.2)
    drawn = figure(200 + 50 * len(leads), showlegend=False, dragmode="zoom")
    if relevance is not None:
        edges = np.concatenate([[top], (offsets[1:] + offsets[:-1]) / 2, [bottom]])
        drawn.add_trace(heat(relevance, np.linspace(start, start + length, len(relevance) + 1), edges))
    seconds = start + np.arange(len(signals)) / sampling_rate
    for colour in sorted({0, *(place for *_, place, _ in spans)}):
        there = within(seconds, [(first, last) for first, last, _, place, _ in spans if place == colour])
        for line, millivolts, lead in zip(lines.T, signals.T, leads, strict=True):
            drawn.add_trace(trace(seconds, np.where(there, line, np.nan) if colour else line, millivolts, lead, colour))
    for _, _, second, place, name in spans:
        style = {"color": COLOURS[place % len(COLOURS)], "size": 14}
        drawn.add_annotation(x=second, y=top - NAMES / 2, text=f"<b>{name}</b>", showarrow=False, font=style)
    drawn.update_xaxes(range=(start, start + length), dtick=1, ticksuffix=" s", **paper(LARGE[0]))
    texts = [f"{lead}  " for lead in leads]
    drawn.update_yaxes(range=(bottom, top), tickvals=offsets, ticktext=texts, fixedrange=True, **paper(LARGE[1]))
    return drawn


def paper(square):
    """The lines of ECG paper along an axis, so far apart."""
    return {"gridcolor": PAPER, "minor": {"showgrid": True, "gridcolor": PAPER, "dtick": square, "tick0": 0}}


def stacked(signals):
    """Signals `(samples, leads)` moved below one another, and by how much `(leads,)`: multiples of a large square."""
    step = LARGE[1] * np.ceil(max(1.5, 0.8 * np.percentile(np.ptp(signals, axis=0), 75)) / LARGE[1])
    offsets = -step * np.arange(signals.shape[1])
    return signals - np.median(signals, axis=0) + offsets, offsets


def within(seconds, spans):
    """Which of these seconds lie in one of the spans, first to last."""
    inside = np.zeros(len(seconds), bool)
    for first, last in spans:
        inside |= (first <= seconds) & (seconds <= last)
    return inside


def trace(seconds, line, millivolts, lead, colour):
    """One lead at its height, with its millivolts to be read there."""
    return go.Scatter(
        x=seconds, y=line, customdata=millivolts, name=lead, hovertemplate="%{x:.2f} s, %{customdata:.2f} mV",
        line={"color": COLOURS[colour % len(COLOURS)], "width": 2 if colour else 1.2},
    )  # fmt: skip


def heat(relevance, times, edges):
    """Relevance `(steps, leads)` as colour behind the leads, between these seconds and these heights."""
    return go.Heatmap(
        x=times, y=edges, z=(relevance / (np.abs(relevance).max() or 1)).T, zmin=-1, zmax=1,
        colorscale=RELEVANCE, showscale=False, hoverinfo="skip",
    )  # fmt: skip


def bars(names, probabilities, thresholds, decided):
    """Probabilities as bars, in colour where a class is decided, with its threshold as a line."""
    drawn = figure(48 * len(names) + 40, showlegend=False, bargap=0.45)
    drawn.add_bar(
        x=probabilities, y=names, orientation="h", marker_color=np.where(decided, ACCENT, QUIET),
        text=[f"<b>{value:.0%}</b>" for value in probabilities], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    if len(thresholds):
        drawn.add_scatter(
            x=thresholds, y=names, mode="markers", hovertemplate="threshold %{x:.2f}<extra></extra>",
            marker={"symbol": "line-ns", "size": 26, "line": {"width": 2, "color": INK}},
        )  # fmt: skip
    drawn.update_xaxes(range=(0, 1.12), tickvals=(0, 0.25, 0.5, 0.75, 1), tickformat=".0%")
    drawn.update_yaxes(autorange="reversed", ticksuffix="  ")
    return drawn


def over_time(seconds, places, names):
    """Each beat or segment as a mark at its second, in the row and colour of its class."""
    drawn = figure(34 * len(names) + 50, showlegend=False)
    for place, name in enumerate(names):
        here = seconds[places == place]
        drawn.add_scatter(
            x=here, y=np.full(len(here), place), mode="markers", hovertemplate=f"%{{x:.1f}} s: {name}<extra></extra>",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 1.5, "color": COLOURS[place % len(COLOURS)]}},
        )  # fmt: skip
    ticks = [f"{name} · {np.sum(places == place):,}  " for place, name in enumerate(names)]
    drawn.update_yaxes(range=(len(names) - 0.5, -0.5), tickvals=np.arange(len(names)), ticktext=ticks)
    drawn.update_xaxes(ticksuffix=" s")
    return drawn
