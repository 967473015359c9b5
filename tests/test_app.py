"""The web app tells what predict.py tells, shows it, and answers wrong files with a sentence."""

import base64
import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
from test_predict import spikes
from tiny_runs import ROOT

import card as cards
import data_demo
import data_heartbeat
import logs
import meanings
import predict
import readings
import uploads
import wfdb_files

NEEDS = "needs pip install -r requirements-apps.txt"
pytest.importorskip("streamlit", reason=NEEDS)
pytest.importorskip("plotly", reason=NEEDS)

from streamlit.testing.v1 import AppTest  # noqa: E402  only where it is installed

import app  # noqa: E402
import charts  # noqa: E402

DATA = {"source": "made up", "records": {"train": 9}, "leaks_patients": False, "counts": {"train": {"N": 1, "V": 8}}}
BEATS = {"task": "beats", "window": [0.1, 0.2], "band": [], "causal": False}
CARDS = {
    "beats": cards.Card(("N", "V"), False, ("MLII/V5",), 100, 30, cutting=BEATS, data=DATA),
    "segments": cards.Card(("N", "V"), False, ("MLII/V5",), 100, 1000, cutting={"task": "segments"}, data=DATA),
    "heartbeat": cards.Card(("N", "V"), False, ("MLII/V5",), 125, 187, cutting={"task": "heartbeat"}, data=DATA),
}


def high_or_low(samples):
    """A network that finds V where the first sample lies above 0.25, else N."""
    signals = keras.Input((samples, 1), name="signals")
    first = keras.layers.Flatten()(keras.layers.Cropping1D((0, samples - 1))(signals))
    low, high = (keras.layers.Rescaling(sign * 20.0, -sign * 5.0)(first) for sign in (-1, 1))
    both = keras.layers.Concatenate()([low, high])
    return keras.Model(signals, keras.layers.Softmax(name="probabilities")(both))


@pytest.fixture(scope="module")
def models(trained, tmp_path_factory):
    """A folder with a model of each kind: of the demo's records (the release), beats, segments, single heartbeats."""
    folder = tmp_path_factory.mktemp("models")
    cards.save(folder / cards.RELEASE, *cards.load(trained / "model.h5"))
    for name, card in CARDS.items():
        cards.save(folder / name, high_or_low(card.samples), card)
    return folder


@pytest.fixture(autouse=True)
def process_stays_as_it_is(monkeypatch):
    """The app changes wfdb, which then cannot write records, and the logs."""
    monkeypatch.setattr(wfdb_files, "quicken_headers", lambda: None)
    monkeypatch.setattr(logs, "as_json", lambda: None)


@pytest.fixture
def page(models, monkeypatch):
    """The app, just opened."""
    monkeypatch.setenv("ECG_MODELS", str(models))
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()


@pytest.fixture
def twelve(tmp_path, demo):
    """A record of twelve leads at 500 Hz: its path without ending."""
    signals = data_demo.load(None, "superclass", records=12, sampling_rate=500).signals[0]
    tiny_wfdb.write(tmp_path, "twelve", np.round(1000 * signals).astype(int), data_demo.LEADS, 500)
    return tmp_path / "twelve"


@pytest.fixture
def one(tmp_path):
    """A record of twelve seconds with eleven beats, of which the second and the fifth are V; its path."""
    tiny_wfdb.write(tmp_path, "one", spikes({200, 500}), ("MLII",))
    return tmp_path / "one"


def files_of(path):
    return [(f"{path.name}{suffix}", path.with_suffix(suffix).read_bytes()) for suffix in (".hea", ".dat")]


def upload(page, files, model=None):
    """Choose a model and give files, as a person would."""
    if model:
        page.sidebar.selectbox[0].select(model).run()
    page.segmented_control[0].select("My files").run()
    page.file_uploader[0].set_value([(*file, "application/octet-stream") for file in files]).run()
    assert not page.exception
    return page


def figures(page):
    """What Plotly was given of each figure."""
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def numbers(values):
    """Numbers of a figure, which Plotly writes in base64."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


def expected(capsys, *words):
    """What predict.py prints."""
    predict.main([*map(str, words), "--json"])
    return json.loads(capsys.readouterr().out)


def test_a_demo_recording_has_probabilities_words_an_ecg_and_the_model_s_limits(page):
    assert not page.exception
    assert "no diagnosis may rest on it" in page.warning[0].value
    bars, ecg = figures(page)
    assert len(numbers(bars["data"][0]["x"])) == 5
    assert [trace["name"] for trace in ecg["data"] if trace["type"] == "scatter"] == [*data_demo.LEADS]
    assert ecg["data"][0]["type"] == "heatmap"  # attention, laid over
    text = " ".join(each.value for each in page.markdown)
    assert "**Next:**" in text or "No class reaches its threshold" in text
    assert "It learned from" in text


def test_a_lead_that_is_toggled_is_not_drawn_and_the_others_stay(page):
    def drawn():
        return {trace["name"]: numbers(trace["customdata"]).tolist() for trace in figures(page)[1]["data"][1:]}

    before = drawn()
    page.pills[0].unselect("AVR").run()
    assert before.pop("AVR") and drawn() == before


def test_an_uploaded_record_has_the_probabilities_that_the_command_gives(page, twelve, models, capsys):
    upload(page, files_of(twelve))
    page.number_input[0].set_value(70).run()
    page.sidebar.selectbox[1].select("female").run()
    (row,) = expected(capsys, models / "Final-ECG-Model.h5", twelve, "--age", 70, "--sex", "female")
    shown = numbers(figures(page)[0]["data"][0]["x"])
    np.testing.assert_allclose(shown, [row[name] for name in data_demo.TASKS["superclass"]], atol=1e-6)


def test_beats_have_the_probabilities_that_the_command_gives_and_are_coloured(page, one, models, capsys, tmp_path):
    upload(page, files_of(one), "beats")
    (row,) = expected(capsys, models / "beats.h5", one, "--out", tmp_path)
    shown = page.dataframe[0].value
    told = pd.read_csv(tmp_path / "one.csv")
    np.testing.assert_allclose(shown[["N", "V"]], told[["N", "V"]], atol=1e-6)
    assert row["V"] == 2 and shown["class"].tolist() == told["class"].tolist()
    assert page.metric[0].value == f"{row['heart rate']:.0f}"
    _, ecg = figures(page)
    red = numbers(ecg["data"][-1]["y"])
    assert ecg["data"][-1]["line"]["color"] == charts.COLOURS[1]
    assert np.isfinite(red[[200, 500]]).all() and np.isnan(red[[100, 300, 900]]).all()


def test_many_files_are_a_table_in_which_broken_ones_have_the_reason(page, twelve, tmp_path):
    other = tmp_path / "other"
    for suffix in (".hea", ".dat"):
        other.with_suffix(suffix).write_bytes(twelve.with_suffix(suffix).read_bytes().replace(b"twelve", b"other"))
    upload(page, [*files_of(twelve), *files_of(other), ("rubbish.csv", b"\xff\x00")])
    table = page.dataframe[0].value
    assert table["record"].tolist() == ["twelve", "other", "rubbish"]
    assert table["error"].str.contains("no text").tolist() == [False, False, True]
    assert table.loc[0, "NORM"] == table.loc[1, "NORM"]
    assert len(page.error) == 1 and len(page.get("download_button")) == 1


def csv_of(leads, signals):
    return "\n".join([",".join(leads), *(",".join(f"{value:.6f}" for value in row) for row in signals)]).encode()


def test_a_csv_of_leads_is_what_the_same_wfdb_record_is_once_its_rate_is_known(models, twelve):
    model, card = cards.load(models / "Final-ECG-Model.h5")
    wfdb = readings.Source("twelve", tuple(files_of(twelve)))
    record, _ = readings.read(wfdb, card)
    content = csv_of(data_demo.LEADS[::-1], record.millivolts()[:, ::-1])
    told = readings.tell(model, card, readings.Source("twelve", (("a.csv", content),), 500))
    np.testing.assert_allclose(told.probabilities, readings.tell(model, card, wfdb).probabilities, atol=1e-6)
    assert "fill in its sampling rate" in readings.tell(model, card, readings.Source("a", (("a.csv", content),)))


def test_kaggle_rows_are_beats_of_a_model_that_reads_them_with_or_without_label(page):
    beats = np.zeros((3, 188))
    beats[1, 0] = 1
    content = "\n".join(",".join(map(str, row)) for row in beats).encode()
    upload(page, [("beats.csv", content)], "heartbeat")
    assert page.dataframe[0].value["class"].tolist() == ["N", "V", "N"]
    assert not page.metric  # beats in a row have no heart rate
    page.sidebar.selectbox[0].select("beats").run()
    assert "rows of 188 numbers" in page.error[0].value and "reads beats" in page.error[0].value


WRONG = {
    "a .dat without its header": ([("a.dat", b"12")], "a.dat came; a .hea together with its .dat is expected"),
    "a header without samples": ([("a.hea", b"a 1 100 4")], "a.hea came; a .hea together"),
    "two files of one name": ([("a.hea", b""), ("a.dat", b""), ("a.csv", b"")], "a.hea, a.dat, a.csv came"),
    "an empty header": ([("a.hea", b""), ("a.dat", b"")], "is not that of one WFDB record"),
    "a header of another file": (
        [("a.hea", b"a 1 100 4\n../../etc/passwd 16 200(0)/mV 16 0 0 I"), ("a.dat", bytes(8))],
        "only 'a.dat', which came with it, is read",
    ),
    "a zip": ([("a.csv", b"PK\x03\x04...")], "a zip file came"),
    "a picture": ([("a.csv", b"\x89PNG\r\n\x1a\n")], "this is no text"),
    "prose": ([("a.csv", b"Dear doctor, I feel well.\nYours")], "a CSV file has numbers with commas between"),
    "an empty file": ([("a.csv", b"")], "a CSV file has numbers with commas between"),
    "ragged lines": ([("a.csv", b"I,II\n1,2\n1,2,3")], "a CSV file has numbers with commas between"),
    "a missing number": ([("a.csv", csv_of(data_demo.LEADS, np.ones((600, 12))) + b"\n1,,1")], "are not finite"),
    "a missing lead": ([("a.csv", csv_of(["I", "II"], np.ones((600, 2))))], "the model needs lead III"),
    "microvolts": ([("a.csv", csv_of(data_demo.LEADS, np.full((600, 12), 1200)))], "up to 1200 mV came"),
}  # fmt: skip


@pytest.mark.parametrize("files, words", WRONG.values(), ids=WRONG)
def test_a_wrong_file_gets_a_sentence(models, files, words):
    model, card = cards.load(models / "Final-ECG-Model.h5")
    why = readings.tell(model, card, readings.Source("a", tuple(files), 100))
    assert isinstance(why, str) and words in why and "\n" not in why


@pytest.mark.parametrize(
    "rows, words",
    [
        (np.zeros((2, 100)), "100 values a row came; 187 are a beat, or 188"),
        (np.full((2, 187), 1.5), "values below 0, above 1 or missing"),
        (np.zeros((uploads.BEATS + 1, 187)), "2,001 beats came; from 1 to 2,000 are read"),
    ],
)
def test_wrong_rows_of_heartbeats_are_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        uploads.heartbeats(rows, 187)


def test_a_fault_of_ours_is_a_sentence_too_and_logged_without_what_came(models, monkeypatch, caplog):
    model, card = cards.load(models / "beats.h5")
    monkeypatch.setattr(readings, "read", lambda *_: {}["secret of a patient"])
    assert "its log says where" in readings.tell(model, card, readings.Source("a"))
    assert caplog.records[0].told["error"] == "KeyError" and "secret" not in str(caplog.records[0].told)


def test_text_of_others_is_no_markdown():
    assert app.plain("![é](http://x) 1. – µV") == r"\!\[é\]\(http\:\/\/x\) 1\. – µV"


def test_without_a_model_the_app_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_MODELS", str(tmp_path))
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    assert "train one with" in page.error[0].value and not page.exception


def test_a_recording_without_beats_has_none_and_no_heart_rate(page, tmp_path):
    tiny_wfdb.write(tmp_path, "none", np.arange(1200)[:, None], ("MLII",))
    upload(page, files_of(tmp_path / "none"), "beats")
    assert any("No beat was found" in each.value for each in page.markdown)
    assert page.metric[0].value == "unknown" and len(page.dataframe[0].value) == 0


def test_keras_files_come_before_onnx_and_ensembles_are_models_too(tmp_path):
    card = CARDS["beats"]
    for name in ("a.onnx", "a.h5", "b.onnx", "c.keras"):
        (tmp_path / name).touch()
        cards.write(tmp_path / name, card)
    cards.write(tmp_path / "alone.json", card)
    cards.write(tmp_path / "ensemble.json", replace(card, members=("a.h5", "c.keras")))
    found = {name: path.name for name, (path, _) in app.models_in(tmp_path).items()}
    assert found == {"a": "a.h5", "b": "b.onnx", "c": "c.keras", "ensemble": "ensemble.json"}


@pytest.mark.parametrize("name", ["beats", "segments", "heartbeat"])
def test_the_demo_has_a_recording_for_models_of_parts(models, name):
    model, card = cards.load(models / f"{name}.h5")
    (demo,) = readings.demo_names(card)
    told = readings.tell(model, card, readings.Source(demo))
    assert len(told.parts) == {"beats": 73, "segments": 11, "heartbeat": 72}[name]


def reading_of(card, peaks, rate=100):
    """A Reading of beats at these samples, all of them V, of a recording of 12 seconds."""
    parts = pd.DataFrame({"sample": peaks, "class": "V"})
    starts = np.array(peaks) / rate - 0.1
    return readings.Reading(card, np.zeros((1200, 1)), ("MLII",), rate, None, starts, {}, None, parts)


def test_beats_that_overlap_have_half_of_that_each():
    # Windows of 0.3 s begin 0.1 s before the R-peaks at 1.0, 1.2 and 2.0 s: 0.9-1.2, 1.1-1.4 and 1.9-2.2.
    spans = reading_of(CARDS["beats"], [100, 120, 200]).spans(np.arange(3))
    np.testing.assert_allclose(spans, [(0.9, 1.15, 1.0, 1), (1.15, 1.4, 1.2, 1), (1.9, 2.2, 2.0, 1)])


def test_a_page_of_beats_has_ten_seconds_and_those_whose_peak_is_in_it():
    reading = reading_of(CARDS["beats"], [100, 999, 1000, 1100])
    assert reading.pages()[0].tolist() == [0, 10] and reading.pages()[1] == 10
    assert reading.rows_on(0).tolist() == [0, 1] and reading.rows_on(1).tolist() == [2, 3]
    assert [reading.page_of(row) for row in range(4)] == [0, 0, 1, 1]
    assert len(reading.signals_on(1)) == 200  # what there is of it


def test_relevance_lies_where_its_beat_is_and_the_stronger_counts_where_two_overlap():
    # Of the beat at 1.0 s the window has the samples 90 to 119, of that at 1.2 s those from 110.
    reading = reading_of(CARDS["beats"], [100, 120])
    values = np.stack([np.full((30, 1), 0.5), np.full((30, 1), -1.0)])
    laid = reading.laid_over(values, np.arange(2), 0)
    assert laid.shape == (1000, 1)
    assert laid[[89, 90, 109, 110, 139, 140], 0].tolist() == [0, 0.5, 0.5, -1, -1, 0]


def test_leads_lie_whole_squares_apart_and_relevance_between_minus_one_and_one():
    signals = np.array([[0.0, 0.0], [1.0, 3.0], [0.0, 0.0]])
    ecg = charts.ecg(signals, ("I", "II"), 1, 0, 3, relevance=np.array([[0.0, -4.0], [2.0, 0.0]]))
    heat, first, second = ecg.data
    np.testing.assert_allclose(heat.z, [[0, 0.5], [-1, 0]])
    np.testing.assert_allclose(first.y, [0, 1, 0])
    np.testing.assert_allclose(second.y, [-2, 1, -2])  # a step of 0.8 times 2.5 mV
    np.testing.assert_allclose(second.customdata, signals[:, 1])


def test_all_classes_have_words():
    for names in (*data_demo.TASKS.values(), *data_heartbeat.TASKS.values()):
        assert all(meanings.meaning_of(name).then for name in names)
    assert meanings.titled("MI") == "Infarction (MI)" and meanings.titled("normal") == "Normal"


def test_scores_have_their_interval_and_limits_say_what_was_rare_and_what_was_not_tested():
    card = replace(CARDS["beats"], scores={"test": {"macro_f1": 0.5}, "test_low": {"macro_f1": 0.4}})
    card.scores["test_high"] = {"macro_f1": 0.625}
    assert meanings.scores_of(card) == [{"score": "F1", "test": "0.500 (0.400 to 0.625)"}]
    limits = " ".join(meanings.limits_of(CARDS["beats"]))
    assert "few N (1), V (8)" in limits and "validation data" in limits
    assert "validation data" not in " ".join(meanings.limits_of(card))
