"""ECGs on ECG paper: 25 mm a second and 10 mm a millivolt on squares of 1 and 5 mm, with colours behind the traces.

All places on a sheet are in millimetres of its paper, from its lower left corner.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

SPEED, GAIN = 25.0, 10.0  # mm a second, mm a millivolt
INCH = 25.4  # mm
SQUARE = 5  # mm
GRID = {1: ("#f9dfdc", 0.3), SQUARE: ("#efb4ae", 0.6)}  # mm between lines, their colour and width
LEFT, RIGHT, LINE = 15, 5, 10  # mm: left and right of the rows; for the title, and for the legend
LETTERS = 4.0  # mm of a line of text
HIGHEST = 40  # mm that a trace may rise over its level, or fall below it, before it meets the next row
STANDARD = (("I", "AVR", "V1", "V4"), ("II", "AVL", "V2", "V5"), ("III", "AVF", "V3", "V6"))
RHYTHM = "II"
SHORTEST = 4.0  # seconds of a record that is laid out in four columns
WIDEST = 250  # mm of beats side by side
FOR, AGAINST, DARKEST = "#1a5fb4", "#e66100", 0.7  # colours of relevance, and how opaque the highest is
REACH = (0.25, 0.45)  # seconds before and after an R-peak that have the colour of its class
OF_CLASSES = ("#ffffff00", "#1a5fb455", "#e01b2455", "#e6610055", "#81379655", "#26a26955")  # the usual one is clear


class Piece(NamedTuple):
    """A stretch of one lead on the sheet.

    Attributes:
        signal: `(samples,)` in millivolt. sampling_rate: its own.
        colours: behind each sample, RGBA `(samples, 4)`.
        name: written over its start. row: from the top. left: mm from where rows begin.
        marks: pairs of seconds and a text over that place.
    """

    signal: np.ndarray
    sampling_rate: float
    colours: np.ndarray
    name: str
    row: int
    left: float = 0.0
    marks: tuple = ()

    @property
    def right(self):
        """Where it ends, in mm from where rows begin."""
        return self.left + len(self.signal) / self.sampling_rate * SPEED

    @property
    def above(self):
        """The mm that it needs over its level, as does a calibration mark."""
        lines = 1 + self.name.count("\n") + bool(self.marks)
        return min(HIGHEST, max(GAIN, self.signal.max() * GAIN)) + LETTERS * lines

    @property
    def below(self):
        """The mm that it needs under its level."""
        return min(HIGHEST, max(0.0, -self.signal.min() * GAIN)) + 1


def record(signals, leads, sampling_rate, title="", relevance=None, legend=()):
    """One record `(samples, leads)` in millivolt: 3 x 4 and a rhythm strip if it has the twelve leads, else strips.

    Args:
        relevance: `(samples, leads)`, shown as colours.
        legend: what positive relevance means, and, where there is negative one, what that means.
    """
    signals, colours = level(signals), shades(relevance, signals.shape)
    pieces = []
    for lead, row, start, stop in layout(leads, len(signals), sampling_rate):
        inside, left = (slice(start, stop), lead), start / sampling_rate * SPEED
        pieces.append(Piece(signals[inside], sampling_rate, colours[inside], printed(leads[lead]), row, left))
    return draw(pieces, title, gradients(legend))


def layout(leads, samples, sampling_rate):
    """Which lead stands in which row, from which sample to which: a tuple for each piece."""
    places = {lead.upper(): place for place, lead in enumerate(leads)}
    if sorted(places) != sorted(sum(STANDARD, ())) or samples < SHORTEST * sampling_rate:
        return [(lead, lead, 0, samples) for lead in range(len(leads))]
    bounds = [samples * column // 4 for column in range(5)]
    columns = [
        (places[name], row, bounds[column], bounds[column + 1])
        for row, names in enumerate(STANDARD)
        for column, name in enumerate(names)
    ]
    return [*columns, (places[RHYTHM], len(STANDARD), 0, samples)]


def gallery(parts, leads, sampling_rate, title="", legend=(), enlarged=1.0):
    """Beats, or longer parts of recordings, side by side as far as there is room; their leads under each other.

    Args:
        parts: of each its signals `(samples, leads)` in millivolt, its relevance or None, and what is written over it.
    """
    width = squares(len(parts[0][0]) / sampling_rate * SPEED + 1)
    columns = max(1, int(WIDEST / enlarged // width))
    pieces = []
    for number, (signals, relevance, text) in enumerate(parts):
        signals, colours = level(signals), shades(relevance, signals.shape)
        row, column = divmod(number, columns)
        for lead, name in enumerate(map(printed, leads)):
            name, place = f"{text}\n{name}" if lead == 0 else name, row * len(leads) + lead
            pieces.append(Piece(signals[:, lead], sampling_rate, colours[:, lead], name, place, column * width))
    return draw(pieces, title, gradients(legend), enlarged)


def rhythm(signal, name, sampling_rate, peaks, decided, classes, title="", begin=0.0, length=10.0):
    """One lead `(samples,)` in strips under each other, its beats coloured by their classes.

    Args:
        peaks: samples of the R-peaks. decided: the number of the class of each.
        begin: seconds at its first sample, for the names of the strips; length: of a strip, in seconds.
    """
    signal, behind = level(signal), np.zeros((len(signal), 4))
    before, after = (round(seconds * sampling_rate) for seconds in REACH)
    for peak, which in zip(peaks, decided, strict=True):
        behind[max(0, peak - before) : peak + after] = to_rgba(OF_CLASSES[which])
    size, pieces = round(length * sampling_rate), []
    for row, start in enumerate(range(0, len(signal), size)):
        inside, within = slice(start, start + size), (peaks >= start) & (peaks < start + size)
        texts = [classes[which] for which in decided[within]]
        marks = tuple(zip((peaks[within] - start) / sampling_rate, texts, strict=True))
        name_of_row = f"{name} from {begin + start / sampling_rate:g} s"
        pieces.append(Piece(signal[inside], sampling_rate, behind[inside], name_of_row, row, 0.0, marks))
    return draw(pieces, title)


def level(signals):
    """Signals `(samples, ...)` about zero, where a trace spends most of its time."""
    return signals - np.median(signals, axis=0)


def printed(lead):
    """A lead's name as ECGs have it: aVR."""
    return lead.replace("AV", "aV")


def shades(relevance, shape):
    """Colours RGBA `(samples, leads, 4)` of relevance of this shape: the more, the darker; clear without any."""
    values = np.zeros(shape) if relevance is None else relevance
    highest = np.percentile(np.abs(values), 99.5) or np.abs(values).max() or 1
    colours = np.where(values[..., None] >= 0, to_rgba(FOR), to_rgba(AGAINST))
    colours[..., 3] = DARKEST * np.clip(np.abs(values) / highest, 0, 1)
    return colours


def gradients(legend):
    """Texts with their colours, from clear to dark."""
    rising = np.linspace(0, 1, 50)[:, None]
    return [(text, shades(sign * rising, None)[:, 0]) for text, sign in zip(legend, (1, -1), strict=False)]


def draw(pieces, title, legend=(), enlarged=1.0):
    """A Figure of Pieces, with calibration marks, a title, and a legend of texts with colours `(any, 4)`.

    Args:
        enlarged: how many millimetres of the screen one of the paper is.
    """
    rows = range(1 + max(piece.row for piece in pieces))
    above = [squares(max(piece.above for piece in pieces if piece.row == row)) for row in rows]
    below = [squares(max(piece.below for piece in pieces if piece.row == row)) for row in rows]
    height = LINE + sum(above) + sum(below) + LINE
    levels = height - LINE - np.cumsum(above) - np.cumsum([0, *below[:-1]])
    axes = sheet(LEFT + squares(max(piece.right for piece in pieces)) + RIGHT, height, enlarged)
    for piece in pieces:
        add(axes, piece, levels[piece.row], (-below[piece.row], above[piece.row]))
    for height_of_row in levels:
        axes.plot(
            (3, 5, 5, 10, 10, 12), height_of_row + GAIN * np.array((0, 0, 1, 1, 0, 0)), color="black", linewidth=0.8
        )
    axes.text(SQUARE, height - LINE / 2, title, va="center", fontsize=9)
    add_legend(axes, legend)
    return axes.figure


def squares(millimetres):
    """So many millimetres, or more, that squares are whole."""
    return SQUARE * int(np.ceil(millimetres / SQUARE))


def sheet(width, height, enlarged):
    """Axes in millimetres that fill a figure, with the squares of ECG paper."""
    figure = Figure(figsize=(width * enlarged / INCH, height * enlarged / INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    for step, (colour, line) in GRID.items():
        axes.vlines(np.arange(0, width, step), 0, height, color=colour, linewidth=line * enlarged)
        axes.hlines(np.arange(0, height, step), 0, width, color=colour, linewidth=line * enlarged)
    return axes


def add(axes, piece, height, span):
    """Draw a Piece at a level of the sheet; its colours fill the span from below to above it."""
    left, right = LEFT + piece.left, LEFT + piece.right
    axes.imshow(
        piece.colours[None],
        extent=(left, right, height + span[0], height + span[1]),
        aspect="auto",
        interpolation="nearest",
        zorder=2,
    )
    x = left + np.arange(len(piece.signal)) / piece.sampling_rate * SPEED
    axes.plot(x, height + GAIN * piece.signal, color="black", linewidth=0.8, zorder=3)
    axes.text(left + 1, height + span[1] - 0.5, piece.name, va="top", fontsize=8, zorder=4)
    for seconds, text in piece.marks:
        axes.text(
            left + SPEED * seconds, height + span[1] - 0.5 - LETTERS, text, va="top", ha="center", fontsize=7, zorder=4
        )


def add_legend(axes, legend):
    """Speed and gain in the last line of a sheet, then each text after its colours."""
    y, x = LINE / 2, SQUARE
    axes.text(x, y, f"{SPEED:g} mm/s  {GAIN:g} mm/mV", va="center", fontsize=8)
    x += 40
    for text, colours in legend:
        axes.imshow(colours[None], extent=(x, x + 15, y - 2, y + 2), aspect="auto", zorder=2)
        axes.text(x + 17, y, text, va="center", fontsize=8)
        x += 55
