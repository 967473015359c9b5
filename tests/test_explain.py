"""The command `explain`: which pictures a record gets, and what is said where there is nothing to explain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_wfdb
import wfdb
from test_predict import CARD, mean_of_leads, spikes
from tiny_runs import TINY

import card as cards
import data_demo
import explain
import models


def titles(model, card, record, *words):
    """The titles of the pictures of a record, by name."""
    options = explain.arguments(["model.h5", str(record), *words])
    pictures = dict(explain.pictures(model, card, record, options))
    texts = {name: [text.get_text() for text in figure.axes[0].texts] for name, figure in pictures.items()}
    return {name: next(text for text in one if text.startswith(record.name)) for name, one in texts.items()}


def write_millivolts(folder, signals, leads, sampling_rate=100):
    tiny_wfdb.write(folder, "r", np.round(np.asarray(signals) * 1000).astype(int), leads, sampling_rate)
    return folder / "r"


@pytest.fixture
def beat_record(tmp_path):
    """A record of eleven beats, of which the model finds V in the third and the sixth; its R-peaks are annotated."""
    tiny_wfdb.write(tmp_path, "r", spikes({300, 600}), ("MLII",))
    wfdb.wrann("r", "atr", np.arange(100, 1200, 100), ["N"] * 11, write_dir=str(tmp_path))
    return tmp_path / "r"


def test_the_command_writes_a_picture_for_each_class_that_is_named(demo, trained, tmp_path, capsys):
    record = write_millivolts(tmp_path, demo.signals[0], data_demo.LEADS)
    classes = ["--class", "MI", "HYP"]
    for method in explain.METHODS:
        words = [trained / "model.h5", record, "--out", tmp_path / "out", "--method", method, *classes]
        explain.main([str(word) for word in words])
        files = [Path(line) for line in capsys.readouterr().out.split("\n") if line.endswith(".png")]
        assert [file.name for file in files] == [f"r-{method}-MI.png", f"r-{method}-HYP.png"]
        assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_without_a_class_it_is_those_that_are_decided_or_else_the_most_probable(tmp_path):
    for levels, expected in (((0.5, 0.7), "AB"), ((0.1, 0.7), "B"), ((0.39, 0.3), "A")):
        record = write_millivolts(tmp_path, np.tile(levels, (200, 1)), ("I", "II"))
        told = titles(mean_of_leads(), CARD, record)
        assert list(told) == [f"integrated-gradients-{name}" for name in expected]
    assert told["integrated-gradients-A"] == "r from 0 s: A 0.39 (decided from 0.40); integrated-gradients"


def test_of_a_longer_record_the_window_is_drawn_where_the_class_is_most_probable(tmp_path):
    signals = np.zeros((600, 2))
    signals[250:400, 0], signals[500:, 1] = 1, 1  # windows of two seconds begin at each second
    record = write_millivolts(tmp_path, signals, ("I", "II"))
    told = titles(mean_of_leads(), CARD, record, "--class", "A", "B")
    assert [title.split(":")[0] for title in told.values()] == ["r from 2 s", "r from 4 s"]


def test_of_a_shorter_record_nothing_is_drawn_after_its_end(tmp_path):
    record = write_millivolts(tmp_path, np.ones((150, 2)), ("I", "II"))
    options = explain.arguments(["model.h5", str(record)])
    for _, figure in explain.pictures(mean_of_leads(), CARD, record, options):
        assert 150 in [len(line.get_xdata()) for line in figure.axes[0].lines]


def test_a_class_that_there_is_not_is_named_with_those_that_there_are(tmp_path):
    record = write_millivolts(tmp_path, np.ones((200, 2)), ("I", "II"))
    with pytest.raises(ValueError, match="no class C; the model has: A, B"):
        titles(mean_of_leads(), CARD, record, "--class", "C")


def test_a_record_with_nothing_to_explain_says_so_and_what_else_there_is(tmp_path):
    record = write_millivolts(tmp_path, np.ones((200, 2)), ("I", "II"))
    with pytest.raises(ValueError, match="no layer named attention; use integrated-gradients"):
        titles(mean_of_leads(), CARD, record, "--method", "attention")


def test_beats_have_a_gallery_for_each_class_and_a_rhythm(beat_model, beat_record):
    told = titles(*beat_model, beat_record, "--annotations", "atr")
    assert told == {
        "integrated-gradients-N": "r: beats that are surest of N (9 decided); integrated-gradients",
        "integrated-gradients-V": "r: beats that are surest of V (2 decided); integrated-gradients",
        "rhythm": "r: the minute with the most beats other than N (2)",
    }


def test_the_beats_that_are_surest_are_shown_in_order_of_time(beat_model, beat_record, monkeypatch):
    monkeypatch.setitem(explain.SHOWN, "beats", 2)
    options = explain.arguments(["model.h5", str(beat_record), "--annotations", "atr", "--class", "V"])
    figure = dict(explain.pictures(*beat_model, beat_record, options))["integrated-gradients-V"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:2] == ["V 1.00\nat 3.0 s\nMLII/V5", "V 1.00\nat 6.0 s\nMLII/V5"]


def test_a_flat_record_has_no_beats_to_explain(beat_model, tmp_path):
    record = write_millivolts(tmp_path, np.tile([[0.0], [0.2]], (300, 1)), ("MLII",))
    with pytest.raises(ValueError, match="no beats were found"):
        titles(*beat_model, record)


def test_segments_have_a_gallery_and_no_rhythm(tmp_path):
    config = replace(TINY, model="segment_attention", pooling=20)
    scales = {"signals": (np.zeros(1), np.ones(1))}
    model = models.build(config, 1000, 1, 2, scales, multilabel=False)
    cutting = {"task": "segments", "window": [], "band": [], "causal": False}
    card = cards.Card(("normal", "abnormal"), False, ("MLII/V5",), 100, 1000, cutting=cutting, scaling="z-score")
    record = write_millivolts(tmp_path, np.sin(np.arange(2000) / 9)[:, None], ("MLII",))
    told = titles(model, card, record, "--method", "attention", "--class", "normal")
    assert list(told) == ["attention-normal"]
    assert told["attention-normal"].startswith("r: segments that are surest of normal")


def test_attention_is_drawn_where_it_is_more_than_evenly_spread(monkeypatch):
    values = np.array([[[1.0], [1], [4], [2]]] * 2)  # even would be 2
    monkeypatch.setattr(explain, "relevance", lambda *given: values)
    monkeypatch.setattr(explain, "blurred", lambda values, sampling_rate: values)
    inputs = type("Inputs", (), {"card": CARD})
    drawn = {method: explain.values_of(None, inputs, [0, 1], 0, method) for method in explain.METHODS}
    assert drawn["attention"][0].ravel().tolist() == [0, 0, 2, 0]
    assert drawn["grad-cam"] is values
