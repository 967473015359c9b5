"""From a recording to probabilities: the same as evaluation gives, whatever the rate, order of leads and length."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
import wfdb
from test_card import tiny_model

import beats
import card as cards
import predict
import wfdb_files

CARD = cards.Card(("A", "B"), True, ("I", "II"), 100, 200, thresholds=(0.4, 0.6))


@pytest.fixture
def record():
    """Two leads of three seconds: lead I rises from 0 to 0.299 mV, lead II is always 1 mV."""
    digital = np.column_stack([np.arange(300), np.full(300, 1000)])
    return wfdb_files.Record(digital.astype("int16"), [1000, 1000], [0, 0], wfdb_files.Layout(300, ("I", "II"), 100.0))


def mean_of_leads(samples=200):
    """A network whose probabilities are the means of lead I and II over time."""
    signals = keras.Input((samples, 2), name="signals")
    return keras.Model(signals, keras.layers.GlobalAveragePooling1D(name="probabilities")(signals))


def test_a_longer_record_is_the_mean_of_windows_that_overlap_by_half(record):
    # Windows of two seconds begin at 0 and 1 s: means of lead I are 0.0995 and 0.1995.
    told = predict.predict_record(mean_of_leads(), CARD, record, {})
    np.testing.assert_allclose(told, [(0.0995 + 0.1995) / 2, 1], rtol=1e-5)


def test_leads_are_taken_by_name(record):
    swapped = record._replace(digital=record.digital[:, ::-1], layout=record.layout._replace(leads=("II", "I")))
    np.testing.assert_allclose(
        predict.predict_record(mean_of_leads(), CARD, swapped, {}),
        predict.predict_record(mean_of_leads(), CARD, record, {}),
    )


def test_another_sampling_rate_is_brought_to_that_of_the_card(record):
    twice = wfdb_files.Record(
        np.repeat(record.digital, 2, axis=0), [1000] * 2, [0] * 2, wfdb_files.Layout(600, ("I", "II"), 200.0)
    )
    told = predict.predict_record(mean_of_leads(), CARD, twice, {})
    np.testing.assert_allclose(told, predict.predict_record(mean_of_leads(), CARD, record, {}), atol=0.01)


def test_a_missing_lead_is_named(record):
    other = record._replace(layout=record.layout._replace(leads=("I", "V1")))
    with pytest.raises(ValueError, match="needs lead II, but the recording has I, V1"):
        predict.predict_record(mean_of_leads(), CARD, other, {})


def test_age_and_sex_come_from_the_header_in_either_way_that_databases_write_them(tmp_path):
    for name, comments in (("a", ["69 M 1085 1629 x1"]), ("b", ["age: 81", "sex: female"]), ("c", ["<age>: 40"])):
        wfdb.wrsamp(
            name, 100, ["mV"], ["I"], d_signal=np.zeros((9, 1), int), fmt=["16"], adc_gain=[200], baseline=[0],
            comments=comments, write_dir=str(tmp_path),
        )  # fmt: skip
    told = [predict.told_by_header(tmp_path / name) for name in "abc"]
    assert told == [{"age": 69.0, "sex": 0}, {"age": 81.0, "sex": 1}, {"age": 40.0}]


def test_features_are_given_by_name_and_what_is_unknown_is_the_median(record):
    signals, features = keras.Input((200, 2), name="signals"), keras.Input((2,), name="features")
    model = keras.Model([signals, features], keras.layers.Identity(name="probabilities")(features))
    card = replace(CARD, feature_names=("age (years)", "sex (0 male, 1 female)"), feature_defaults=(60.0, 1.0))
    assert predict.predict_record(model, card, record, {"sex": 0}).tolist() == [60, 0]


def spikes(high, length=1200):
    """One lead with an R-peak of 1 mV at each hundredth sample; before those in `high` it is 0.5 mV."""
    digital = np.full((length, 1), -50)
    for peak in range(100, length, 100):
        digital[peak] = 1000
        if peak in high:
            digital[peak - 10] = 500
    return digital


def test_each_beat_has_a_row_and_runs_of_v_are_counted(beat_model, tmp_path):
    tiny_wfdb.write(tmp_path, "r", spikes({200, 500, 600, 700, 900, 1000}), ("V5",))
    record, peaks = wfdb_files.read_record(tmp_path, "r"), np.arange(100, 1200, 100)
    rows = predict.predict_parts(*beat_model, record, peaks)
    assert "".join(rows["class"]) == "NVNNVVVNVVN"
    assert rows["sample"].tolist() == peaks.tolist()
    np.testing.assert_allclose(rows["N"] + rows["V"], 1, rtol=1e-6)
    summary = predict.summary(rows, 100, ("N", "V"))
    assert summary == {"N": 5, "V": 6, "heart rate": pytest.approx(60), "runs of V": 1, "longest run": 3}


def test_without_beats_there_are_no_rows_and_no_heart_rate(beat_model):
    flat = wfdb_files.Record(
        np.array([[0], [200]] * 300, "int16"), [1000], [0], wfdb_files.Layout(600, ("MLII",), 100.0)
    )
    rows = predict.predict_parts(*beat_model, flat, np.zeros(0, int))
    assert len(rows) == 0
    assert predict.summary(rows, 100, ("N", "V"))["heart rate"] is None


def test_the_command_writes_rows_and_annotations_for_a_beat_model(beat_model, tmp_path, capsys):
    path = cards.save(tmp_path / "model", *beat_model)
    tiny_wfdb.write(tmp_path / "in", "r", spikes({300}), ("MLII",))
    wfdb.wrann("r", "atr", np.arange(100, 1200, 100), ["N"] * 11, write_dir=str(tmp_path / "in"))
    command = [str(path), str(tmp_path / "in"), "--annotations", "atr", "--out", str(tmp_path / "out"), "--json"]
    predict.main(command)
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["N"], told["V"]) == (10, 1)
    assert len(pd.read_csv(tmp_path / "out" / "r.csv")) == 11
    annotations = wfdb.rdann(str(tmp_path / "out" / "r"), "ecg")
    assert annotations.sample[annotations.symbol.index("V")] == 300


@pytest.mark.real_data
def test_r_peaks_that_are_found_give_about_the_same_beats_as_those_that_are_annotated(mitdb, beat_model):
    record = wfdb_files.read_record(mitdb, "100")
    samples, symbols = wfdb_files.read_annotations(mitdb, "100", len(record.digital))
    annotated = samples[np.isin(symbols, list(beats.AAMI))]
    found = predict.predict_parts(*beat_model, record)["sample"].to_numpy()
    near = np.abs(found[:, None] - annotated).min(axis=0) <= 18  # 50 ms
    assert near.mean() > 0.99 and abs(len(found) - len(annotated)) < 10


def test_the_command_prints_a_row_for_each_record_or_writes_it_as_csv(tmp_path, capsys):
    path = cards.save(tmp_path / "model", tiny_model(200, 2), CARD)
    for name in ("one", "two"):
        tiny_wfdb.write(tmp_path / "in", name, np.zeros((200, 2), int))
    command = [str(path), str(tmp_path / "in"), str(tmp_path / "in" / "one.hea")]
    predict.main(command)
    assert capsys.readouterr().out.count("one") == 2
    predict.main([*command, "--csv", str(tmp_path / "t.csv")])
    table = pd.read_csv(tmp_path / "t.csv")
    assert table.columns.tolist() == ["record", "A", "B", "decided", "error"]
    model = cards.load(path)[0]
    np.testing.assert_allclose(table.loc[0, ["A", "B"]].astype(float), model(np.zeros((1, 200, 2)))[0], atol=1e-6)


def test_a_model_of_beats_that_cannot_be_cut_and_records_of_one_name_are_refused():
    heartbeat = replace(CARD, cutting={"task": "heartbeat"}, data={"source": "the Kaggle files"})
    with pytest.raises(ValueError, match="model.h5 reads single beats of the Kaggle files, not recordings"):
        predict.check("model.h5", heartbeat, [])
    cut = replace(CARD, cutting={"task": "beats"})
    with pytest.raises(ValueError, match="several records are named 100"):
        predict.check("model.h5", cut, [Path("a/100"), Path("b/100"), Path("b/101")])


def test_a_damaged_record_is_named(tmp_path):
    path = cards.save(tmp_path / "model", tiny_model(200, 2), CARD)
    tiny_wfdb.write(tmp_path, "cut", np.zeros((200, 2), int))
    (tmp_path / "cut.dat").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"/cut: cannot be read .* the .dat file cut short"):
        predict.main([str(path), str(tmp_path / "cut")])


def test_a_record_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no WFDB record .*nothing: neither .*nothing.hea nor a folder"):
        predict.records_in([tmp_path / "nothing"])
