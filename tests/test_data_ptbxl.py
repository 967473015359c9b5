"""PTB-XL: a tiny one whose labels can be read off the page."""

import shutil

import numpy as np
import pandas as pd
import pytest
from tiny_wfdb import write

import data_ptbxl

RECORDS = pd.DataFrame(
    [
        (1, 101, 56, 1, "{'NORM': 100.0, 'SR': 0.0}", 1),
        (2, 102, 300, 0, "{'IMI': 15.0, 'LAFB': 100.0}", 2),
        (3, 103, None, 0, "{'IMI': 50.0, 'ABQRS': 0.0}", 3),
        (4, 104, 40, None, "{'NDT': 0.0, 'AFIB': 0.0}", 4),
        (5, 105, 70, 1, "{'SR': 0.0}", 5),
        (6, 106, 71, 0, "{'LVH': 100.0, 'IMI': 15.0}", 6),
        (7, 107, 35, 1, "{'CLBBB': 100.0}", 7),
        (8, 108, 20, 0, "{'NORM': 80.0}", 8),
        (9, 109, 61, 1, "{'NORM': 100.0, 'SR': 0.0, 'PAC': 0.0}", 9),
        (10, 110, 82, 0, "{'LVH': 80.0, 'STACH': 0.0, 'ABQRS': 0.0}", 10),
        (11, 101, 57, 1, "{'LVH': 35.0, 'IMI': 35.0}", 1),
        (12, 112, 50, 0, "{'PACE': 0.0}", 10),
    ],
    columns=["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold"],
)
STATEMENTS = """,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NDT,1.0,1.0,,STTC,STTC
IMI,1.0,,,MI,IMI
NORM,1.0,,,NORM,NORM
LVH,1.0,,,HYP,LVH
CLBBB,1.0,,,CD,CLBBB
LAFB,1.0,,,CD,LAFB/LPFB
ABQRS,,1.0,,,
PAC,,1.0,,,
SR,,,1.0,,
AFIB,,,1.0,,
STACH,,,1.0,,
PACE,,,1.0,,
"""


def write_record(folder, ecg_id, samples=1000, leads=data_ptbxl.LEADS, **options):
    """A record whose lead i is i microvolts at first, i + ecg_id next, i + 2 ecg_id then, and so on."""
    digital = np.arange(samples)[:, None] * ecg_id + np.arange(12)
    write(folder, f"records100/00000/{ecg_id:05d}_lr", digital, leads, **options)


def write_table(folder, table):
    table.to_csv(folder / "ptbxl_database.csv", index=False)


def complete_table():
    names = [f"00000/{ecg_id:05d}" for ecg_id in RECORDS["ecg_id"]]
    return RECORDS.assign(
        filename_lr=[f"records100/{name}_lr" for name in names],
        filename_hr=[f"records500/{name}_hr" for name in names],
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The tiny PTB-XL: twelve records of eleven patients."""
    folder = tmp_path_factory.mktemp("ptbxl")
    write_table(folder, complete_table())
    (folder / "scp_statements.csv").write_text(STATEMENTS)
    for ecg_id in RECORDS["ecg_id"]:
        write_record(folder, ecg_id)
    return folder


@pytest.fixture
def tiny(written, tmp_path):
    """A copy of it that a test may spoil."""
    return shutil.copytree(written, tmp_path / "ptbxl")


def classes_of(data, ecg_id):
    (row,) = np.flatnonzero(data.records["ecg_id"] == ecg_id)
    return " ".join(name for name, label in zip(data.classes, data.labels[row], strict=True) if label)


@pytest.mark.parametrize(
    "task, classes, of_record_4, of_record_10",
    [
        ("superclass", "NORM MI STTC CD HYP", "STTC", "HYP"),
        ("subclass", "NORM STTC CLBBB IMI LAFB/LPFB LVH", "STTC", "LVH"),
        ("diagnostic", "NORM CLBBB IMI LAFB LVH NDT", "NDT", "LVH"),
        ("form", "ABQRS NDT PAC", "NDT", "ABQRS"),
        ("rhythm", "AFIB PACE SR STACH", "AFIB", "STACH"),
        ("statements", "NORM ABQRS AFIB CLBBB IMI LAFB LVH NDT PAC PACE SR STACH", "AFIB NDT", "ABQRS LVH STACH"),
        ("normal", "normal abnormal", "abnormal", "abnormal"),
        ("beats", "normal abnormal", "normal", "normal"),
    ],
)
def test_each_task_has_its_classes_and_its_labels(written, task, classes, of_record_4, of_record_10):
    data = data_ptbxl.load(written, task)
    assert " ".join(data.classes) == classes
    assert classes_of(data, 4) == of_record_4
    assert classes_of(data, 10) == of_record_10


def test_a_record_is_normal_that_has_no_diagnosis_but_norm_and_of_exactly_one_class(written):
    data = data_ptbxl.load(written, "normal")
    superclasses = data_ptbxl.load(written, "superclass")
    assert data.multilabel is False
    for ecg_id in data.records["ecg_id"]:
        assert (classes_of(data, ecg_id) == "normal") == (classes_of(superclasses, ecg_id) == "NORM")
    assert set(data.labels.sum(axis=1)) == {1}
    with pytest.raises(ValueError, match="task normal has one class a record"):
        data_ptbxl.load(written, "normal", fine_task="statements")


def test_beats_are_abnormal_with_a_bundle_branch_block_or_a_pacemaker_whatever_else_is_said(written):
    data = data_ptbxl.load(written, "beats")
    abnormal = data.records["ecg_id"][data.labels[:, 1] == 1]
    assert (abnormal.tolist(), len(data.labels)) == ([7, 12], 12)
    assert (data.labels.sum(axis=1) == 1).all()


def test_leads_are_those_asked_for_in_that_order(written):
    whole, few = data_ptbxl.load(written, "beats"), data_ptbxl.load(written, "beats", leads=("V1", "II"))
    assert (few.leads, few.signals.shape) == (("V1", "II"), (12, 1000, 2))
    np.testing.assert_array_equal(few.signals[:], whole.signals[:][:, :, [6, 1]])


@pytest.mark.parametrize("leads", [("II", "V7"), ("II", "II")])
def test_leads_that_ptbxl_has_not_or_asked_for_twice_are_refused(written, leads):
    with pytest.raises(ValueError, match="leads of PTB-XL are I II .*, each once, not II"):
        data_ptbxl.load(written, "beats", leads=leads)


def test_every_task_is_tested_here():
    (mark,) = test_each_task_has_its_classes_and_its_labels.pytestmark
    assert [case[0] for case in mark.args[1]] == list(data_ptbxl.TASKS)


def test_superclasses_of_all_records_that_have_one(written):
    data = data_ptbxl.load(written, "superclass")
    assert {ecg_id: classes_of(data, ecg_id) for ecg_id in data.records["ecg_id"]} == {
        1: "NORM",
        2: "MI CD",
        3: "MI",
        4: "STTC",
        6: "MI HYP",
        7: "CD",
        8: "NORM",
        9: "NORM",
        10: "HYP",
        11: "MI HYP",
    }
    assert data.notes == ("2 records without a label of this task left out",)  # 5 and 12


def test_finer_labels_come_along_and_know_the_class_they_belong_to(written):
    data = data_ptbxl.load(written, "superclass", fine_task="statements")
    assert " ".join(data.fine.classes) == "NORM ABQRS AFIB CLBBB IMI LAFB LVH NDT PAC PACE SR STACH"
    members = {name: np.array(data.classes)[row == 1].tolist() for name, row in zip(*data.fine[1:], strict=True)}
    assert (members["IMI"], members["NDT"], members["LAFB"]) == (["MI"], ["STTC"], ["CD"])
    assert members["SR"] == members["ABQRS"] == []
    last = data.fine.labels[data.records["ecg_id"] == 10][0]
    assert np.array(data.fine.classes)[last == 1].tolist() == ["ABQRS", "LVH", "STACH"]
    np.testing.assert_array_equal(data.fine.labels @ data.fine.membership > 0, data.labels == 1)


def test_an_unknown_finer_task_is_refused(written):
    with pytest.raises(ValueError, match="no task 'finest'; it has: superclass, subclass"):
        data_ptbxl.load(written, "superclass", fine_task="finest")


def test_a_minimum_likelihood_of_50_drops_15_and_35_but_keeps_50_and_the_unknown_0(written):
    data = data_ptbxl.load(written, "superclass", minimum_likelihood=50)
    assert (classes_of(data, 2), classes_of(data, 6)) == ("CD", "HYP")
    assert (classes_of(data, 3), classes_of(data, 4)) == ("MI", "STTC")
    assert 11 not in data.records["ecg_id"].tolist()
    assert data.notes == ("3 records without a label of this task left out",)


def test_each_label_stands_beside_the_samples_and_the_name_of_its_record(written):
    data = data_ptbxl.load(written, "superclass")
    assert data.signals.shape == (10, 1000, 12)
    ecg_id = data.records["ecg_id"].to_numpy()
    np.testing.assert_allclose(data.signals[:, 2, 1], (1 + 2 * ecg_id) / 1000, rtol=1e-6)  # third sample of lead II, mV
    assert data.records["name"].tolist() == [f"records100/00000/{number:05d}_lr" for number in ecg_id]


def test_folds_become_splits_and_patients_groups(written):
    data = data_ptbxl.load(written, "superclass")
    assert data.records["ecg_id"][data.rows("validation")].tolist() == [9]
    assert data.records["ecg_id"][data.rows("test")].tolist() == [10]
    assert len(data.rows("train")) == 8
    assert data.groups.tolist() == [101, 102, 103, 104, 106, 107, 108, 109, 110, 101]
    assert not data.leaks_patients


def test_a_patient_in_two_splits_is_refused(tiny):
    table = complete_table()
    table.loc[table["ecg_id"] == 9, "patient_id"] = 101
    write_table(tiny, table)
    with pytest.raises(ValueError, match="patient 101 stands in more than one split"):
        data_ptbxl.load(tiny, "superclass")


def test_the_age_code_300_is_ninety_and_what_is_unknown_is_nan(written):
    data = data_ptbxl.load(written, "superclass")
    assert data.feature_names == ("age (years)", "sex (0 male, 1 female)")
    np.testing.assert_array_equal(data.features[:4], [[56, 1], [90, 0], [np.nan, 0], [40, np.nan]])


def test_records_in_microvolts_are_the_same_in_millivolts(tiny):
    for ecg_id in RECORDS["ecg_id"]:
        write_record(tiny, ecg_id, units="uV", gain=1.0)
    data = data_ptbxl.load(tiny, "superclass")
    np.testing.assert_allclose(data.signals[0, 999, 11], (999 + 11) / 1000, rtol=1e-6)


def test_a_folder_that_is_not_ptbxl_is_refused_with_the_ways_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ptbxl_database.csv in .*--download.*--data-dir or ECG_DATA"):
        data_ptbxl.load(tmp_path, "superclass")


def test_a_missing_table_of_statements_is_named(tiny):
    (tiny / "scp_statements.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no scp_statements.csv in"):
        data_ptbxl.load(tiny, "superclass")


@pytest.mark.parametrize(
    "name, column", [("ptbxl_database.csv", "patient_id"), ("scp_statements.csv", "diagnostic_class")]
)
def test_a_table_without_a_column_is_refused(tiny, name, column):
    pd.read_csv(tiny / name).drop(columns=column).to_csv(tiny / name, index=False)
    with pytest.raises(ValueError, match=f"{name} lacks the columns {column}; download it again"):
        data_ptbxl.load(tiny, "superclass")


def test_a_table_that_was_cut_short_is_refused(tiny):
    text = (tiny / "ptbxl_database.csv").read_text()
    (tiny / "ptbxl_database.csv").write_text(text[: text.rindex(",10,records100")])  # within record 12
    with pytest.raises(ValueError, match="is cut short at record 12; download it again"):
        data_ptbxl.load(tiny, "superclass")


def test_a_missing_fold_is_named(tiny):
    write_table(tiny, complete_table().query("strat_fold != 9"))
    with pytest.raises(ValueError, match=r"has no record in fold \[9\]; the protocol needs 1 to 10"):
        data_ptbxl.load(tiny, "superclass")


def test_an_unknown_sampling_rate_is_refused():
    with pytest.raises(ValueError, match="sampling rates 100 and 500 Hz, not 250"):
        data_ptbxl.load(None, "superclass", sampling_rate=250)


def test_a_record_of_nine_seconds_is_named(tiny):
    write_record(tiny, 3, samples=900)
    with pytest.raises(ValueError, match="1 of 12 records .*\n.*00003_lr.* samples 900 .*1,?000"):
        data_ptbxl.load(tiny, "superclass")


def test_an_empty_table_and_codes_that_are_no_dict_are_named(tiny):
    (tiny / "scp_statements.csv").write_text("")
    with pytest.raises(ValueError, match="scp_statements.csv cannot be read as CSV"):
        data_ptbxl.load(tiny, "superclass")
    with pytest.raises(ValueError, match="row 2 has the scp_codes .*, which are no dict"):
        data_ptbxl.labels_of(["{'NORM': 100.0}", "{'NORM': "], {"NORM": "NORM"})


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"samples": 900}, "samples 900 instead of 1,000"),
        ({"sampling_rate": 125}, "sampling rate 125 instead of 100"),
        ({"leads": ("II", "I", *data_ptbxl.LEADS[2:])}, "leads II I III .* instead of I II III"),
    ],
)
def test_records_that_all_have_another_length_rate_or_order_of_leads_are_refused(tiny, options, difference):
    for ecg_id in RECORDS["ecg_id"]:
        write_record(tiny, ecg_id, **options)
    with pytest.raises(ValueError, match=difference):
        data_ptbxl.load(tiny, "superclass")


def test_a_missing_record_stops_the_reader_unless_it_may_be_left_out(tiny):
    (tiny / "records100/00000/00003_lr.dat").unlink()
    with pytest.raises(ValueError, match="1 of 12 records .*\n.*00003_lr.*is missing\n.*--skip-broken"):
        data_ptbxl.load(tiny, "superclass")
    data = data_ptbxl.load(tiny, "superclass", skip_broken=True)
    assert data.records["ecg_id"].tolist() == [1, 2, 4, 6, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(data.signals[:, 1, 0], data.records["ecg_id"] / 1000, rtol=1e-6)
    unlabelled, count, broken = data.notes
    assert unlabelled.startswith("2 records without a label")
    assert count == "1 broken records left out:"
    assert broken.startswith("  records100/00000/00003_lr: the file")


@pytest.mark.parametrize("sampling_rate, wanted", [(100.0, "records100/00000/00001_lr.dat"), (500, "records500/x.hea")])
def test_a_download_fetches_the_tables_and_only_the_records_of_the_sampling_rate(monkeypatch, sampling_rate, wanted):
    published = ["LICENSE.txt", "RECORDS", "ptbxl_database.csv", "scp_statements.csv"]
    published += ["example_physionet.py", "records100/00000/00001_lr.dat", "records500/x.hea"]
    chosen = ["LICENSE.txt", "ptbxl_database.csv", "scp_statements.csv", wanted]

    def fetch(url, folder, files):
        assert (url, folder, files(published)) == (data_ptbxl.URL, "here", chosen)
        raise ConnectionError("as far as this test goes")

    monkeypatch.setattr(data_ptbxl.downloads, "fetch", fetch)
    with pytest.raises(ConnectionError, match="as far as"):
        data_ptbxl.load("here", "superclass", sampling_rate=sampling_rate, download=True)
