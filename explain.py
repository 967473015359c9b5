"""What a model looked at, laid over the ECG: `python explain.py MODEL RECORD --out FOLDER`, for a WFDB record.

For each class there is a picture RECORD-METHOD-CLASS.png on ECG paper, coloured where the signal speaks for the class:
of a model of whole records the record, of one of beats or segments those that it is surest of. Of beats there is
RECORD-rhythm.png too: a minute of the record, with its beats coloured by their classes.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import card as cards
import cutting
import metrics
import paper
import predict
import wfdb_files
import writing
from attribution import METHODS, blurred, relevance
from inputs import predict_rows

LEGENDS = {
    "attention": ("attended to more than evenly, whatever the class",),
    "grad-cam": ("speaks for {}",),
    "integrated-gradients": ("speaks for {}", "speaks against {}"),
}
SHOWN = {"beats": 10, "segments": 4}  # of each class
ENLARGED = {"beats": 2.0, "segments": 1.0}  # as drawn
MINUTE = 60  # seconds of the rhythm


def pictures(model, card, path, options):
    """Yield what each picture of the record at `path` is called, and its Figure."""
    record = wfdb_files.read_record(path.parent, path.name)
    if card.cutting:
        yield from pictures_of_parts(model, card, path, record, options)
    else:
        yield from pictures_of_whole(model, card, path, record, options)


def pictures_of_whole(model, card, path, record, options):
    """The record, or of a longer one for each class the window where that is most probable."""
    inputs = predict.windows_of(card, record, predict.known_of(card, path, options))
    told = predict_rows(model, inputs, np.arange(len(inputs.data.signals)))
    probabilities = told.mean(axis=0)
    decided = metrics.decide(probabilities[None], card.thresholds)[0].astype(bool)
    length = round(len(record.digital) / record.layout.sampling_rate * card.sampling_rate)
    for chosen in wanted(card, decided if decided.any() else probabilities == probabilities.max(), options):
        window = told[:, chosen].argmax()
        signals = inputs.millivolts([window])[0, :length]  # a shorter record has zeros after its end
        values = values_of(model, inputs, np.array([window]), chosen, options.method)[0, :length]
        begin = window * card.samples / card.sampling_rate / 2
        title = f"{path.name} from {begin:g} s: {said(card, chosen, probabilities)}; {options.method}"
        yield (
            f"{options.method}-{card.classes[chosen]}",
            paper.record(signals, card.leads, card.sampling_rate, title, values, legend(card, chosen, options.method)),
        )


def pictures_of_parts(model, card, path, record, options):
    """For each class the beats or segments that are surest of it; and of beats, the rhythm."""
    inputs, samples = predict.parts_of(card, record, predict.annotated_peaks(path, record, options))
    if not len(samples):
        raise ValueError(f"no beats were found in {path}")
    rows, task = predict.tell_rows(model, inputs, samples), card.cutting["task"]
    seconds = samples / record.layout.sampling_rate
    decided = rows["class"].map(card.classes.index).to_numpy()
    for chosen in wanted(card, np.bincount(decided, minlength=len(card.classes)) > 0, options):
        name, probabilities = card.classes[chosen], rows[card.classes[chosen]].to_numpy()
        surest = np.sort(np.argsort(-probabilities, kind="stable")[: SHOWN[task]])
        texts = [f"{name} {probabilities[row]:.2f}\nat {seconds[row]:.1f} s" for row in surest]
        values = values_of(model, inputs, surest, chosen, options.method)
        parts = list(zip(inputs.millivolts(surest), values, texts, strict=True))
        title = (
            f"{path.name}: {task} that are surest of {name} ({(decided == chosen).sum():,} decided); {options.method}"
        )
        what = title, legend(card, chosen, options.method), ENLARGED[task]
        yield f"{options.method}-{name}", paper.gallery(parts, card.leads, card.sampling_rate, *what)
    if task == "beats":
        yield "rhythm", rhythm(card, path, record, seconds, decided)


def rhythm(card, path, record, seconds, decided):
    """The minute of a Record with the most beats that are not of the first class: its first lead, and its beats."""
    begin = MINUTE * int(np.bincount((seconds // MINUTE).astype(int), decided > 0).argmax())
    rate = card.sampling_rate
    inside = slice(round(begin * rate), round((begin + MINUTE) * rate))
    signal = cutting.signals_of(record, cutting.Cutting.of(card))[inside, 0]
    within = (seconds >= begin) & (seconds < begin + MINUTE)
    peaks = np.round((seconds[within] - begin) * rate).astype(int)
    count = (decided[within] > 0).sum()
    title = f"{path.name}: the minute with the most beats other than {card.classes[0]} ({count})"
    return paper.rhythm(signal, card.leads[0], rate, peaks, decided[within], card.classes, title, begin)


def wanted(card, decided, options):
    """The numbers of the classes that the command line names, else of those that were decided `(classes,)`."""
    unknown = set(options.classes or ()) - set(card.classes)
    if unknown:
        raise ValueError(f"no class {', '.join(unknown)}; the model has: {', '.join(card.classes)}")
    return [card.classes.index(name) for name in options.classes] if options.classes else np.flatnonzero(decided)


def values_of(model, inputs, rows, chosen, method):
    """Relevance as it is drawn: `(rows, samples, leads)`; of attention, what it is more than if it were even."""
    card = inputs.card
    values = relevance(model, card, inputs, rows, chosen, method)
    if method == "attention":
        values = np.maximum(0, values - values.mean(axis=(1, 2), keepdims=True))
    return blurred(values, card.sampling_rate)


def said(card, chosen, probabilities):
    """The probability of a class, and from which one it is decided, if it has a threshold."""
    threshold = f" (decided from {card.thresholds[chosen]:.2f})" if card.thresholds else ""
    return f"{card.classes[chosen]} {probabilities[chosen]:.2f}{threshold}"


def legend(card, chosen, method):
    """What the colours mean."""
    return [text.format(card.classes[chosen]) for text in LEGENDS[method]]


def arguments(argv):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model with its card, or the card of an ensemble")
    parser.add_argument("record", type=Path, help="a WFDB record")
    parser.add_argument("--out", type=Path, default=Path("results") / "explanations", help="default: %(default)s")
    parser.add_argument("--method", choices=METHODS, default="integrated-gradients", help="default: %(default)s")
    parser.add_argument(
        "--class", dest="classes", nargs="+", help="names; when not given, the classes that are decided"
    )
    predict.add_record_arguments(parser)
    return parser.parse_args(argv)


def main(argv=None):
    """The command."""
    options = arguments(argv)
    path, *others = predict.records_in([options.record])
    if others:
        raise ValueError(f"{options.record} has {1 + len(others)} records; name one of them")
    model, card = cards.load(options.model)
    predict.check(options.model, card, [path])
    for name, figure in pictures(model, card, path, options):
        file = options.out / f"{path.name}-{name}.png"
        with writing.whole(file) as temporary:
            figure.savefig(temporary, dpi=150)
        print(file)


if __name__ == "__main__":
    wfdb_files.quicken_headers()
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"explain: {error}")
