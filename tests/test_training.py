"""Training: crops, order, resuming to the same bits, and what stops it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import augmentation
import batches as batching
import card as cards
import dataset
import losses
import metrics
import recipes
import training

ROOT = Path(training.__file__).parent
TINY = replace(
    recipes.RECIPES["demo"],
    filters=(4,),
    kernels=(3,),
    lstm_units=3,
    dense_units=4,
    metadata_units=2,
    combined_units=4,
    crop=1.0,
    batch_size=16,
    epochs=2,
)


@pytest.fixture(scope="module")
def data():
    """Sixty synthetic records."""
    return dataset.load("demo", records=60)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp("run")
    training.train(TINY, data, folder)
    return folder


def feed(data, **changes):
    config = replace(TINY, **changes)
    rows = data.rows("train")
    return batching.Batches(data, rows, config, cards.describe(config, data, rows), data.labels)


def test_a_run_leaves_model_card_log_and_curve(trained):
    left = {path.name for path in trained.iterdir()}
    assert left >= {"model.h5", "model.keras", "model.json", "log.csv", "training.png", "state.npz"}
    assert pd.read_csv(trained / "log.csv")["epoch"].tolist() == [1, 2]
    assert len(list(trained.glob("best-*.weights.h5"))) == 1  # of the best epoch only


def test_the_saved_model_takes_whole_records_although_it_was_trained_on_crops(trained, data):
    model, card = cards.load(trained / "model.h5")
    assert model.input_shape[0] == (None, 1000, 12)
    assert card.samples == 1000
    assert card.classes == data.classes


def test_the_card_holds_the_scores_that_the_saved_model_has_on_validation(trained, data):
    model, card = cards.load(trained / "model.keras")
    rows = data.rows("validation")
    probabilities = model.predict([data.signals[rows], np.nan_to_num(data.features[rows], nan=50.0)], verbose=0)
    known = ~np.isnan(data.features[rows]).any(axis=1)
    np.testing.assert_allclose(batching.predict_rows(model, data, rows, card)[known], probabilities[known], atol=1e-5)
    log = pd.read_csv(trained / "log.csv")
    assert set(card.scores) == {"validation", "validation_windows"}
    assert card.scores["validation"]["macro_auc"] == pytest.approx(log["val_macro_auc"].max(), abs=1e-6)


def test_unknown_features_take_the_training_median_which_is_in_the_card(trained, data):
    card = cards.read(trained / "model.h5")
    train = data.features[data.rows("train")]
    assert card.feature_defaults[0] == np.median(train[~np.isnan(train[:, 0]), 0])


def test_crops_are_stretches_of_their_own_record():
    signals = np.arange(20, dtype="float32").reshape(2, 10, 1)
    crops = batching.random_crops(signals, 4, np.random.default_rng(0))
    assert crops.shape == (2, 4, 1)
    for record, crop in zip(signals, crops, strict=True):
        assert crop[0] in record
        np.testing.assert_array_equal(np.diff(crop[:, 0]), 1)


def test_batches_are_the_same_for_the_same_seed_and_epoch_and_others_in_the_next_epoch(data):
    first, again, other = feed(data), feed(data), feed(data)
    other.epoch = 1
    (signals, _), labels = first[1]
    np.testing.assert_array_equal(signals, again[1][0][0])
    np.testing.assert_array_equal(labels, again[1][1])
    assert not np.array_equal(signals, other[1][0][0])


def test_no_record_comes_twice_in_an_epoch(data):
    whole = feed(data, crop=0.0)
    seen = np.concatenate([whole[i][0][0] for i in range(len(whole))])
    assert len(np.unique(seen[:, :, 0], axis=0)) == len(seen) == 48  # 3 batches of 16


def test_only_training_records_are_drawn(data):
    whole = feed(data, crop=0.0)
    validation = {record.tobytes() for record in data.signals[data.split != "train"]}
    drawn = {record.tobytes() for i in range(len(whole)) for record in whole[i][0][0]}
    assert not drawn & validation


@pytest.mark.parametrize("name", augmentation.AUGMENTATIONS)
def test_every_augmentation_gives_batches_of_the_same_shape(data, name):
    (signals, features), labels = feed(data, augmentation=(name,))[0]
    assert (signals.shape, features.shape, labels.shape) == ((16, 100, 12), (16, 2), (16, 5))
    assert np.isfinite(signals).all() and np.isfinite(features).all()


def test_crops_of_a_record_change_from_epoch_to_epoch(data):
    rows = data.rows("train")[:1]
    config = replace(TINY, batch_size=1)
    one = batching.Batches(data, rows, config, cards.describe(config, data, rows), data.labels)
    first = one[0][0][0]
    one.epoch = 1
    assert not np.array_equal(first, one[0][0][0])


def test_nothing_is_learned_from_records_outside_the_training_split(trained, data, tmp_path):
    outside = data.split != "train"
    signals, features, labels = data.signals.copy(), data.features.copy(), data.labels.copy()
    signals[outside] += 5
    features[outside] = 99
    labels[outside] = np.roll(labels[outside], 1, axis=0)
    other = replace(data, signals=signals, features=features, labels=labels)
    rows, card = data.rows("train"), cards.describe(TINY, data, data.rows("train"))
    assert cards.describe(TINY, other, rows).feature_defaults == card.feature_defaults
    for one, two in zip(feed(data)[0][0], feed(other)[0][0], strict=True):
        np.testing.assert_array_equal(one, two)
    scalings = [
        [layer.get_config() for layer in training.build(TINY, each, rows, card)[1].layers if "rescaling" in layer.name]
        for each in (data, other)
    ]
    assert [(s["scale"], s["offset"]) for s in scalings[0]] == [(s["scale"], s["offset"]) for s in scalings[1]]


def test_thresholds_are_chosen_on_validation_records_alone(trained, data):
    model, card = cards.load(trained / "model.keras")
    labels = data.labels.copy()
    labels[data.split == "test"] = np.roll(labels[data.split == "test"], 1, axis=0)
    judged = training.judge(card, replace(data, labels=labels), data.rows("validation"), model)
    assert judged.thresholds == pytest.approx(card.thresholds, abs=1e-6)


def test_what_teachers_say_is_mixed_into_the_targets_of_training_records_alone(trained, data):
    path, rows = str(trained / "model.h5"), data.rows("train")
    targets = training.targets_of(replace(TINY, teachers=(path, path), teaching=0.25), data, rows)
    model, card = cards.load(path)
    told = batching.predict_rows(model, data, rows, card)
    np.testing.assert_allclose(targets[rows], 0.75 * data.labels[rows] + 0.25 * told, atol=1e-6)
    outside = data.split != "train"
    np.testing.assert_array_equal(targets[outside], data.labels[outside])


def test_a_teacher_of_other_classes_is_refused(trained, data):
    other = replace(data, classes=("A", "B", "C", "D", "E"))
    with pytest.raises(ValueError, match=r"model.h5 was made for classes \('NORM'.*but synthetic demo.*has \('A'"):
        training.targets_of(replace(TINY, teachers=(str(trained / "model.h5"),)), other, data.rows("train"))


def test_finer_labels_are_trained_on_but_the_saved_model_tells_the_classes(data, tmp_path):
    fine = dataset.FineLabels(np.hstack([data.labels, 1 - data.labels]), tuple("abcdefghij"), np.eye(10, 5))
    path = training.train(replace(TINY, epochs=1), replace(data, fine=fine), tmp_path)
    model, card = cards.load(path)
    assert model.output_shape == (None, 5) == (None, len(card.classes))
    assert model.get_layer("fine_logits").units == 10
    labels = data.labels[data.rows("validation")]
    told = batching.predict_rows(model, data, data.rows("validation"), card)
    assert card.scores["validation"]["macro_auc"] == pytest.approx(metrics.macro_auc(labels, told), abs=1e-6)


@pytest.fixture(scope="module")
def one_class(data):
    """The same records, each of the last of its classes."""
    last = data.labels.shape[1] - 1 - data.labels[:, ::-1].argmax(axis=1)
    return replace(data, labels=np.eye(5, dtype="float32")[last], multilabel=False)


def test_with_sampling_power_one_each_class_is_drawn_as_often(one_class):
    drawing = feed(one_class, sampling_power=1.0)
    counts = np.zeros(5)
    for epoch in range(200):
        drawing.epoch = epoch
        counts += one_class.labels[drawing.order].sum(axis=0)
    np.testing.assert_allclose(counts / counts.sum(), 0.2, atol=0.02)
    assert len(drawing.order) == len(one_class.rows("train"))


def test_a_run_with_synthetic_records_judges_real_ones_and_its_card_counts_none(one_class, tmp_path):
    path = training.train(replace(TINY, epochs=1, smote=1.0, loss="crossentropy"), one_class, tmp_path)
    model, card = cards.load(path)
    plain = cards.describe(TINY, one_class, one_class.rows("train"))
    assert card.data == plain.data and card.feature_defaults == plain.feature_defaults
    assert card.thresholds == ()
    rows = one_class.rows("validation")
    told = batching.predict_rows(model, one_class, rows, card)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    assert card.scores["validation"] == pytest.approx(metrics.scores(one_class.labels[rows], told, ()), abs=1e-6)


def test_features_are_chosen_by_how_their_names_begin_or_left_out(data, tmp_path):
    rows = data.rows("train")
    assert cards.describe(replace(TINY, features=("sex",)), data, rows).feature_names == ("sex (0 male, 1 female)",)
    with pytest.raises(ValueError, match=r"no feature begins with weight; there are: age \(years\), sex"):
        cards.describe(replace(TINY, features=("weight",)), data, rows)
    model, _ = cards.load(training.train(replace(TINY, epochs=1, features=()), data, tmp_path))
    assert [tensor.name for tensor in model.inputs] == ["signals"]


def test_training_stops_early_lowers_the_rate_and_keeps_the_best(data, tmp_path):
    callbacks = training.callbacks_of(TINY, tmp_path, feed(data), None, None, None, False)
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


def test_a_feature_that_no_training_record_has_is_refused(data):
    features = data.features.copy()
    features[:, 0] = np.nan
    with pytest.raises(ValueError, match="no training record has a known age"):
        cards.describe(TINY, replace(data, features=features), data.rows("train"))


def test_labels_that_changed_since_are_refused_on_resume(trained, data):
    labels = np.roll(data.labels, 1, axis=0)
    with pytest.raises(ValueError, match="cannot resume"):
        training.train(TINY, replace(data, labels=labels), trained, resume=True)


def test_a_fraction_of_the_data_is_a_fraction_of_the_patients(data):
    rows = training.training_rows(data, replace(TINY, data_fraction=0.5))
    patients = set(data.groups[data.rows("train")])
    assert len(set(data.groups[rows])) == round(len(patients) / 2)
    assert set(data.split[rows]) == {"train"}


def test_windows_are_averaged_over_halves_that_overlap(data):
    card = cards.describe(TINY, data, data.rows("train"))
    rows = data.rows("validation")[:2]

    class MeanOfLeadI:
        def predict_on_batch(self, inputs):
            return inputs[0][:, :, :1].mean(axis=1)

    expected = [np.mean([data.signals[row, s : s + 400, 0].mean() for s in (0, 200, 400, 600)]) for row in rows]
    averaged = batching.predict_rows(MeanOfLeadI(), data, rows, card, window=400)
    np.testing.assert_allclose(averaged[:, 0], expected, atol=1e-6)


def test_cosine_rises_to_the_learning_rate_in_its_first_fifth_and_falls_to_zero():
    schedule = training.cosine(replace(TINY, learning_rate=1e-3, warmup=0.2), steps=100)
    np.testing.assert_allclose([schedule(step) for step in (0, 10, 20, 60, 100)], [0, 5e-4, 1e-3, 5e-4, 0], atol=1e-9)


@pytest.mark.parametrize("schedule", training.SCHEDULES)
@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_every_optimizer_takes_every_schedule(schedule, optimizer):
    rate = training.SCHEDULES[schedule](TINY, 10)
    made, variable = training.OPTIMIZERS[optimizer](TINY, rate), keras.Variable([1.0])
    for _ in range(3):  # in the first, a warm-up has a rate of zero
        made.apply([np.ones(1, "float32")], [variable])
    assert float(variable[0]) < 1  # down the slope


def test_another_seed_gives_another_model_and_tensorboard_is_written_on_request(trained, data, tmp_path):
    training.train(replace(TINY, seed=1), data, tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert pd.read_csv(tmp_path / "log.csv")["loss"][0] != pd.read_csv(trained / "log.csv")["loss"][0]


def test_a_loss_that_is_no_number_stops_and_says_what_to_do(data, tmp_path, monkeypatch):
    nothing = {"focal": lambda *_: lambda labels, probabilities: keras.ops.sum(probabilities) * np.nan}
    monkeypatch.setattr(losses, "LOSSES", nothing)
    with pytest.raises(FloatingPointError, match="loss became nan in epoch 1; try a --learning-rate"):
        training.train(TINY, data, tmp_path)
    assert not (tmp_path / "state.npz").exists()


def test_ctrl_c_keeps_the_best_epoch_so_far_and_resume_goes_on(data, tmp_path, monkeypatch, capsys):
    begin = training.Validation.on_epoch_begin

    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.Validation, "on_epoch_begin", interrupt)
        training.train(TINY, data, tmp_path)
    assert "keeping the best of 1 finished epochs" in capsys.readouterr().out
    cards.load(tmp_path / "model.h5")
    training.train(TINY, data, tmp_path, resume=True)
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1, 2]


def test_resuming_a_finished_run_trains_no_more(trained, data):
    before = pd.read_csv(trained / "log.csv")
    training.train(TINY, data, trained, resume=True)
    pd.testing.assert_frame_equal(pd.read_csv(trained / "log.csv"), before)


def test_an_unfinished_run_is_not_overwritten(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit", lambda model, feed, callbacks: model.fit(feed, callbacks=callbacks, verbose=0))
    training.train(TINY, data, tmp_path)  # one epoch of two
    with pytest.raises(ValueError, match="holds an unfinished run of 1 epochs; go on with --resume"):
        training.train(TINY, data, tmp_path)


def test_resume_with_other_data_is_refused(trained, data):
    with pytest.raises(ValueError, match="other settings: data .*'source': 'other'"):
        training.train(TINY, replace(data, source="other"), trained, resume=True)


def test_resume_with_nothing_to_resume_is_refused(data, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume in"):
        training.train(TINY, data, tmp_path, resume=True)


def test_resume_with_other_settings_names_them(trained, data):
    with pytest.raises(ValueError, match=r"other settings: learning_rate 0.003 \(now 0.1\)"):
        training.train(replace(TINY, learning_rate=0.1), data, trained, resume=True)


@pytest.mark.parametrize("setting", ["model", "loss", "optimizer", "schedule", "precision", "augmentation"])
def test_unknown_names_are_refused_before_any_work(setting):
    value = ("sepia",) if setting == "augmentation" else "sepia"
    with pytest.raises(ValueError, match=f"no {setting} 'sepia'; there are: "):
        training.check(replace(TINY, **{setting: value}))


def test_a_class_without_a_positive_record_in_validation_is_named(data, capsys):
    labels = data.labels.copy()
    labels[data.split == "validation", 4] = 0
    training.warn_about_absent(replace(data, labels=labels), data.rows("validation"))
    assert "mind: HYP" in capsys.readouterr().out


def command(folder, *flags):
    """A deterministic tiny run of `training.py` as a process of its own."""
    tiny = "--filters 4 --kernels 3 --lstm-units 3 --dense-units 4 --combined-units 4 --crop 1 --data-fraction 0.2"
    fixed = f"--dataset demo --epochs 5 --patience 2 --deterministic --augmentation noise --out {folder}"
    words = [sys.executable, "-u", "training.py", *tiny.split(), *fixed.split(), *flags]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def weights(folder):
    return cards.load(folder / "model.keras")[0].get_weights()


def test_after_kill_9_resume_ends_at_the_same_bits_as_the_uninterrupted_run(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    runs = command(straight), command(killed)
    while not (killed / "log.csv").exists() or len(pd.read_csv(killed / "log.csv")) < 2:
        assert runs[1].poll() is None, runs[1].stdout.read().decode()
        time.sleep(0.05)
    runs[1].send_signal(signal.SIGKILL)
    resumed = command(killed, "--resume")
    for run in (runs[0], resumed):
        output = run.communicate()[0].decode()
        assert run.returncode == 0, output
    pd.testing.assert_frame_equal(pd.read_csv(killed / "log.csv"), pd.read_csv(straight / "log.csv"))
    for one, other in zip(weights(straight), weights(killed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_mistake_on_the_command_line_is_one_line_without_a_trace(tmp_path):
    run = command(tmp_path, "--loss", "hinge")
    output = run.communicate()[0].decode().splitlines()
    assert run.returncode == 1
    assert output[-1] == "training: no loss 'hinge'; there are: crossentropy, focal, asymmetric"
    assert not any("Traceback" in line for line in output)


def test_the_card_is_json_with_the_whole_config(trained):
    values = json.loads((trained / "model.json").read_text())
    assert recipes.from_json(values["config"]) == TINY
    assert values["data"]["records"] == {"train": 48, "validation": 6, "test": 6}
