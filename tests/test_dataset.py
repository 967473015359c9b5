"""A Dataset that exists is sound; it is found by name, in the folder that was meant."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import dataset
from dataset import Dataset


def make(**changes):
    """Three records of two samples and two leads, of three patients, one in each split."""
    values = {
        "signals": np.zeros((3, 2, 2), "float32"),
        "labels": np.array([[1, 0], [0, 1], [1, 1]]),
        "classes": ("NORM", "MI"),
        "leads": ("I", "II"),
        "sampling_rate": 100,
        "groups": np.array([7, 8, 9]),
        "split": np.array(["train", "validation", "test"]),
        "records": pd.DataFrame({"name": ["a", "b", "c"]}),
    }
    return Dataset(**(values | changes))


def signals_with(value, record):
    signals = np.zeros((3, 2, 2), "float32")
    signals[record, 1, 0] = value
    return signals


def test_a_dataset_without_features_has_none_for_each_record():
    assert make().features.shape == (3, 0)


def test_rows_are_the_positions_of_a_split_in_order():
    many = make(
        signals=np.zeros((4, 2, 2), "float32"),
        labels=np.eye(4, 2),
        groups=np.arange(4),
        split=np.array(["test", "train", "validation", "test"]),
        records=pd.DataFrame({"name": list("abcd")}),
    )
    assert many.rows("test").tolist() == [0, 3]


def six_patients(**changes):
    """Twelve records of six patients, two each; patient 5 tests; record i has the value i throughout."""
    groups = np.arange(12) // 2
    values = {
        "signals": np.tile(np.arange(12, dtype="float32")[:, None, None], (1, 2, 2)),
        "labels": np.eye(2)[np.arange(12) % 2],
        "groups": groups,
        "split": np.select([groups == 5, groups == 4], ["test", "validation"], "train"),
        "records": pd.DataFrame({"name": list("abcdefghijkl")}),
    }
    return make(**(values | changes))


def test_rows_that_are_taken_keep_what_belongs_to_them():
    fine = dataset.FineLabels(np.eye(12), tuple("abcdefghijkl"), np.zeros((12, 2)))
    taken = six_patients(fine=fine).take(np.array([10, 0, 3]), np.array(["train", "validation", "test"]))
    assert taken.signals[:, 0, 0].tolist() == [10, 0, 3]
    assert taken.fine.labels.argmax(axis=1).tolist() == [10, 0, 3]
    assert (taken.groups.tolist(), taken.records["name"].tolist()) == ([5, 0, 1], ["k", "a", "d"])


def test_each_patient_tests_in_one_fold_and_those_of_the_test_split_in_none():
    tested = []
    for part in six_patients().grouped_folds(3):
        assert {5}.isdisjoint(part.groups)
        assert len(part.labels) == 10
        tested += sorted(set(part.groups[part.rows("test")]))
    assert sorted(tested) == [0, 1, 2, 3, 4]


def test_folds_of_patients_need_patients_enough_who_stand_in_one_split_each():
    with pytest.raises(ValueError, match="6 folds came, but there are 5 patients"):
        next(six_patients().grouped_folds(6))
    with pytest.raises(ValueError, match="mixes patients"):
        next(six_patients(leaks_patients=True).grouped_folds(3))


def test_it_says_how_many_records_patients_and_labels_it_has():
    text = str(make(source="Tiny 1.0", task="superclass", groups=np.array([7, 7, 9]), leaks_patients=True))
    assert "Tiny 1.0 superclass: 3 records of 2 patients (1 train, 1 validation, 1 test)" in text
    assert "2 samples at 100 Hz, leads I II" in text
    assert "NORM 2 MI 2" in text


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"signals": np.zeros((2, 2, 2))}, r"signals has the shape \(2, 2, 2\), .* ask for \(3, None, 2\)"),
        ({"signals": np.zeros((3, 2, 12))}, r"signals has the shape \(3, 2, 12\), .* ask for \(3, None, 2\)"),
        ({"signals": np.zeros((3, 2))}, r"signals has the shape \(3, 2\)"),
        ({"labels": np.eye(3)}, r"labels has the shape \(3, 3\), .* ask for \(3, 2\)"),
        ({"features": np.zeros((3, 1))}, r"features has the shape \(3, 1\), .* ask for \(3, 0\)"),
        ({"groups": np.array([7, 8])}, r"groups has the shape \(2,\), .* ask for \(3,\)"),
        ({"split": np.array(["train", "test"])}, r"split has the shape \(2,\), .* ask for \(3,\)"),
        ({"records": pd.DataFrame({"name": ["a", "b"]})}, "records has 2 rows for 3 labels"),
        ({"labels": np.array([[1, 0], [0, 1], [1, 2]])}, r"labels must be 0 or 1, but \[2\] came"),
        ({"labels": np.array([[1, 0], [0, 1], [1, np.nan]])}, r"labels must be 0 or 1, but \[nan\] came"),
        ({"multilabel": False}, "needs exactly one class a record"),
        ({"multilabel": False, "labels": np.array([[1, 0], [0, 1], [0, 0]])}, "needs exactly one class a record"),
        ({"leads": ("V1", "V1")}, "leads must have different names, but V1 came more than once"),
        ({"classes": ("MI", "MI")}, "classes must have different names, but MI came more than once"),
        (
            {"features": np.zeros((3, 2)), "feature_names": ("age", "age")},
            "feature_names must have different names, but age came more than once",
        ),
        ({"signals": signals_with(np.nan, record=1)}, "record b has samples that are not finite"),
        ({"signals": signals_with(-np.inf, record=2)}, "record c has samples that are not finite"),
        ({"split": np.array(["train", "valid", "test"])}, "one of train, validation, test, but .*'valid'.* came"),
        ({"split": np.array(["train", "train", "test"])}, "no record is in the validation split of Tiny 1.0"),
        ({"groups": np.array([7, 8, 7])}, "patient 7 stands in more than one split"),
        ({"groups": np.array([7, np.nan, np.nan])}, "patient nan stands in more than one split"),
    ],
)
def test_an_unsound_dataset_is_refused_with_what_came_and_what_was_expected(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(source="Tiny 1.0", **changes)


def test_a_protocol_that_openly_mixes_patients_is_allowed_and_says_so_wherever_it_is_printed():
    mixed = make(groups=np.array([7, 8, 7]), leaks_patients=True)
    assert "patients stand in several splits" in str(mixed)
    assert "patients stand in several splits" not in str(make())


def test_samples_that_are_not_finite_are_found_in_the_last_record_of_a_long_memory_map(tmp_path):
    signals = np.lib.format.open_memmap(tmp_path / "signals.npy", "w+", "float32", (1100, 2, 2))
    signals[1099, 1, 1] = np.nan
    with pytest.raises(ValueError, match="record r1099 has"):
        make(
            signals=signals,
            labels=np.ones((1100, 2)),
            groups=np.arange(1100),
            split=np.array(["train"] * 1098 + ["validation", "test"]),
            records=pd.DataFrame({"name": [f"r{i}" for i in range(1100)]}),
        )


def test_microvolts_are_warned_of():
    with pytest.warns(UserWarning, match="span 1500 mV in the median record.* are they microvolts"):
        make(signals=np.tile([[0.0], [1500.0]], (3, 1, 2)))  # 0 and 1500 in both leads of each record


@pytest.mark.parametrize("signals", [np.tile([[0.0], [5.0]], (3, 1, 2)), signals_with(1500, record=1)])
def test_tall_millivolts_and_a_single_artefact_are_not_warned_of(signals):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(signals=signals)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A project with one reader, `data_toy.py`, which gives back what it was asked for."""
    reader = 'TASKS = {"first": 1, "second": 2}\n\n\ndef load(folder, task, gain=1):\n    return folder, task, gain\n'
    (tmp_path / "data_toy.py").write_text(reader)
    (tmp_path / "metrics.py").write_text("")
    monkeypatch.setattr(dataset, "HERE", tmp_path)
    monkeypatch.delenv("ECG_DATA", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("data_toy", None)


def test_readers_are_the_files_called_data_something():
    assert {"demo", "ptbxl"} <= set(dataset.readers())


def test_a_new_file_is_a_new_reader(toy):
    assert dataset.readers() == ["toy"]


def test_data_lie_where_the_caller_says_else_where_the_environment_says_else_beside_the_code(toy, monkeypatch):
    assert dataset.folder("ptbxl") == toy / "datasets" / "ptbxl"
    monkeypatch.setenv("ECG_DATA", str(toy / "elsewhere"))
    assert dataset.folder("ptbxl") == toy / "elsewhere" / "ptbxl"
    assert dataset.folder("ptbxl", str(toy / "named")) == toy / "named"


def test_a_dataset_is_read_with_its_first_task_unless_told_otherwise(toy):
    assert dataset.load("toy") == (toy / "datasets" / "toy", "first", 1)
    assert dataset.load("toy", "second", data_dir="here", gain=5) == (dataset.Path("here"), "second", 5)


def test_a_reader_may_say_what_the_folder_of_its_database_is_called(toy):
    (toy / "data_toy.py").write_text((toy / "data_toy.py").read_text() + 'FOLDER = "toydb"\n')
    assert dataset.load("toy") == (toy / "datasets" / "toydb", "first", 1)
    assert dataset.load("toy", data_dir="here") == (dataset.Path("here"), "first", 1)


@pytest.mark.parametrize(
    "asked, complaint",
    [
        ({"name": "tiy"}, "no dataset 'tiy'; there are: toy"),
        ({"name": "toy", "task": "third"}, "dataset toy has no task 'third'; it has: first, second"),
        ({"name": "toy", "gian": 5}, "dataset toy takes no option 'gian'; it takes: gain"),
    ],
)
def test_an_unknown_dataset_task_or_option_is_refused_with_those_there_are(toy, asked, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataset.load(**asked)
