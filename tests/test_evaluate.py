"""The command: which models may be scored together, what is written, and no look at the test split in vain."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_card import tiny_model

import card as cards
import dataset
import evaluate
import recipes
import state


@pytest.fixture
def small_demo(monkeypatch):
    """The demo dataset, but of sixty records."""
    load = dataset.load
    monkeypatch.setattr(dataset, "load", lambda *names: load(*names, records=60))


def saved_model(path, classes=("NORM", "MI", "STTC", "CD", "HYP")):
    card = cards.Card(classes, True, data_leads(), 100, 1000, config={"dataset": "demo"})
    return cards.save(path, tiny_model(1000, 12, len(classes)), card)


def data_leads():
    return ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def test_models_are_scored_with_their_mean_and_the_naive_predictor_and_the_look_is_noted(
    small_demo, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    paths = [str(saved_model(tmp_path / name)) for name in ("one", "two")]
    evaluate.main(
        [*paths, "--out", str(tmp_path / "out"), "--samples", "20", "--thresholds", "hamming", "--write-card"]
    )
    with np.load(tmp_path / "out" / "predictions.npz") as saved:
        assert saved["models"].tolist() == [*paths, "mean of these", "naive (class frequencies)"]
        np.testing.assert_allclose(saved["probabilities"][2], saved["probabilities"][:2].mean(axis=0), rtol=1e-6)
        assert set(saved["split"]) == {"validation", "test"}
    assert len((tmp_path / "readings.csv").read_text().splitlines()) == 3  # a heading and two models
    card = cards.read(paths[0])
    assert (card.threshold_goal, len(card.thresholds), len(card.temperatures)) == ("hamming", 5, 5)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"][0]
    assert card.scores["test"] == result["scores"]
    assert card.scores["test_low"]["macro_f1"] == result["intervals"]["macro_f1"][0]


def test_a_goal_that_is_unknown_is_refused_before_the_test_split_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    with pytest.raises(ValueError, match="no goal 'luck'"):
        evaluate.main([str(saved_model(tmp_path / "model")), "--thresholds", "luck"])
    assert not (tmp_path / "readings.csv").exists()


def test_the_card_of_a_model_is_left_alone_unless_asked(small_demo, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    path = saved_model(tmp_path / "model")
    before = cards.read(path)
    evaluate.main([str(path), "--out", str(tmp_path / "out"), "--samples", "5"])
    assert cards.read(path) == before


def test_the_model_of_a_run_is_named_after_its_folder(tmp_path):
    assert evaluate.name_of(tmp_path / "ptbxl" / "model.h5") == "ptbxl-test"
    assert evaluate.name_of(tmp_path / "Final-ECG-Model.h5") == "Final-ECG-Model"


def test_the_card_of_an_ensemble_stands_for_the_mean_of_its_members(small_demo, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    paths = [str(saved_model(tmp_path / name)) for name in ("one", "two")]
    (tmp_path / "both").mkdir()
    together = str(tmp_path / "both" / "mean.json")
    evaluate.main([*paths, "--out", str(tmp_path / "a"), "--samples", "5", "--save-ensemble", together])
    assert cards.read(together).members == ("../one.h5", "../two.h5")
    assert len(cards.read(together).thresholds) == 5
    evaluate.main([together, "--out", str(tmp_path / "b"), "--samples", "5"])
    with np.load(tmp_path / "a" / "predictions.npz") as a, np.load(tmp_path / "b" / "predictions.npz") as b:
        np.testing.assert_allclose(b["probabilities"][0], a["probabilities"][2], atol=1e-6)


def test_members_of_an_ensemble_take_and_give_the_same(tmp_path):
    paths = [saved_model(tmp_path / "one"), saved_model(tmp_path / "two", classes=("A", "B", "C", "D", "E"))]
    with pytest.raises(ValueError, match=r"two.h5 has classes \('A'.*, but .*one.h5 has \('NORM'"):
        cards.ensemble(tmp_path / "mean.json", paths)


def test_an_ensemble_does_not_overwrite_the_card_of_a_model_and_is_not_cross_validated(small_demo, tmp_path):
    paths = [saved_model(tmp_path / name) for name in ("one", "two")]
    with pytest.raises(ValueError, match="a .json that is no model's, not .*two.json"):
        evaluate.main([*map(str, paths), "--save-ensemble", str(tmp_path / "two.json")])
    cards.write(tmp_path / "mean.json", cards.ensemble(tmp_path / "mean.json", paths))
    with pytest.raises(ValueError, match="cannot be cross-validated"):
        evaluate.main([str(tmp_path / "mean.json"), "--cross-validate", "3"])


def test_an_interrupted_fold_is_not_taken_for_a_finished_one(small_demo, tmp_path, monkeypatch):
    path = saved_model(tmp_path / "model")
    settings = {"dataset": "demo", "recipe": "demo", "filters": [4], "kernels": [3], "lstm_units": 3, "epochs": 2}
    cards.write(path, replace(cards.read(path), config=settings))
    monkeypatch.setattr(state.State, "on_epoch_begin", interrupt_the_second, raising=False)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main([str(path), "--cross-validate", "3", "--out", str(tmp_path / "folds")])
    assert not list((tmp_path / "folds").glob("*/predictions.npz"))
    assert len(list((tmp_path / "folds").glob("fold-1/state.npz"))) == 1


def interrupt_the_second(self, epoch, logs=None):
    if epoch == 1:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_cross_validation_scores_every_patient_once_and_never_the_test_split(small_demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    settings = {"dataset": "demo", "recipe": "demo", "filters": [4], "kernels": [3], "lstm_units": 3, "epochs": 1}
    path = saved_model(tmp_path / "model")
    cards.write(path, replace(cards.read(path), config=settings))
    command = [str(path), "--cross-validate", "3", "--out", str(tmp_path / "folds"), "--samples", "5"]
    evaluate.main(command)
    data = dataset.load("demo")
    scored = []
    for number in (1, 2, 3):
        with np.load(tmp_path / "folds" / f"fold-{number}" / "predictions.npz") as saved:
            scored.extend(saved["names"][saved["split"] == "test"])
    assert sorted(scored) == sorted(data.records["name"][data.split != "test"])
    table = pd.read_csv(tmp_path / "folds" / "folds.csv")
    assert table["records"].sum() == len(scored)
    assert f"| mean |  |  | {table['macro_auc'].mean():.4f} |" in capsys.readouterr().out
    assert not (tmp_path / "readings.csv").exists()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "folds").glob("fold-*/model.h5")}
    evaluate.main(command)  # what is done stays done
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "folds").glob("fold-*/model.h5")}


def test_made_recordings_are_trained_on_but_not_judged(tmp_path, monkeypatch):
    asked, trained_on = [], recipes.RECIPES["cnn-lstm-context"]
    card = SimpleNamespace(config=asdict(trained_on))
    monkeypatch.setattr(evaluate.recipes, "read_data", lambda config, options: asked.append(config))
    monkeypatch.setattr(evaluate.cards, "read", lambda path: card)
    monkeypatch.setattr(evaluate, "record_reading", lambda paths, data: None)
    monkeypatch.setattr(evaluate, "predict", lambda paths, data_of: {"read": str(data_of(card))})
    evaluate.predictions_of(SimpleNamespace(predictions=None, models=["model.h5"]), tmp_path)
    assert trained_on.rhythms == 3
    assert asked == [replace(trained_on, rhythms=None)]


def test_a_model_of_other_classes_is_refused(small_demo, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "READINGS", tmp_path / "readings.csv")
    path = saved_model(tmp_path / "model", classes=("A", "B"))
    with pytest.raises(ValueError, match=r"was made for classes \('A', 'B'\), but synthetic demo ECG .* \('NORM'"):
        evaluate.main([str(path), "--out", str(tmp_path)])
