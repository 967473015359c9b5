"""Copy measured tables into README and `docs/`, so that no number there was typed: `python benchmarks/tables.py`.

Between `<!-- FILE table 2 -->` and `<!-- end -->` goes the second table of FILE, a Markdown file that a command wrote;
where it is not at hand, what stands there stays. First three are made, of which rows stay in the same way:
`results/systems.md`, from the `metrics.json` of evaluations, has some for each published system and protocol,
`results/leak.md` one for each system of beats with both protocols side by side, and `results/validation.md` what cards
tell of PTB-XL's fold 9.
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
import card as cards  # noqa: E402  they lie in the folder above
import report  # noqa: E402
import writing  # noqa: E402

MARKED = re.compile(r"(<!-- (\S+) table (\d+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


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
    Measured("`ptbxl`", "PTB-XL, fold 10", "search-test", ("saved_models/Final-ECG-Model.h5",), PTBXL),
    Measured("`ptbxl`, ensemble", "PTB-XL, fold 10", "ptbxl-table", ("saved_models/ECG-Ensemble.json",), PTBXL),
    Measured(
        "`local-lead-attention`",
        "MIT-BIH, random",
        "beats-random",
        trained("local-lead-attention-random"),
        LOCAL,
    ),
    Measured("`local-lead-attention`", "MIT-BIH, inter-patient", "beats-inter", shipped("local-lead-attention"), INTER),
    Measured(
        "`segment-attention`",
        "MIT-BIH, random patients",
        "segments-random",
        trained("segments-random"),
        SEGMENTS,
    ),
    Measured("`segment-attention`", "MIT-BIH, inter-patient", "segments-inter", trained("segment-attention"), SEGMENTS),
    Measured(
        "`segment-attention-transfer`",
        "MIT-BIH, random patients",
        "segments-random",
        trained("segments-transfer-random"),
        SEGMENTS,
    ),
    Measured(
        "`segment-attention-transfer`",
        "MIT-BIH, inter-patient",
        "segments-inter",
        ("saved_models/segment-attention.h5", *trained("segment-attention-transfer")[1:]),
        SEGMENTS,
    ),
    Measured("`beat-tokens`", "MIT-BIH, random", "text-random", trained("beat-tokens-random"), TEXT),
    Measured("`beat-tokens`", "MIT-BIH, inter-patient", "text-inter", shipped("beat-tokens"), INTER),
    Measured("`cnn-lstm`", "heartbeat files, random", "beats-heartbeat", trained("cnn-lstm"), CNN_LSTM),
    Measured(
        "`cnn-lstm-context`", "MIT-BIH, random", "beats-random", ("results/cnn-lstm-context-random/model.h5",), CNN_LSTM
    ),
    Measured("`cnn-lstm-shapes`", "MIT-BIH, random", "beats-random", trained("cnn-lstm-shapes"), CNN_LSTM),
    Measured("`cnn-lstm-context`", "MIT-BIH, inter-patient", "beats-inter", shipped("cnn-lstm-context"), INTER),
]


VALIDATED = [f"results/{name}/model.h5" for name in ("ptbxl", "inception_time", "search-12")]
VALIDATED += [
    f"saved_models/{name}.h5" for name in ("Final-ECG-Model", "ptbxl-crops", "ptbxl-statements", "ptbxl-robust")
]
VALIDATED += [f"saved_models/{name}.h5" for name in ("resnet1d_wang", "xresnet1d50", "transformer")]
LEAK = ("accuracy", "macro_f1", "macro_auc", "SVEB F1", "VEB F1", "N, S, V macro F1")  # of beats, by both protocols


def main():
    documents = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
    standing = {mark[2]: rows_in(mark[0]) for text in documents.values() for mark in MARKED.finditer(text)}
    write_table("systems", [row for wanted in WANTED for row in rows_of(wanted, standing["results/systems.md"])])
    write_table("leak", [*leaks(standing["results/leak.md"])])
    write_table("validation", validated(standing["results/validation.md"]))
    for path, text in documents.items():
        with writing.whole(path) as temporary:
            temporary.write_text(MARKED.sub(filled, text))


def rows_in(marked):
    """The rows of a table as it stands in a document, as dicts of text."""
    names, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in marked.splitlines()[1:-1])
    return [dict(zip(names, row, strict=True)) for row in rows]


def write_table(name, rows):
    """Write `results/NAME.md`."""
    with writing.whole(ROOT / "results" / f"{name}.md") as temporary:
        temporary.write_text(report.markdown(pd.DataFrame(rows)) + "\n")


def evaluation_of(wanted, models):
    """What `evaluate` wrote of models of a system; None, with a line that says so, where they are not at hand."""
    path = ROOT / "results" / wanted.folder / "metrics.json"
    result = json.loads(path.read_text()) if path.exists() else {"models": []}
    if set(models) <= {row["model"] for row in result["models"]}:
        return result
    print(f"not in {path.relative_to(ROOT)}: {wanted.system}, {wanted.protocol} stays as it is")
    return None


def leaks(standing):
    """A row for each system of beats that was scored at random and across patients: the first seed of both."""
    for wanted in WANTED:
        others = [one for one in WANTED if (one.system, one.protocol) == (wanted.system, "MIT-BIH, inter-patient")]
        if wanted.protocol != "MIT-BIH, random" or not others:
            continue
        results = [evaluation_of(one, one.models[:1]) for one in (wanted, others[0])]
        if not all(results):
            yield from (row for row in standing if row["system"] == wanted.system)
        else:
            pairs = zip(results, (wanted, others[0]), strict=True)
            found = [{name: scored(result, one.models[0], name)[0] for name in LEAK} for result, one in pairs]
            shown = {NAMES.get(name, name): " → ".join(report.number(one[name], 3) for one in found) for name in LEAK}
            yield {"system": wanted.system} | shown


def validated(standing):
    """A row for each network of PTB-XL with its scores on validation data, the best first."""
    rows = [row for row in standing if not (ROOT / row["model"]).exists()]
    for path in filter(Path.exists, map(ROOT.joinpath, VALIDATED)):
        card = cards.read(path)
        scores = {NAMES.get(score, score): report.number(card.scores["validation"][score]) for score in PTBXL}
        rows.append({"model": str(path.relative_to(ROOT)), "epochs": len(card.log)} | scores)
    return sorted(rows, key=lambda row: row[NAMES["macro_auc"]], reverse=True)


def rows_of(wanted, standing):
    """A row for each figure of a system: published and ours, as the mean of seeds and the interval of the first."""
    result = evaluation_of(wanted, wanted.models)
    if not result:
        yield from (row for row in standing if (row["system"], row["protocol"]) == (wanted.system, wanted.protocol))
        return
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
    """A marked part of a document with the table of the file that its mark names."""
    path = ROOT / mark[2]
    if not path.exists():
        print(f"no {mark[2]}: its table stays as it is")
        return mark[0]
    return mark[1] + TABLE.findall(path.read_text())[int(mark[3]) - 1] + mark[4]


if __name__ == "__main__":
    main()
