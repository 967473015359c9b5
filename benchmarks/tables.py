"""Copy measured tables into README, so that no number there was typed: `python benchmarks/tables.py`.

Between `<!-- FILE table 2 -->` and `<!-- end -->` goes the second table of FILE, a Markdown file that a command wrote;
where it is not at hand, what stands there stays. First `results/systems.md` is made from the `metrics.json` of
evaluations: a row for each published system and protocol.
"""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import report  # noqa: E402  they lie in the folder above
import writing  # noqa: E402

MARKED = re.compile(r"(<!-- (\S+) table (\d+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
SYSTEMS = ROOT / "results" / "systems.md"


class Measured(NamedTuple):
    """A system under one protocol.

    Attributes:
        folder: of the evaluation, under results/. models: seeds of the system in it.
        figures: name of a score to what was published, if anything was.
    """

    system: str
    protocol: str
    folder: str
    models: tuple
    figures: dict


def trained(name):
    """Seeds 0, 1 and 2 of a model."""
    return tuple(f"results/{name}-{seed}/model.h5" for seed in range(3))


def shipped(name):
    """The same, of which the first is shipped."""
    return (f"saved_models/{name}.h5", *trained(name)[1:])


PTBXL = {
    "macro_auc": "0.91",
    "macro_precision": "0.74",
    "macro_recall": "0.74",
    "macro_f1": "0.74",
    "subset_accuracy": "0.6156",
    "hamming_loss": "0.1158",
}
LOCAL = {
    "accuracy": "0.9571",
    "weighted_f1": "0.9520",
    "macro_precision": "0.881",
    "macro_recall": "0.9475",
    "macro_auc": "0.902",
}
CNN_LSTM = {"accuracy": "0.968", "macro_f1": "0.902"}
INTER = {"accuracy": "", "SVEB F1": "", "VEB F1": "", "N, S, V macro F1": ""}
TEXT = {"accuracy": "", "macro_f1": ""}
SEGMENTS = {"macro_recall": "", "macro_f1": "", "macro_auc": ""}
WANTED = [
    Measured("`ptbxl`, ensemble", "PTB-XL, fold 10", "ptbxl-table", ("saved_models/ECG-Ensemble.json",), PTBXL),
    Measured(
        "`local-lead-attention`",
        "MIT-BIH, random",
        "beats-random",
        ("results/local-lead-attention-random/model.h5",),
        LOCAL,
    ),
    Measured(
        "`local-lead-attention`",
        "MIT-BIH, inter-patient",
        "beats-inter",
        ("saved_models/local-lead-attention.h5",),
        INTER,
    ),
    Measured(
        "`segment-attention`",
        "MIT-BIH, random patients",
        "segments-random",
        trained("segments-random"),
        SEGMENTS,
    ),
    Measured("`segment-attention`", "MIT-BIH, inter-patient", "segments-inter", shipped("segment-attention"), SEGMENTS),
    Measured("`beat-tokens`", "MIT-BIH, random", "text-random", trained("beat-tokens-random"), TEXT),
    Measured("`beat-tokens`", "MIT-BIH, inter-patient", "text-inter", shipped("beat-tokens"), INTER),
    Measured("`cnn-lstm`", "heartbeat files, random", "beats-heartbeat", ("results/cnn-lstm/model.h5",), CNN_LSTM),
    Measured(
        "`cnn-lstm-context`", "MIT-BIH, random", "beats-random", ("results/cnn-lstm-context-random/model.h5",), CNN_LSTM
    ),
    Measured("`cnn-lstm-context`", "MIT-BIH, inter-patient", "beats-inter", shipped("cnn-lstm-context"), INTER),
]


def main():
    rows = [row for wanted in WANTED for row in rows_of(wanted)]
    if rows:
        with writing.whole(SYSTEMS) as temporary:
            temporary.write_text(report.markdown(pd.DataFrame(rows)) + "\n")
    with writing.whole(ROOT / "README.md") as temporary:
        temporary.write_text(MARKED.sub(filled, (ROOT / "README.md").read_text()))


def rows_of(wanted):
    """A row for each figure of a system: published and ours, as the mean of seeds and the interval of the first."""
    path = ROOT / "results" / wanted.folder / "metrics.json"
    if not path.exists():
        print(f"no {path.relative_to(ROOT)}: {wanted.system}, {wanted.protocol} is left out")
        return
    result = json.loads(path.read_text())
    command = f"`python evaluate.py {' '.join(wanted.models)}`"
    for figure, published in wanted.figures.items():
        scores = [scored(result, model, figure) for model in wanted.models]
        yield {
            "system": wanted.system,
            "protocol": wanted.protocol,
            "score": NAMES.get(figure, figure),
            "published": published,
            "ours": report.number(np.mean([score for score, _ in scores])),
            "seeds": ", ".join(report.number(score, 3) for score, _ in scores) if len(scores) > 1 else "one",
            "95 % interval (first seed)": report.brackets(scores[0][1]),
            "command": command,
        }
        command = ""  # once is enough


NAMES = report.HEADLINES | {"macro_recall": "recall (mean of classes; of two: balanced accuracy)"}


def scored(result, model, figure):
    """A score of a model, and its interval."""
    for row in (*result["models"], *result["aami"]):
        if row["model"] == model and figure in row["scores"]:
            return row["scores"][figure], row["intervals"][figure]
    raise ValueError(f"the evaluation has no {figure} of {model}")


def filled(mark):
    """A marked part of README with the table of the file that its mark names."""
    path = ROOT / mark[2]
    if not path.exists():
        print(f"no {mark[2]}: its table in README stays as it is")
        return mark[0]
    return mark[1] + TABLE.findall(path.read_text())[int(mark[3]) - 1] + mark[4]


if __name__ == "__main__":
    main()
