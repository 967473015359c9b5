"""The real MIT-BIH: its published counts, and windows as wfdb reads them."""

import numpy as np
import pytest
import wfdb
from test_data_mitbih import of_record

import data_mitbih
import dataset

pytestmark = pytest.mark.real_data


@pytest.fixture(autouse=True)
def cache_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("ECG_CACHE", str(tmp_path))


def counts(data, rows=slice(None)):
    return dict(zip(data.classes, data.labels[rows].sum(axis=0).astype(int).tolist(), strict=True))


def test_beats_have_their_published_counts(mitdb, tmp_path):
    whole = dataset.load("mitbih", protocol="random", window=(0.05, 0.05))
    assert counts(whole) == {"N": 90_631, "S": 2_781, "V": 7_236, "F": 803, "Q": 8_043}
    assert (len(set(whole.groups)), whole.source) == (47, "MIT-BIH 1.0.0")
    assert [len(whole.rows(split)) for split in dataset.SPLITS] == [78_835, 8_760, 21_899]
    data = data_mitbih.load(mitdb, "beats", window=(0.05, 0.05))
    assert len(data.rows("test")) == 49_712
    assert counts(data, data.split != "test") == {"N": 44_231, "S": 816, "V": 3_590, "F": 413, "Q": 8}
    assert np.sum(data.split != "test") + of_record(whole, "201").sum() == 51_021
    assert counts(data, data.rows("validation")) == {"N": 8_106, "S": 201, "V": 591, "F": 30, "Q": 0}


def test_real_windows_are_the_millivolts_that_wfdb_reads_around_each_peak(mitdb, tmp_path):
    for name in ("114", "124", "100"):
        for extension in data_mitbih.EXTENSIONS:
            (tmp_path / f"{name}.{extension}").symlink_to((mitdb / f"{name}.{extension}").resolve())
    data = data_mitbih.load(tmp_path, "beats", leads=("MLII", "other"))
    row = np.flatnonzero(of_record(data, "114"))[1000]
    peak = data.records["sample"][row]
    samples, _ = wfdb.rdsamp(str(mitdb / "114"))  # V5, MLII
    np.testing.assert_allclose(data.signals[row], samples[peak - 108 : peak + 180, ::-1], rtol=1e-6)
    segments = data_mitbih.load(tmp_path, "segments")
    assert counts(segments, of_record(segments, "124")) == {"normal": 0, "abnormal": 360}  # right bundle branch block
    assert counts(segments, of_record(segments, "100")) == {"normal": 360, "abnormal": 0}
