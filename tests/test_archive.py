"""Over an archive: the rows of one record at a time, whatever is broken, killed, or done by several machines."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
from test_predict import CARD, mean_of_leads, spikes
from tiny_runs import ROOT

import archive
import card as cards
import predict
import wfdb_files

COUNT = 24


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Records of which number n has n mV in lead I, every fifth in windows of another length; parts of four records."""
    monkeypatch.setattr(predict, "PART", 4)
    monkeypatch.setattr(predict, "BATCH", 3)
    for number in range(COUNT):
        digital = np.full((200 if number % 5 else 500, 2), 1000 * number)
        tiny_wfdb.write(tmp_path / "in", f"r{number:02}", digital)
    return tmp_path / "in"


@pytest.fixture
def model(tmp_path):
    """A saved model that tells the means of lead I and II."""
    return cards.save(tmp_path / "model", mean_of_leads(), CARD)


def run(model, folder, *options):
    """Run the command, and return its table."""
    table = folder.with_name("t.csv")
    predict.main([str(model), str(folder), "--csv", str(table), *options])
    return pd.read_csv(table)


def test_a_row_of_the_archive_is_what_the_record_alone_gives(folder, model):
    table = run(model, folder)
    assert table.columns.tolist() == ["record", "A", "B", "decided", "error"]
    assert table["record"].tolist() == [str(folder / f"r{number:02}") for number in range(COUNT)]
    np.testing.assert_allclose(table["A"], range(COUNT), rtol=1e-6)
    opened, card = cards.load(model)
    records = [wfdb_files.read_record(folder, name) for name in table["record"]]
    alone = [predict.predict_record(opened, card, record, {}) for record in records]
    np.testing.assert_allclose(table[["A", "B"]], alone, rtol=1e-6)
    assert not list(folder.parent.glob("*.parts")) and table["error"].isna().all()


def test_the_windows_of_a_batch_go_back_to_their_records(folder):
    # Windows of 2 s overlap by half: one for a record of 2 s, four for one of 5 s.
    records = [wfdb_files.read_record(folder, name) for name in ("r01", "r05", "r06")]
    prepared = [predict.prepare_record(CARD, record, {}) for record in records]
    assert [len(signals) for signals, _ in prepared] == [1, 4, 1]
    np.testing.assert_allclose(predict.predict_together(mean_of_leads(), prepared), [[1, 1], [5, 5], [6, 6]])


def test_broken_records_are_rows_with_the_reason_and_the_others_are_told(folder, model, capsys):
    (folder / "r03.dat").write_bytes(b"short")
    (folder / "r05.dat").unlink()
    (folder / "r07.hea").write_bytes(b"")
    tiny_wfdb.edit_header(folder, "r09", b" I\n", b" V9\n")
    (folder / "r11.hea").write_bytes(b"\xff\xfe nothing\n")
    tiny_wfdb.edit_header(folder, "r13", b" 100 200", b" 0 200")
    table = run(model, folder)
    broken = table[table["error"].notna()]
    assert broken["record"].str[-3:].tolist() == ["r03", "r05", "r07", "r09", "r11", "r13"]
    assert broken[["A", "B", "decided"]].isna().all(axis=None)
    assert "cut short" in broken["error"].iloc[0] and "r05.dat is missing" in broken["error"].iloc[1]
    assert "the model needs lead I, but the recording has V9, II" in broken["error"].iloc[3]
    np.testing.assert_allclose(table["A"].dropna(), table.index[table["error"].isna()], rtol=1e-6)
    assert "24 records, of them 6 broken (column error)" in capsys.readouterr().err


def test_broken_records_of_a_folder_are_in_the_printed_table_too(folder, model, capsys):
    (folder / "r03.dat").write_bytes(b"short")
    predict.main([str(model), str(folder), "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["record"][-3:] for row in rows if "error" in row] == ["r03"]
    assert rows[4]["A"] == 4


def test_it_is_an_error_if_every_record_is_broken(folder, model):
    for path in folder.glob("*.dat"):
        path.unlink()
    with pytest.raises(ValueError, match="every record is broken"):
        run(model, folder)
    assert len(pd.read_csv(folder.with_name("t.csv"))) == COUNT


# Each answer takes a while, so that the command is killed between two parts.
SLOW = """
import sys, time, predict
predict.PART, predict.BATCH, at_once = 4, 3, predict.predict_together
predict.predict_together = lambda *arguments: time.sleep(0.2) or at_once(*arguments)
predict.main(sys.argv[1:])
"""


def stop_in_the_middle(model, folder):
    """Run the command until two of its six parts are there, and kill it."""
    table = folder.with_name("t.csv")
    command = [sys.executable, "-c", SLOW, str(model), str(folder), "--csv", str(table)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = table.with_name("t.csv.parts")
    until = time.monotonic() + 60
    while not (parts / "000001.csv").exists():
        assert process.poll() is None and time.monotonic() < until, "no part was written"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not table.exists()
    return parts


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_with_the_parts_that_are_missing(folder, model, monkeypatch):
    whole = run(model, folder)
    folder.with_name("t.csv").unlink()
    parts = stop_in_the_middle(model, folder)
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("0*.csv")}
    assert 2 <= len(done) < 6
    read, read_record = [], wfdb_files.read_record
    monkeypatch.setattr(wfdb_files, "read_record", lambda place, name: read.append(name) or read_record(place, name))
    pd.testing.assert_frame_equal(run(model, folder), whole)
    assert read == [f"r{number:02}" for number in range(4 * len(done), COUNT)]
    assert not parts.exists()


def begun(folder, records, **settings):
    """An Archive of which one part is there."""
    one = archive.Archive(folder / "t.csv", ["record", "error"], records, 2, {"model": "m", "age": "None"} | settings)
    one.begin()
    one.write(0, [{"record": "a"}, {"record": "b", "error": "x"}])
    return one


def test_it_does_not_go_on_with_another_model_or_other_records(tmp_path):
    begun(tmp_path, ["a", "b", "c"])
    with pytest.raises(ValueError, match="t.csv.parts has rows .* with another model; remove that folder"):
        begun(tmp_path, ["a", "b", "c"], model="other")
    with pytest.raises(ValueError, match="with another age, records"):
        begun(tmp_path, ["a", "b"], age="63")
    assert begun(tmp_path, ["a", "b", "c"]).missing() == [1]


def test_it_does_not_go_on_with_records_whose_files_have_changed(tmp_path):
    tiny_wfdb.write(tmp_path, "a", np.zeros((9, 2), int))
    begun(tmp_path, [tmp_path / "a"])
    tiny_wfdb.write(tmp_path, "a", np.zeros((10, 2), int))
    with pytest.raises(ValueError, match="with another records"):
        begun(tmp_path, [tmp_path / "a"])


def test_parts_that_a_finished_run_left_are_not_taken_for_those_of_the_next(tmp_path):
    one = begun(tmp_path, ["a", "b", "c"])
    (one.folder / "settings.json").unlink()  # the run was killed while it removed its parts
    again = archive.Archive(one.path, one.columns, ["a", "b", "c"], 2, {"model": "other"})
    again.begin()
    assert again.missing() == [0, 1]


def test_broken_records_are_counted_whichever_run_met_them(tmp_path):
    one = begun(tmp_path, ["a", "b", "c"])
    assert archive.make(one, [(1, [{"record": "c"}])]) == 1
    assert one.path.read_text() == "record,error\na,\nb,x\nc,\n"


def test_recordings_of_beats_go_on_too_and_a_broken_one_is_a_row(beat_model, tmp_path, monkeypatch):
    path, folder = cards.save(tmp_path / "model", *beat_model), tmp_path / "in"
    for name in "abc":
        tiny_wfdb.write(folder, name, spikes({300}), ("MLII",))
    (folder / "b.dat").write_bytes(b"short")
    read, read_record = [], wfdb_files.read_record

    def interrupted(place, name):
        read.append(name)
        if read == ["a", "b", "c"]:
            raise KeyboardInterrupt
        return read_record(place, name)

    monkeypatch.setattr(wfdb_files, "read_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(path, folder, "--out", str(tmp_path / "out"))
    table = run(path, folder, "--out", str(tmp_path / "out"))
    assert read == ["a", "b", "c", "c"]
    assert table.columns.tolist() == ["record", "N", "V", "heart rate", "runs of V", "longest run", "error"]
    assert table["error"].notna().tolist() == [False, True, False]
    assert sorted(one.name for one in (tmp_path / "out").glob("*.csv")) == ["a.csv", "c.csv"]


def test_ray_is_asked_for_only_with_a_file_to_write(model, folder, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        predict.main([str(model), str(folder), "--ray", "auto"])
    assert "--ray needs --csv" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not there
    with pytest.raises(ValueError, match="--ray needs Ray: pip install -r requirements-apps.txt"):
        run(model, folder, "--ray", "auto")
