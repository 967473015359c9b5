"""Heartbeat files as Kaggle gives them: tiny ones, whose rows can be read off the page, and damaged ones."""

import gzip
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

import data_heartbeat
import dataset
from data_heartbeat import CHUNK, load

TRAIN = [0] * 20 + [1] * 10 + [2] * 10 + [4] * 10
TEST = [0, 0, 1, 2, 3, 4]


@pytest.fixture(autouse=True)
def beside_the_files(monkeypatch):
    """The cache lies in the folder, whatever the environment says."""
    monkeypatch.delenv("ECG_CACHE", raising=False)


def lines(labels, first=0):
    """A line for each label: its number over 1000 is the first sample, then come 184 times 0.5, and 0 and 1."""
    return [f"{(first + i) / 1000},{'0.5,' * 184}0.000e+00,1.000e+00,{label:.3e}" for i, label in enumerate(labels)]


def write(folder, name, labels, first=0):
    (folder / name).write_text("\n".join(lines(labels, first)) + "\n")


@pytest.fixture
def mitbih(tmp_path):
    """Fifty training and six test beats: first samples are 0.000 to 0.049 and 0.100 to 0.105."""
    write(tmp_path, "mitbih_train.csv", TRAIN)
    write(tmp_path, "mitbih_test.csv", TEST, first=100)
    return tmp_path


@pytest.fixture
def ptbdb(tmp_path):
    write(tmp_path, "ptbdb_normal.csv", [0] * 10)
    write(tmp_path, "ptbdb_abnormal.csv", [1] * 20, first=500)
    return tmp_path


def counts(data, split):
    return data.labels[data.rows(split)].sum(axis=0).astype(int).tolist()


def test_each_row_becomes_a_beat_of_187_samples_with_its_class(mitbih):
    data = load(mitbih, "mitbih")
    assert (data.signals.shape, data.signals.dtype) == ((56, 187, 1), "float32")
    assert (data.classes, data.leads, data.sampling_rate) == (("N", "S", "V", "F", "Q"), ("MLII/V5",), 125)
    np.testing.assert_allclose(data.signals[:, 0, 0], [*np.arange(50) / 1000, *np.arange(100, 106) / 1000], rtol=1e-6)
    np.testing.assert_array_equal(data.signals[7, 1:, 0], [0.5] * 184 + [0, 1])
    assert data.labels.argmax(axis=1).tolist() == TRAIN + TEST
    assert not data.multilabel


def test_the_published_test_file_tests_and_a_tenth_of_each_class_of_the_other_validates(mitbih):
    data = load(mitbih, "mitbih")
    assert data.rows("test").tolist() == [50, 51, 52, 53, 54, 55]
    assert counts(data, "validation") == [2, 1, 1, 0, 1]
    assert counts(data, "train") == [18, 9, 9, 0, 9]
    assert load(mitbih, "mitbih").split.tolist() == data.split.tolist()


def test_validation_is_a_tenth_of_the_training_file_however_large_the_test_file_is(tmp_path):
    write(tmp_path, "mitbih_train.csv", [0, 1, 2, 3, 4] * 10)
    write(tmp_path, "mitbih_test.csv", [0, 1, 2, 3, 4] * 40)
    data = load(tmp_path, "mitbih")
    assert [counts(data, split) for split in dataset.SPLITS] == [[9] * 5, [1] * 5, [40] * 5]


def test_published_files_say_that_patients_are_not_known(mitbih):
    data = load(mitbih, "mitbih")
    assert data.leaks_patients
    assert len(set(data.groups)) == 56
    assert data.records["name"][50] == "mitbih_test.csv row 1"
    unit, patients, train, test = data.notes
    assert "0 to 1 within each beat, not millivolt" in unit
    assert "whose beats these are is not known" in patients
    assert train == "mitbih_train.csv has 50 rows; the published one has 87,554"
    assert test == "mitbih_test.csv has 6 rows; the published one has 21,892"


def test_of_ptbdb_a_fifth_of_each_class_tests_and_a_tenth_validates(ptbdb):
    data = load(ptbdb, "ptbdb")
    assert (data.classes, data.leads) == (("normal", "abnormal"), ("II",))
    assert [counts(data, split) for split in dataset.SPLITS] == [[7, 14], [1, 2], [2, 4]]
    assert data.leaks_patients
    np.testing.assert_array_equal(data.labels[:, 1], data.signals[:, 0, 0] >= 0.5)


def test_spread_numbers_are_even_within_each_key_and_in_another_order_with_another_seed():
    keys = np.array(list("aabababb"))
    numbers = dataset.spread(keys)
    assert sorted(numbers[keys == "a"]) == sorted(numbers[keys == "b"]) == [0.125, 0.375, 0.625, 0.875]
    assert any(dataset.spread(keys, seed).tolist() != numbers.tolist() for seed in (1, 2, 3))


def gzipped(folder, name, content):
    (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def zipped(archive, inside=""):
    def pack(folder, name, content):
        with zipfile.ZipFile(folder / archive.format(name), "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr(inside + name, content)

    return pack


@pytest.mark.parametrize("pack", [gzipped, zipped("{}.zip"), zipped("archive.zip"), zipped("heartbeat.zip", "data/")])
def test_packed_files_are_read_as_they_are(mitbih, pack):
    plain = load(mitbih, "mitbih")
    for name in data_heartbeat.FILES["mitbih"]:
        pack(mitbih, name, (mitbih / name).read_bytes())
        (mitbih / name).unlink()
    packed = load(mitbih, "mitbih")
    np.testing.assert_array_equal(packed.signals, plain.signals)
    assert packed.checksum == plain.checksum


def with_value(place, text):
    values = lines([0])[0].split(",")
    values[place - 1] = text
    return ",".join(values)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (lines([5])[0], "value 188 is '5.000e\\+00'; expected is a label from 0 to 4"),
        (with_value(188, "0.5"), "value 188 is '0.5'; expected is a label"),
        (with_value(188, "nan"), "value 188 is 'nan'; expected is a label"),
        (lines([0])[0].removeprefix("0.0,"), "187 values; expected are 188, 187 samples and a label"),
        (lines([0])[0] + ",0", "189 values; expected are 188"),
        (with_value(7, "high"), "value 7 is 'high'; expected is a number from 0 to 1"),
        (with_value(7, ""), "value 7 is ''; expected is a number"),
        (with_value(187, "NaN"), "value 187 is 'NaN'; expected is a number"),
        (with_value(1, "1.5"), "value 1 is '1.5'; expected is a number from 0 to 1"),
        (with_value(1, "-0.1"), "value 1 is '-0.1'"),
    ],
)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_line_that_is_not_as_published_is_named(mitbih, line, fault, number):
    content = lines([0] * 4)
    content.insert(number - 1, line)
    (mitbih / "mitbih_test.csv").write_text("\n".join(content))
    with pytest.raises(ValueError, match=rf"mitbih_test.csv cannot be read \(line {number}: {fault}"):
        load(mitbih, "mitbih")


def test_the_line_is_right_beyond_the_first_chunk_and_blank_lines(ptbdb):
    content = ["", *lines([0]) * CHUNK, lines([2])[0]]
    (ptbdb / "ptbdb_normal.csv").write_text("\n".join(content))
    with pytest.raises(
        ValueError, match=f"line {CHUNK + 2}: value 188 is '2.000e.00'; expected is a label from 0 to 1"
    ):
        load(ptbdb, "ptbdb")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_named(mitbih, content):
    (mitbih / "mitbih_train.csv").write_text(content)
    with pytest.raises(ValueError, match=r"mitbih_train.csv cannot be read \(it has no rows\)"):
        load(mitbih, "mitbih")


def test_a_missing_file_is_named_with_the_ways_to_get_it(mitbih):
    (mitbih / "mitbih_test.csv").unlink()
    ways = "shayanfazeli/heartbeat.*python data_heartbeat.py --from-mitdb FOLDER --out"
    with pytest.raises(FileNotFoundError, match=f"no mitbih_test.csv in .*{ways}.*--data-dir or ECG_DATA"):
        load(mitbih, "mitbih")
    with pytest.raises(FileNotFoundError, match="no ptbdb_normal.csv in .*shayanfazeli/heartbeat") as caught:
        load(mitbih / "nowhere", "ptbdb")
    assert "--from-mitdb" not in str(caught.value)


@pytest.mark.parametrize(
    ("archive", "pack"), [("mitbih_test.csv.gz", gzipped), ("archive.zip", zipped("archive.zip"))], ids=["gz", "zip"]
)
def test_archives_cut_short_or_changed_are_named(mitbih, archive, pack):
    pack(mitbih, "mitbih_test.csv", (mitbih / "mitbih_test.csv").read_bytes())
    (mitbih / "mitbih_test.csv").unlink()
    whole = (mitbih / archive).read_bytes()
    middle = len(whole) // 2
    changed = (whole[:middle] + b"????????" + whole[middle + 8 :], whole[:10] + b"\xff" * 100)
    for content in (whole[:middle], *changed, b"a web page"):
        (mitbih / archive).write_bytes(content)
        with pytest.raises(ValueError, match=f"{archive} (cannot be read|is no zip file)"):
            load(mitbih, "mitbih")


@pytest.fixture
def parsed(monkeypatch):
    """How many files were parsed so far."""
    calls, read_csv = [], pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *given, **options: calls.append(1) or read_csv(*given, **options))
    return calls


def test_a_second_load_is_from_the_cache_and_the_same(mitbih, parsed):
    first = load(mitbih, "mitbih")
    second = load(mitbih, "mitbih")
    assert len(parsed) == 2
    np.testing.assert_array_equal(first.signals, second.signals)
    assert (first.checksum, first.records.equals(second.records)) == (second.checksum, True)


def test_a_file_of_another_size_or_time_and_a_damaged_cache_are_read_anew(mitbih, parsed):
    first = load(mitbih, "mitbih")
    path = mitbih / "mitbih_test.csv"
    time = path.stat().st_mtime_ns
    write(mitbih, path.name, [4, 3, 2], first=200)
    os.utime(path, ns=(time, time))
    assert load(mitbih, "mitbih").labels[50:].argmax(axis=1).tolist() == [4, 3, 2]
    write(mitbih, path.name, [3, 2, 4], first=200)
    os.utime(path, ns=(time, time + 1000))
    second = load(mitbih, "mitbih")
    assert second.labels[50:].argmax(axis=1).tolist() == [3, 2, 4]
    assert (len(parsed), second.checksum == first.checksum) == (4, False)
    caches = list((mitbih / ".cache").iterdir())
    assert len(caches) == 2
    for path in caches:
        path.write_bytes(path.read_bytes()[:-100])
    assert load(mitbih, "mitbih").checksum == second.checksum
    assert len(parsed) == 6


def test_the_cache_lies_where_ecg_cache_says(mitbih, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(mitbih / "elsewhere"))
    load(mitbih, "mitbih")
    assert len(list((mitbih / "elsewhere").iterdir())) == 2
    assert not (mitbih / ".cache").exists()


def test_a_cache_that_cannot_be_written_names_ecg_cache(mitbih):
    (mitbih / ".cache").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot write .*ECG_CACHE=folder"):
        load(mitbih, "mitbih")


def test_an_interrupted_write_leaves_nothing(mitbih, monkeypatch):
    def save(path, table):
        path.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(KeyboardInterrupt):
        load(mitbih, "mitbih")
    assert list((mitbih / ".cache").iterdir()) == []


ORIGINS = pd.DataFrame(
    [
        ("mitbih_train.csv", 1, "101", 80, "L"),
        ("mitbih_train.csv", 2, "201", 90, "N"),
        ("mitbih_train.csv", 3, "124", 70, "J"),
        ("mitbih_train.csv", 4, "102", 60, "/"),
        ("mitbih_test.csv", 1, "202", 50, "V"),
        ("mitbih_test.csv", 2, "101", 400, "N"),
    ],
    columns=["file", "row", "record", "sample", "symbol"],
)


@pytest.fixture
def known(tmp_path):
    """Six rows of which is known whose they are."""
    write(tmp_path, "mitbih_train.csv", [0, 0, 1, 4])
    write(tmp_path, "mitbih_test.csv", [2, 0], first=100)
    ORIGINS.to_csv(tmp_path / "mitbih_rows.csv", index=False)
    return tmp_path


def test_with_known_records_patients_are_split_whatever_file_a_row_is_in(known):
    data = load(known, "mitbih", "inter-patient")
    assert data.records["name"].tolist() == ["101", "124", "202", "101"]  # 201 is 202's person, 102 is paced
    assert data.records["sample"].tolist() == [80, 70, 50, 400]
    assert data.split.tolist() == ["train", "validation", "test", "train"]
    assert data.groups.tolist() == [101, 124, 201, 101]
    np.testing.assert_allclose(data.signals[:, 0, 0], [0, 0.002, 0.1, 0.101], rtol=1e-6)
    assert data.labels.argmax(axis=1).tolist() == [0, 1, 2, 0]
    assert not data.leaks_patients
    assert data.notes[1] == "2 beats left out: paced records, and 201, whose patient is in the test split as 202"


def test_a_random_split_of_known_records_still_says_that_it_mixes_patients(mitbih):
    classes = np.array(TRAIN + TEST)
    origins = pd.DataFrame({"file": ["mitbih_train.csv"] * 50 + ["mitbih_test.csv"] * 6})
    origins["row"] = [*range(1, 51), *range(1, 7)]
    origins.assign(record="202", sample=1, symbol=np.array(list("NSVFQ"))[classes]).to_csv(
        mitbih / "mitbih_rows.csv", index=False
    )
    data = load(mitbih, "mitbih")
    assert (data.leaks_patients, set(data.groups)) == (True, {201})


def test_patients_cannot_be_split_where_they_are_not_known(mitbih):
    with pytest.raises(ValueError, match="needs mitbih_rows.csv.*python data_heartbeat.py --from-mitdb FOLDER --out"):
        load(mitbih, "mitbih", "inter-patient")
    with pytest.raises(ValueError, match="ptbdb has no protocol 'inter-patient'; it has: random"):
        load(mitbih, "ptbdb", "inter-patient")


@pytest.mark.parametrize(
    ("origins", "place"),
    [
        (ORIGINS.assign(symbol=list("LNJV/N")), "mitbih_train.csv from row 4"),
        (ORIGINS[:5], "mitbih_test.csv from row 2"),
        (ORIGINS.assign(row=[1, 2, 3, 5, 1, 2]), "mitbih_train.csv from row 4"),
        (pd.concat([ORIGINS, ORIGINS[:1].assign(row=9)]), ""),
        (pd.concat([ORIGINS, ORIGINS[:1].assign(symbol="V")]), "mitbih_train.csv from row"),
    ],
)
def test_rows_of_other_files_are_refused(known, origins, place):
    origins.to_csv(known / "mitbih_rows.csv", index=False)
    with pytest.raises(ValueError, match=f"mitbih_rows.csv does not fit {place}.*make all three together"):
        load(known, "mitbih")


def test_a_table_of_rows_that_lacks_a_column_is_refused(known):
    ORIGINS.drop(columns="symbol").to_csv(known / "mitbih_rows.csv", index=False)
    with pytest.raises(ValueError, match="mitbih_rows.csv cannot be read .*symbol"):
        load(known, "mitbih")
