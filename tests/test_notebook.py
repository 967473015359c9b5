"""The notebook runs from its first cell to its last without any download, and holds no recording of a patient."""

import json
import re

import pytest

from dataset import HERE

PATH = HERE / "notebooks" / "exploration.ipynb"


def printed(cells):
    """All text that code cells put out."""
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join("".join(output.get("text", "")) for output in outputs)


def test_it_runs_without_recordings_and_shows_what_a_leak_is_worth(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("ECG_DATA", str(tmp_path))  # where there are none
    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(PATH.parent)}}).execute()
    text = printed(notebook.cells)
    leaking, honest = map(float, re.search(r"beats at random: ([\d.]+), new patients: ([\d.]+)", text).groups())
    assert "synthetic demo ECG" in text
    assert leaking > 0.9 and honest < 0.8


def test_what_is_committed_is_small_and_made_of_synthetic_records():
    text = printed(json.loads(PATH.read_text(encoding="utf-8"))["cells"])
    assert PATH.stat().st_size < 300_000
    assert "synthetic demo ECG" in text
    assert "PTB-XL" not in text and "MIT-BIH" not in text
