"""Saved models: what is written, and what is refused."""

import json
import shutil
import subprocess

import keras
import numpy as np
import pytest

import card as cards

CARD = cards.Card(
    classes=("A", "B"), multilabel=True, leads=("I",), sampling_rate=100, samples=4, thresholds=(0.3, 0.6)
)


def tiny_model(samples=4, leads=1, classes=2):
    signals = keras.Input((samples, leads), name="signals")
    x = keras.layers.GlobalAveragePooling1D()(signals)
    return keras.Model(signals, keras.layers.Dense(classes, activation="sigmoid", name="probabilities")(x))


@pytest.fixture
def saved(tmp_path):
    """The path of a saved tiny model, and the model."""
    model = tiny_model()
    return cards.save(tmp_path / "deep" / "model", model, CARD), model


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_saved_model_opens_with_its_card_and_the_same_probabilities(saved, suffix):
    path, model = saved
    opened, card = cards.load(path.with_suffix(suffix))
    signals = np.arange(8, dtype="float32").reshape(2, 4, 1)
    np.testing.assert_array_equal(opened(signals), model(signals))
    assert card == CARD


def test_only_whole_files_are_left(saved):
    path, _ = saved
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.h5", "model.json", "model.keras"]


def test_a_name_with_a_dot_keeps_it(tmp_path):
    assert cards.save(tmp_path / "crop2.5", tiny_model(), CARD).name == "crop2.5.h5"


def test_a_name_that_already_ends_with_h5_is_not_doubled(tmp_path):
    assert cards.save(tmp_path / "model.h5", tiny_model(), CARD).name == "model.h5"


def test_a_model_that_cannot_be_written_leaves_the_old_one(saved, monkeypatch):
    path, _ = saved
    before = path.read_bytes()
    monkeypatch.setattr(keras.Model, "save", lambda self, name: (name.write_text("half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        cards.save(path, tiny_model(), CARD)
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".part*"))


def test_a_model_without_its_card_is_refused(saved):
    path, _ = saved
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match="no card .*model.json"):
        cards.load(path)


def test_a_card_of_another_format_is_refused(saved):
    path, _ = saved
    values = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(ValueError, match="card format 99, but this version reads format 1"):
        cards.load(path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"format": 1}'])
def test_a_json_that_is_no_card_is_refused(saved, text):
    path, _ = saved
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match="model.json is not a card"):
        cards.read(path)


def test_a_card_of_another_model_is_refused(saved):
    path, _ = saved
    cards.save(path.with_name("other"), tiny_model(samples=9), CARD)
    with pytest.raises(ValueError, match="its card is of another model"):
        cards.load(path.with_name("other.h5"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder of code with one commit, as that of `card`; and git, to be asked anything else."""
    git = shutil.which("git") or pytest.skip("git is not installed")

    def run(*words):
        name = ("-c", "user.name=a", "-c", "user.email=b")
        return subprocess.run([git, *name, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    for name in ("code.py", "README.md"):
        (tmp_path / name).write_text("1")
    run("init")
    run("add", ".")
    run("commit", "-m", "one")
    monkeypatch.setattr(cards, "HERE", tmp_path)
    monkeypatch.setattr(cards, "commit", cards.commit.__wrapped__)  # asks anew each time
    return tmp_path, run


def test_the_commit_of_the_code_is_known_with_a_mark_where_code_has_changed(repository):
    folder, git = repository
    head = git("rev-parse", "HEAD").strip()
    (folder / "README.md").write_text("2")
    assert cards.versions()["commit"] == head
    (folder / "new.py").write_text("1")
    assert cards.versions()["commit"] == f"{head} and changes"


@pytest.mark.parametrize("path", ["", None])
def test_without_git_or_a_repository_there_is_no_commit(repository, path, tmp_path, monkeypatch):
    folder, _ = repository
    if path is None:
        shutil.rmtree(folder / ".git")
    else:
        monkeypatch.setenv("PATH", path)
    assert "commit" not in cards.versions()


def test_a_missing_model_and_an_unknown_ending_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model .*nothing.h5; train one"):
        cards.load(tmp_path / "nothing.h5")
    with pytest.raises(ValueError, match="must end with one of .h5, .keras"):
        cards.load(tmp_path / "model.pickle")
