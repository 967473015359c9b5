"""The real PTB-XL: its published counts, and samples as wfdb reads them."""

import numpy as np
import pandas as pd
import pytest
import wfdb
from test_data_ptbxl import write_table

import data_ptbxl
import preprocessing

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def real(ptbxl):
    return data_ptbxl.load(ptbxl, "superclass")


def test_the_first_thousand_ids_have_their_known_counts(real):
    first = (real.records["ecg_id"] < 1000).to_numpy()  # 987 ids are in use, 12 of them without a superclass
    assert dict(zip(real.classes, real.labels[first].sum(axis=0).tolist(), strict=True)) == {
        "NORM": 528,
        "MI": 183,
        "STTC": 230,
        "CD": 193,
        "HYP": 97,
    }
    assert (first.sum(), len(set(real.groups[first]))) == (975, 912)
    assert [np.sum(first & (real.split == split)) for split in ("train", "validation", "test")] == [721, 128, 126]


def test_the_whole_database_has_its_published_counts(whole_ptbxl, real):
    assert dict(zip(real.classes, real.labels.sum(axis=0).tolist(), strict=True)) == {
        "NORM": 9514,
        "MI": 5469,
        "STTC": 5235,
        "CD": 4898,
        "HYP": 2649,
    }
    assert real.notes == ("411 records without a label of this task left out",)
    assert (len(real.labels), len(real.rows("test"))) == (21799 - 411, 2158)
    assert real.source == "PTB-XL 1.0.3"


def test_every_record_and_patient_of_the_whole_database_has_a_statement(whole_ptbxl):
    data = data_ptbxl.load(whole_ptbxl, "statements")
    assert (len(data.labels), len(set(data.groups))) == (21799, 18869)


@pytest.mark.parametrize(
    "task, count",
    {
        "superclass": 5,
        "subclass": 23,
        "diagnostic": 44,
        "form": 19,
        "rhythm": 12,
        "statements": 71,
        "normal": 2,
        "beats": 2,
    }.items(),
)
def test_tasks_have_their_published_numbers_of_classes(ptbxl, task, count):
    statements = data_ptbxl.read_tables(ptbxl)[1]
    assert data_ptbxl.TASKS[task](statements).nunique() == count


@pytest.fixture(scope="module")
def hundred(ptbxl, tmp_path_factory):
    """The ids 1 to 100 of the real PTB-XL, at both sampling rates."""
    if not (ptbxl / "records500/00000/00100_hr.dat").exists():
        pytest.skip(f"no records at 500 Hz in {ptbxl}")
    folder = tmp_path_factory.mktemp("hundred")
    write_table(folder, pd.read_csv(ptbxl / "ptbxl_database.csv").query("ecg_id <= 100"))
    for name in ("scp_statements.csv", "records100", "records500"):
        (folder / name).symlink_to((ptbxl / name).resolve())
    return folder


@pytest.mark.parametrize("sampling_rate", [100, 500])
def test_samples_are_those_that_wfdb_reads(hundred, sampling_rate):
    data = data_ptbxl.load(hundred, "superclass", sampling_rate)
    for row in (0, 50, len(data.labels) - 1):
        expected, _ = wfdb.rdsamp(str(hundred / data.records["name"][row]))
        np.testing.assert_allclose(data.signals[row], expected, rtol=1e-6)


def test_real_records_resampled_from_500_to_100_hz_are_about_those_published_at_100_hz(hundred):
    low, high = (data_ptbxl.load(hundred, "superclass", rate).signals[:] for rate in (100, 500))
    resampled = preprocessing.resample(high, 500, 100)
    # Published with a filter of its own; one sample too early or too late, they would correlate by 0.8 only.
    pairs = zip(resampled[:, :, 1], low[:, :, 1], strict=True)  # lead II
    assert np.median([np.corrcoef(*pair)[0, 1] for pair in pairs]) > 0.99
