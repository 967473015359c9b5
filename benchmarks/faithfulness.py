"""Whether explanations are true: does hiding what counts most lower the probability more than hiding as much elsewhere?

    python benchmarks/faithfulness.py --records 200

Of validation records; nothing here looks at the test split. Of each, the top class is explained, and a tenth of the
signal is hidden. Of beats, as many of each class as there are, some beats apart, since one may be another's context.
Writes `results/faithfulness.md` and `.json`.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import attribution  # noqa: E402  they lie in the folder above
import card as cards  # noqa: E402
import metrics  # noqa: E402
import recipes  # noqa: E402
import report  # noqa: E402
import settings  # noqa: E402
import writing  # noqa: E402
from inputs import Inputs, Recorded  # noqa: E402

MODELS = ("Final-ECG-Model", "resnet1d_wang", "xresnet1d50", "transformer")
MODELS += ("cnn-lstm-context", "local-lead-attention", "segment-attention", "beat-tokens")
RESULTS = ROOT / "results" / "faithfulness.json"
APART = 5  # beats: more than a beat's neighbours that any model reads


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="whose rows are made anew; default: all that are shipped")
    parser.add_argument("--records", type=int, default=200, help="of each model (default: %(default)s)")
    recipes.add_data_arguments(parser)
    options = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for path in options.models or [ROOT / "saved_models" / f"{name}.h5" for name in MODELS]:
        rows = [row for row in rows if row["model"] != path.stem] + measure(path, options)
        table = write(rows)
    print(table)


def measure(path, options):
    """A row for each method that a model has."""
    model, card = cards.load(path)
    data = recipes.read_data(settings.from_json(card.config), options)
    validation = data.rows("validation")
    signals, features = data.signals[validation], data.features[validation]
    records = data.records.iloc[validation].reset_index(drop=True)
    recorded = Recorded(signals, data.leads, data.sampling_rate, features, data.feature_names, records)
    chosen = choose(data.labels[validation], options.records)
    draws = metrics.patient_draws(data.groups[validation][chosen])
    return [
        row(path, method, attribution.drops(model, Inputs(recorded, card), chosen, method), draws)
        for method in attribution.methods_of(model)
    ]


def choose(labels, count):
    """Positions of about so many records, at least APART, of each class as many as of the others if there are."""
    rng, chosen = np.random.default_rng(0), []
    for label in np.argsort(labels.sum(axis=0)):
        wanted = len(chosen) + count // labels.shape[1]
        for row in rng.permutation(np.flatnonzero(labels[:, label])):
            if len(chosen) < wanted and np.all(np.abs(row - np.array(chosen)) >= APART):
                chosen.append(row)
    return np.sort(chosen)


def row(path, method, fallen, draws):
    """What is told of the result of `attribution.drops`."""
    before, top, at_random = fallen.astype("float64")
    more = (draws @ (top - at_random)) / draws.sum(axis=1)
    return {
        "model": path.stem,
        "method": method,
        "records": len(top),
        "probability": float(before.mean()),
        "fall, highest tenth": float(top.mean()),
        "fall, random tenth": float(at_random.mean()),
        "difference": float((top - at_random).mean()),
        "interval": metrics.interval(more),
        "records where it falls more": float((top > at_random).mean()),
    }


def write(rows):
    """Write the rows as JSON and as a table in Markdown; returns that."""
    with writing.whole(RESULTS) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
    table = pd.DataFrame(rows)
    table["interval"] = [f"{low:.3f} to {high:.3f}" for low, high in table["interval"]]
    table = table.map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    with writing.whole(RESULTS.with_suffix(".md")) as temporary:
        temporary.write_text(report.markdown(table) + "\n")
    return report.markdown(table)


if __name__ == "__main__":
    main()
