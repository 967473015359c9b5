"""Training: what is learned from what, what a run leaves, and what stops it."""

import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from tiny_runs import TINY, command, feed

import card as cards
import dataset
import losses
import metrics
import optimizers
import settings
import training
from inputs import Inputs, predict_rows


def test_a_run_leaves_model_card_log_and_curve(trained):
    left = {path.name for path in trained.iterdir()}
    assert left >= {"model.h5", "model.keras", "model.json", "log.csv", "training.png", "state.npz"}
    assert pd.read_csv(trained / "log.csv")["epoch"].tolist() == [1, 2]
    assert len(list(trained.glob("best-*.weights.h5"))) == 1  # of the best epoch only


def test_the_saved_model_takes_whole_records_although_it_was_trained_on_crops(trained, demo):
    model, card = cards.load(trained / "model.h5")
    assert model.input_shape[0] == (None, 1000, 12)
    assert card.samples == 1000
    assert card.classes == demo.classes


def test_the_card_holds_the_scores_that_the_saved_model_has_on_validation(trained, demo):
    model, card = cards.load(trained / "model.keras")
    rows = demo.rows("validation")
    probabilities = model.predict([demo.signals[rows], np.nan_to_num(demo.features[rows], nan=50.0)], verbose=0)
    known = ~np.isnan(demo.features[rows]).any(axis=1)
    np.testing.assert_allclose(predict_rows(model, Inputs(demo, card), rows)[known], probabilities[known], atol=1e-5)
    log = pd.read_csv(trained / "log.csv")
    assert set(card.scores) == {"validation", "validation_windows"}
    assert card.scores["validation"]["macro_auc"] == pytest.approx(log["val_macro_auc"].max(), abs=1e-6)


def test_unknown_features_take_the_training_median_which_is_in_the_card(trained, demo):
    card = cards.read(trained / "model.h5")
    train = demo.features[demo.rows("train")]
    assert card.feature_defaults[0] == np.median(train[~np.isnan(train[:, 0]), 0])


def test_nothing_is_learned_from_records_outside_the_training_split(trained, demo, tmp_path):
    outside = demo.split != "train"
    signals, features, labels = demo.signals.copy(), demo.features.copy(), demo.labels.copy()
    signals[outside] += 5
    features[outside] = 99
    labels[outside] = np.roll(labels[outside], 1, axis=0)
    other = replace(demo, signals=signals, features=features, labels=labels)
    rows, card = demo.rows("train"), cards.describe(TINY, demo, demo.rows("train"))
    assert cards.describe(TINY, other, rows).feature_defaults == card.feature_defaults
    for one, two in zip(feed(demo)[0][0], feed(other)[0][0], strict=True):
        np.testing.assert_array_equal(one, two)
    scalings = [
        [
            layer.get_config()
            for layer in training.build(TINY, Inputs(each, card), rows)[1].layers
            if "rescaling" in layer.name
        ]
        for each in (demo, other)
    ]
    assert [(s["scale"], s["offset"]) for s in scalings[0]] == [(s["scale"], s["offset"]) for s in scalings[1]]


def test_thresholds_are_chosen_on_validation_records_alone(trained, demo):
    model, card = cards.load(trained / "model.keras")
    labels = demo.labels.copy()
    labels[demo.split == "test"] = np.roll(labels[demo.split == "test"], 1, axis=0)
    judged = training.judge(Inputs(replace(demo, labels=labels), card), demo.rows("validation"), model)
    assert judged.thresholds == pytest.approx(card.thresholds, abs=1e-6)


def test_what_teachers_say_is_mixed_into_the_targets_of_training_records_alone(trained, demo):
    path, rows = str(trained / "model.h5"), demo.rows("train")
    targets = training.targets_of(replace(TINY, teachers=(path, path), teaching=0.25), demo, rows)
    model, card = cards.load(path)
    told = predict_rows(model, Inputs(demo, card), rows)
    np.testing.assert_allclose(targets[rows], 0.75 * demo.labels[rows] + 0.25 * told, atol=1e-6)
    outside = demo.split != "train"
    np.testing.assert_array_equal(targets[outside], demo.labels[outside])


def test_a_teacher_of_other_classes_is_refused(trained, demo):
    other = replace(demo, classes=("A", "B", "C", "D", "E"))
    with pytest.raises(ValueError, match=r"model.h5 was made for classes \('NORM'.*but synthetic demo.*has \('A'"):
        training.targets_of(replace(TINY, teachers=(str(trained / "model.h5"),)), other, demo.rows("train"))


def test_training_begins_from_the_weights_of_a_saved_network(trained, demo, tmp_path):
    path = str(trained / "model.h5")
    tiny_steps = replace(TINY, start=path, learning_rate=1e-9, epochs=1, seed=5)
    started = training.train(tiny_steps, demo, tmp_path)
    for before, after in zip(*(cards.load(each)[0].trainable_weights for each in (path, started)), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)
    assert list(cards.read(started).data["start"]) == [path]


def test_a_start_from_a_network_of_another_shape_is_refused(trained, demo, tmp_path):
    with pytest.raises(ValueError, match=r"cannot start from .*weights of shape .* came where .* are needed"):
        training.train(replace(TINY, start=str(trained / "model.h5"), filters=(5,)), demo, tmp_path)


def test_finer_labels_are_trained_on_but_the_saved_model_tells_the_classes(demo, tmp_path):
    fine = dataset.FineLabels(np.hstack([demo.labels, 1 - demo.labels]), tuple("abcdefghij"), np.eye(10, 5))
    path = training.train(replace(TINY, epochs=1), replace(demo, fine=fine), tmp_path)
    model, card = cards.load(path)
    assert model.output_shape == (None, 5) == (None, len(card.classes))
    assert model.get_layer("fine_logits").units == 10
    labels = demo.labels[demo.rows("validation")]
    told = predict_rows(model, Inputs(demo, card), demo.rows("validation"))
    assert card.scores["validation"]["macro_auc"] == pytest.approx(metrics.macro_auc(labels, told), abs=1e-6)


def test_a_run_with_synthetic_records_judges_real_ones_and_its_card_counts_none(demo_of_one_class, tmp_path):
    path = training.train(replace(TINY, epochs=1, smote=1.0, loss="crossentropy"), demo_of_one_class, tmp_path)
    model, card = cards.load(path)
    plain = cards.describe(TINY, demo_of_one_class, demo_of_one_class.rows("train"))
    assert card.data == plain.data and card.feature_defaults == plain.feature_defaults
    assert card.thresholds == ()
    rows = demo_of_one_class.rows("validation")
    told = predict_rows(model, Inputs(demo_of_one_class, card), rows)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    assert card.scores["validation"] == pytest.approx(
        metrics.scores(demo_of_one_class.labels[rows], told, ()), abs=1e-6
    )


def test_features_are_chosen_by_how_their_names_begin_or_left_out(demo, tmp_path):
    rows = demo.rows("train")
    assert cards.describe(replace(TINY, features=("sex",)), demo, rows).feature_names == ("sex (0 male, 1 female)",)
    with pytest.raises(ValueError, match=r"no feature begins with weight; there are: age \(years\), sex"):
        cards.describe(replace(TINY, features=("weight",)), demo, rows)
    model, _ = cards.load(training.train(replace(TINY, epochs=1, features=()), demo, tmp_path))
    assert [tensor.name for tensor in model.inputs] == ["signals"]


def test_training_stops_early_lowers_the_rate_and_keeps_the_best(demo, tmp_path):
    callbacks = training.callbacks_of(TINY, tmp_path, feed(demo), None, None, None, False)
    watching = {type(each).__name__: each for each in callbacks}
    assert watching["EarlyStopping"].patience == TINY.patience
    assert watching["ModelCheckpoint"].save_best_only
    for name in ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"):
        assert watching[name].monitor == "val_macro_auc"
    assert type(callbacks[-1]).__name__ == "State"


@pytest.mark.parametrize(
    ("setting", "value"), [("batch_size", 0), ("epochs", 0), ("crop", -1.0), ("data_fraction", 7.0)]
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must be .* {value} came"):
        training.check(replace(TINY, **{setting: value}))


def test_a_feature_that_no_training_record_has_is_refused(demo):
    features = demo.features.copy()
    features[:, 0] = np.nan
    with pytest.raises(ValueError, match="no training record has a known age"):
        cards.describe(TINY, replace(demo, features=features), demo.rows("train"))


def test_a_fraction_of_the_data_is_a_fraction_of_the_patients(demo):
    rows = training.training_rows(demo, replace(TINY, data_fraction=0.5))
    patients = set(demo.groups[demo.rows("train")])
    assert len(set(demo.groups[rows])) == round(len(patients) / 2)
    assert set(demo.split[rows]) == {"train"}


def test_cosine_rises_to_the_learning_rate_in_its_first_fifth_and_falls_to_zero():
    schedule = optimizers.cosine(replace(TINY, learning_rate=1e-3, warmup=0.2), steps=100)
    np.testing.assert_allclose([schedule(step) for step in (0, 10, 20, 60, 100)], [0, 5e-4, 1e-3, 5e-4, 0], atol=1e-9)


@pytest.mark.parametrize("schedule", optimizers.SCHEDULES)
@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
def test_every_optimizer_takes_every_schedule(schedule, optimizer):
    made = optimizers.build(replace(TINY, schedule=schedule, optimizer=optimizer), steps=10)
    variable = keras.Variable([1.0])
    for _ in range(3):  # in the first, a warm-up has a rate of zero
        made.apply([np.ones(1, "float32")], [variable])
    assert float(variable[0]) < 1  # down the slope


def test_another_seed_gives_another_model_and_tensorboard_is_written_on_request(trained, demo, tmp_path):
    training.train(replace(TINY, seed=1), demo, tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert pd.read_csv(tmp_path / "log.csv")["loss"][0] != pd.read_csv(trained / "log.csv")["loss"][0]


def test_a_loss_that_is_no_number_stops_and_says_what_to_do(demo, tmp_path, monkeypatch):
    nothing = {"focal": lambda *_: lambda labels, probabilities: keras.ops.sum(probabilities) * np.nan}
    monkeypatch.setattr(losses, "LOSSES", nothing)
    with pytest.raises(FloatingPointError, match="loss became nan in epoch 1; try a --learning-rate"):
        training.train(TINY, demo, tmp_path)
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.parametrize("setting", ["model", "loss", "optimizer", "schedule", "precision", "augmentation"])
def test_unknown_names_are_refused_before_any_work(setting):
    value = ("sepia",) if setting == "augmentation" else "sepia"
    with pytest.raises(ValueError, match=f"no {setting} 'sepia'; there are: "):
        training.check(replace(TINY, **{setting: value}))


def test_a_class_without_a_positive_record_in_validation_is_named(demo, capsys):
    labels = demo.labels.copy()
    labels[demo.split == "validation", 4] = 0
    training.warn_about_absent(replace(demo, labels=labels), demo.rows("validation"))
    assert "mind: HYP" in capsys.readouterr().out


def test_a_mistake_on_the_command_line_is_one_line_without_a_trace(tmp_path):
    run = command(tmp_path, "--loss", "hinge")
    output = run.communicate()[0].decode().splitlines()
    assert run.returncode == 1
    assert output[-1] == "training: no loss 'hinge'; there are: crossentropy, focal, asymmetric"
    assert not any("Traceback" in line for line in output)


def test_the_card_is_json_with_the_whole_config(trained):
    values = json.loads((trained / "model.json").read_text())
    assert settings.from_json(values["config"]) == TINY
    assert values["data"]["records"] == {"train": 48, "validation": 6, "test": 6}
