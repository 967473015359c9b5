"""A network as a picture: its layers as boxes from top to bottom, ways side by side, what is repeated drawn once."""

import re
import textwrap
from itertools import pairwise
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

WIDTH, MARGIN = 5.0, 1.0  # inches: of the boxes, and on either side of them
LINE, PAD, GAP = 0.16, 0.1, 0.16  # inches: a line of text, around the text, between boxes
CHARACTERS = 74  # of a line as wide as the boxes
COLOURS = {
    "Conv": "#cfe2f3",
    "DepthwiseConv": "#cfe2f3",
    "LSTM": "#d9ead3",
    "Bidirectional": "#d9ead3",
    "MultiHeadAttention": "#fce5cd",
    "Softmax": "#fce5cd",
    "Dense": "#e6dff0",
    "Embedding": "#fff2cc",
}
JOINS = ("Add", "Concatenate", "Dot", "Multiply", "Average")
# Kinds of layers that have a box of their own; others are told in that of the layer before.
OWN = {*COLOURS, *JOINS, "InputLayer", "LayerNormalization"}
UNTOLD = ("Identity", "Reshape", "Permute", "Flatten")  # their work shows in the shapes
SHORT = {"BatchNormalization": "batch norm", "LayerNormalization": "layer norm", "InputLayer": "input"}
SETTINGS = {  # that are told, by the kind of layer
    "Conv": ("filters", "kernel_size", "strides"),
    "DepthwiseConv": ("kernel_size",),
    "Dense": ("units", "activation"),
    "LSTM": ("units",),
    "Embedding": ("output_dim",),
    "MultiHeadAttention": ("num_heads",),
    "Dropout": ("rate",),
    "MaxPooling": ("pool_size",),
    "AveragePooling": ("pool_size",),
    "Activation": ("activation",),
}
NAMED = {"kernel_size": "kernel {}", "strides": "stride {}", "num_heads": "{} heads"}  # others by their value alone
USUAL = ("stride 1", "stride 1 × 1", "linear")  # what goes without saying


class Box(NamedTuple):
    """Layers one after the other: what they are, the kind of the first, and the shape that comes out of the last."""

    text: str
    kind: str
    shape: str


class Fork(NamedTuple):
    """Ways side by side, each a tuple of Boxes; one without a Box is a shortcut."""

    ways: tuple


def draw(model):
    """A Figure of a functional Keras model; what else than its first input enters a layer is told in that box."""
    parts = [*repeated(sequence(model))]
    height = GAP + sum(height_of(item) + GAP for items, _ in parts for item in items)
    figure = Figure(figsize=(WIDTH + 2 * MARGIN, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-MARGIN, WIDTH + MARGIN), ylim=(-height, 0))
    axes.set_axis_off()
    top = -GAP
    for items, times in parts:
        first = top
        for item in items:
            draw_item(axes, item, top)
            top -= height_of(item) + GAP
        if times > 1:
            axes.plot((-0.1, -0.18, -0.18, -0.1), (first, first, top + GAP, top + GAP), color="black", linewidth=1)
            axes.text(-0.25, (first + top + GAP) / 2, f"{times} times", ha="right", va="center", fontsize=8)
    return figure


def sequence(model):
    """Boxes and Forks between the model's first input and its output, in order."""
    parents = {layer: before(layer) for layer in model.layers}
    main = [model.get_layer(model.inputs[0].name)]  # then layers that need it, each after those that it needs
    for layer in model.layers:
        if set(parents[layer]) & set(main):
            main.append(layer)
    sides = {layer: [parent for parent in parents[layer] if parent not in main] for layer in main}
    items, run = [], [main[0]]
    for gate, following in pairwise(gates(main, parents)):
        ways = ways_between(gate, following, main, parents)
        if len(ways) > 1:
            items += [*boxes(run, sides), Fork(tuple(tuple(boxes(way, sides)) for way in ways))]
            run = []
        run.append(following)
    return items + boxes(run, sides)


def before(layer):
    """The layers whose outputs a layer is given, each once."""
    return list(dict.fromkeys(node.operation for node in layer._inbound_nodes[0].parent_nodes))


def gates(main, parents):
    """The layers through which every way leads: where no connection goes from a layer before to one behind."""
    place = {layer: number for number, layer in enumerate(main)}
    furthest = 0
    for number, layer in enumerate(main):
        if furthest <= number:
            yield layer
        furthest = max([furthest, *(place[later] for later in main if layer in parents[later])])


def ways_between(gate, layer, main, parents):
    """Lists of the layers on each way from a gate to a layer behind it, both left out."""
    ways = []
    for parent in parents[layer]:
        if parent is gate:
            ways.append([])
        elif parent in main:
            ways += [[*way, parent] for way in ways_between(gate, parent, main, parents)]
    return ways


def boxes(layers, sides):
    """Boxes of layers that follow one another; `sides` are what else enters them, by layer."""
    groups = []
    for layer in layers:
        if not groups or kind_of(layer) in OWN:
            groups.append([])
        groups[-1].append(layer)
    found = [box(group, sides) for group in groups]
    return [one for one in found if one.text]


def box(layers, sides):
    """The Box of some layers."""
    told = [describe(layer, sides[layer]) for layer in layers if kind_of(layer) not in UNTOLD]
    output = layers[-1].output
    shape = (output[0] if isinstance(output, list | tuple) else output).shape[1:]
    return Box(" · ".join(told), kind_of(layers[0]), " × ".join(map(str, shape)))


def describe(layer, sides=()):
    """A layer in words: its kind, its settings, and what enters it from other inputs."""
    kind, settings = kind_of(layer), layer.get_config()
    if kind == "Bidirectional":
        return f"bidirectional {describe(layer.forward_layer)}"
    values = {name: as_text(settings[name]) for name in SETTINGS.get(kind, ())}
    words = [NAMED.get(name, "{}").format(value) for name, value in values.items()]
    told = [word for word in words if word not in USUAL] + [f"with {source(side)}" for side in sides]
    return f"{SHORT.get(kind, kind)} {', '.join(told)}".strip()


def source(layer):
    """The layers from another input to this one, in words."""
    own = describe(layer) if before(layer) else f"{layer.name} ({as_text(layer.output.shape[1:])})"
    return " · ".join([*map(source, before(layer)), own])


def kind_of(layer):
    """The name of a layer's class without its dimensions."""
    return re.sub(r"\dD$", "", type(layer).__name__)


def as_text(value):
    """A setting or a shape as text."""
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def repeated(items, longest=6):
    """Items that repeat, once, and how many times: pairs of a list and a number. Shapes are those of the last time."""
    told = [item.text if isinstance(item, Box) else [[one.text for one in way] for way in item.ways] for item in items]
    place = 0
    while place < len(items):
        most = 1 if getattr(items[place], "kind", "") in JOINS else longest  # a block begins at a fork, not behind it
        counts = {length: times_at(told, place, length) for length in range(1, most + 1)}
        length = max(counts, key=lambda length: (counts[length] > 1) * counts[length] * length)
        last = place + (counts[length] - 1) * length
        yield items[last : last + length], counts[length]
        place = last + length


def times_at(told, place, length):
    """How many times in a row the `length` items at a place come."""
    times = 1
    while told[place + times * length :][:length] == told[place:][:length]:
        times += 1
    return times


def height_of(item, characters=CHARACTERS):
    """Inches of a Box, or of a Fork with its frame."""
    if isinstance(item, Box):
        return LINE * len(textwrap.wrap(item.text, characters)) + PAD
    narrow = characters // len(item.ways)
    return GAP + max(sum(height_of(one, narrow) + GAP for one in way) for way in item.ways)


def draw_item(axes, item, top, left=0, width=WIDTH, characters=CHARACTERS):
    """Draw a Box, or a Fork in a frame, below an arrow."""
    height = height_of(item, characters)
    axes.annotate("", (left + width / 2, top), (left + width / 2, top + GAP), arrowprops={"arrowstyle": "->"})
    style = {"facecolor": COLOURS.get(getattr(item, "kind", ""), "white"), "edgecolor": "#666666"}
    axes.add_patch(FancyBboxPatch((left, top - height), width, height, "round,pad=0,rounding_size=0.06", **style))
    if isinstance(item, Fork):
        return draw_ways(axes, item, top, characters // len(item.ways))
    text = textwrap.fill(item.text, characters)
    axes.text(left + width / 2, top - height / 2, text, ha="center", va="center", fontsize=8)
    if width == WIDTH:
        axes.text(WIDTH + 0.08, top - height / 2, item.shape, va="center", fontsize=7, color="#666666")
    return None


def draw_ways(axes, fork, top, characters):
    """Draw the ways of a Fork side by side."""
    width = (WIDTH - GAP) / len(fork.ways) - GAP
    for number, way in enumerate(fork.ways):
        left, below = GAP + number * (width + GAP), top - GAP
        for one in way:
            draw_item(axes, one, below, left, width, characters)
            below -= height_of(one, characters) + GAP
        axes.plot([left + width / 2] * 2, (below + GAP, top - height_of(fork)), color="black", linewidth=0.8)
        if not way:
            axes.text(left + width / 2 + 0.05, below - GAP, "as it is", fontsize=7, color="#666666")
