"""Heartbeat files made from recordings: tiny ones worked out by hand, and MIT-BIH with its published counts."""

import runpy
import sys

import numpy as np
import pytest
import tiny_wfdb
import wfdb

import data_heartbeat
import dataset
import wfdb_files
from data_heartbeat import load


def counts(data, split):
    return data.labels[data.rows(split)].sum(axis=0).astype(int).tolist()


def write_record(folder, name, beats, digital, sampling_rate=125, leads=("MLII",)):
    """A record of integers `(samples, leads)` with annotations (sample, symbol)."""
    tiny_wfdb.write(folder, name, digital, leads, sampling_rate)
    samples, symbols = zip(*beats, strict=True)
    wfdb.wrann(name, "atr", np.array(samples), list(symbols), write_dir=str(folder))


def ramp(samples=1500):
    return np.arange(samples)[:, None]


def test_a_beat_is_1_2_times_the_median_interval_of_its_ten_seconds_long_and_scaled_by_itself(tmp_path):
    # Intervals of the first 1,250 samples: 100, 100 and 1,000; after them 50 and 50. The last beat is dropped.
    beats = [(100, "N"), (150, "+"), (200, "A"), (300, "V"), (1300, "!"), (1300, "F"), (1350, "/"), (1400, "N")]
    write_record(tmp_path, "100", beats, ramp())
    signals, rows = data_heartbeat.cut_beats(tmp_path, "100")
    assert rows["sample"].tolist() == [100, 200, 300, 1300, 1350]
    assert "".join(rows["symbol"]) == "NAVF/"
    assert signals.dtype == "float32"
    for signal, length in zip(signals, [120, 120, 120, 60, 60], strict=True):
        np.testing.assert_allclose(signal, [*np.arange(length) / (length - 1), *[0] * (187 - length)], atol=1e-5)


def test_long_beats_are_cut_at_187_samples_and_those_at_the_end_with_the_record(tmp_path):
    write_record(tmp_path, "100", [(0, "N"), (1000, "N"), (1400, "N"), (1499, "N")], ramp())
    signals, _ = data_heartbeat.cut_beats(tmp_path, "100")
    np.testing.assert_allclose(signals[0], np.arange(187) / 186, atol=1e-6)
    # 1.2 times 99 samples would be 119, but 100 are left from 1,400 on.
    np.testing.assert_allclose(signals[2], [*np.arange(100) / 99, *[0] * 87], atol=1e-6)


def test_beats_of_360_hz_begin_at_the_r_peak_at_125_hz(tmp_path):
    wave = np.round(1000 * np.cos(2 * np.pi * np.arange(3600) / 360))[:, None]  # an R-peak each second
    write_record(tmp_path, "100", [(peak, "N") for peak in range(0, 3600, 360)], wave.astype(int), 360)
    signals, rows = data_heartbeat.cut_beats(tmp_path, "100")
    assert (len(rows), rows["sample"].tolist()[-1]) == (9, 2880)
    expected = 0.5 + 0.5 * np.cos(2 * np.pi * np.arange(150) / 125)
    np.testing.assert_allclose(signals[4], [*expected, *[0] * 37], atol=0.01)


def test_a_flat_beat_is_zero_and_a_record_of_one_beat_has_none(tmp_path):
    write_record(tmp_path, "100", [(100, "N"), (200, "N")], 7 + 0 * ramp())
    write_record(tmp_path, "101", [(100, "N")], ramp())
    assert not data_heartbeat.cut_beats(tmp_path, "100")[0].any()
    assert data_heartbeat.cut_beats(tmp_path, "101")[0].shape == (0, 187)


def test_the_lead_is_mlii_wherever_it_stands_and_else_v5(tmp_path):
    both = np.column_stack([ramp(), -ramp()])
    for name, leads in {"100": ("V5", "MLII"), "102": ("V5", "V2")}.items():
        write_record(tmp_path, name, [(100, "N"), (200, "N")], both, leads=leads)
    assert data_heartbeat.cut_beats(tmp_path, "100")[0][0, 0] == 1  # falling
    assert data_heartbeat.cut_beats(tmp_path, "102")[0][0, 0] == 0  # rising


@pytest.fixture
def mitdb(tmp_path):
    """Records 101 with 61 and 202 with 51 beats, five samples apart; of each the last is dropped."""
    folder = tmp_path / "mitdb"
    for name, symbols in {"101": "N" * 50 + "A" * 10 + "N", "202": "V" * 40 + "F" * 10 + "/"}.items():
        noise = np.random.default_rng(int(name)).integers(-1000, 1000, (1500, 1))
        write_record(folder, name, [(5 * i, symbol) for i, symbol in enumerate(symbols)], noise)
    return folder


def test_made_files_have_a_fifth_of_each_class_in_the_test_file_and_are_read_back(mitdb, tmp_path, capsys):
    data_heartbeat.main(["--from-mitdb", str(mitdb), "--out", str(tmp_path / "made")])
    assert "110 beats of 2 records" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "mitbih_rows.csv",
        "mitbih_test.csv",
        "mitbih_train.csv",
    ]
    data = load(tmp_path / "made", "mitbih")
    assert counts(data, "test") == [10, 2, 8, 2, 0]
    assert data.labels.sum(axis=0).tolist() == [50, 10, 40, 10, 0]
    signals = {name: data_heartbeat.cut_beats(mitdb, name)[0] for name in ("101", "202")}
    expected = [signals[name][sample // 5] for name, sample in data.records[["name", "sample"]].to_numpy()]
    np.testing.assert_allclose(data.signals[:, :, 0], expected, atol=1e-5)
    assert data.records.duplicated(["name", "sample"]).sum() == 0


def test_published_files_are_not_overwritten_but_made_ones_are(mitdb, tmp_path):
    (tmp_path / "mitbih_test.csv").write_text("published")
    with pytest.raises(FileExistsError, match="has the published files already; name another folder with --out"):
        data_heartbeat.make(mitdb, tmp_path)
    assert (tmp_path / "mitbih_test.csv").read_text() == "published"
    (tmp_path / "mitbih_rows.csv").touch()
    data_heartbeat.make(mitdb, tmp_path)
    assert len(load(tmp_path, "mitbih").labels) == 110


def test_records_that_cannot_be_used_are_named_and_nothing_is_written(mitdb, tmp_path):
    with pytest.raises(FileNotFoundError, match="no WFDB records in .*physionet.org/content/mitdb"):
        data_heartbeat.make(tmp_path, tmp_path / "made")
    write_record(mitdb, "203", [(100, "N")], ramp(), leads=("V1",))
    with pytest.raises(ValueError, match="record 203 in .* cannot be used: .*MLII/V5, but the recording has V1"):
        data_heartbeat.make(mitdb, tmp_path / "made")
    write_record(mitdb, "203", [(100, "+")], ramp())
    with pytest.raises(ValueError, match="record 203 in .* has no annotation of a beat"):
        data_heartbeat.make(mitdb, tmp_path / "made")
    (mitdb / "203.atr").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="record 203 in .* cannot be used"):
        data_heartbeat.make(mitdb, tmp_path / "made")
    (mitdb / "203.atr").unlink()
    with pytest.raises(ValueError, match="record 203 in .* cannot be used: .*203.atr"):
        data_heartbeat.make(mitdb, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_command_ends_with_a_message(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["", "--from-mitdb", str(tmp_path), "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="^data_heartbeat: no WFDB records in"):
        runpy.run_path(data_heartbeat.__file__, run_name="__main__")


@pytest.mark.real_data
def test_all_of_mit_bih_gives_the_published_counts(monkeypatch, tmp_path):
    folder = dataset.folder("mitdb")
    if len(list(folder.glob("*.atr"))) != 48:
        pytest.skip(f"the counts are of all 48 records of MIT-BIH, which are not in {folder}")
    layout = wfdb_files.Layout(650_000, ("MLII",), 360.0)
    flat = wfdb_files.Record(np.zeros((650_000, 1), "int16"), [200], [0], layout)
    monkeypatch.setattr(wfdb_files, "read_record", lambda folder, name: flat)  # annotations are what counts here
    data_heartbeat.make(folder, tmp_path)
    data = load(tmp_path, "mitbih")
    assert data.labels.sum(axis=0).tolist() == [90_589, 2_779, 7_236, 803, 8_039]
    assert counts(data, "test") == [18_118, 556, 1_448, 162, 1_608]
    assert (len(data.rows("test")), len(data.labels)) == (21_892, 109_446)
    assert not [note for note in data.notes if "published" in note]
    inter = load(tmp_path, "mitbih", "inter-patient")
    # DS2 has 49,712 beats and 22 records, of which each lacks its last; DS1 without 201 has 49,058 and 21.
    assert counts(inter, "test") == [44_238, 1_836, 3_221, 388, 7]
    assert len(inter.rows("train")) + len(inter.rows("validation")) == 49_037
