"""One record, read and checked against its own header; and many, by workers."""

import numpy as np
import pytest
import wfdb
from tiny_wfdb import edit_header, write

import wfdb_files

DIGITAL = [[0, 100], [1000, -100], [-500, 300]]


def millivolts(record):
    return (record.digital - np.array(record.baselines)) / np.array(record.gains)


def refusal(folder, name="a"):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        wfdb_files.read_record(folder, name)
    return str(error.value)


def test_a_record_has_its_integers_layout_and_scale(tmp_path):
    write(tmp_path, "deep/a", DIGITAL, gain=500.0, baseline=100)
    record = wfdb_files.read_record(tmp_path, "deep/a")
    assert record.digital.dtype == np.int16 and record.digital.tolist() == DIGITAL
    assert record.layout == wfdb_files.Layout(3, ("I", "II"), 100.0)
    np.testing.assert_allclose(millivolts(record), [[-0.2, 0], [1.8, -0.4], [-1.2, 0.4]])


def test_millivolts_are_those_of_wfdb_itself(tmp_path):
    write(tmp_path, "a", DIGITAL, gain=204.8, baseline=-7)
    expected, _ = wfdb.rdsamp(str(tmp_path / "a"))
    np.testing.assert_allclose(millivolts(wfdb_files.read_record(tmp_path, "a")), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("units", "expected"), [("mV", 500.0), ("uV", 0.5), ("µV", 0.5), ("V", 500_000.0)], ids=["mV", "uV", "micro", "V"]
)
def test_units_become_millivolts(tmp_path, units, expected):
    write(tmp_path, "a", [[1000, 1000]], gain=2.0)
    edit_header(tmp_path, "a", b"/mV", f"/{units}".encode())
    assert millivolts(wfdb_files.read_record(tmp_path, "a")).tolist() == [[expected, expected]]


def test_a_micro_sign_of_an_old_encoding_is_understood(tmp_path):
    write(tmp_path, "a", [[1000, 1000]], gain=2.0)
    edit_header(tmp_path, "a", b"/mV", "/µV".encode("latin-1"))
    assert millivolts(wfdb_files.read_record(tmp_path, "a")).tolist() == [[0.5, 0.5]]


def test_an_unknown_unit_is_an_error_with_the_known_ones(tmp_path):
    write(tmp_path, "a", DIGITAL, units="mmHg")
    assert refusal(tmp_path) == "unknown unit mmHg; expected is one of mV, uV, V"


@pytest.mark.parametrize("missing", ["a.hea", "a.dat"])
def test_a_missing_file_is_named(tmp_path, missing):
    write(tmp_path, "a", DIGITAL)
    (tmp_path / missing).unlink()
    assert refusal(tmp_path) == f"the file {missing} is missing"


def test_a_cut_file_of_samples_is_an_error(tmp_path):
    write(tmp_path, "a", DIGITAL)
    samples = tmp_path / "a.dat"
    samples.write_bytes(samples.read_bytes()[:-2])
    assert "the .dat file cut short" in refusal(tmp_path)


def test_samples_that_disagree_with_the_header_are_an_error_with_both_checksums(tmp_path):
    write(tmp_path, "a", DIGITAL)
    samples = tmp_path / "a.dat"
    samples.write_bytes(b"\x01" + samples.read_bytes()[1:])  # the first sample of lead I: 1 instead of 0
    assert refusal(tmp_path) == "samples of lead I have the checksum 501; the header says 500"


def test_a_header_without_checksums_is_not_checked(tmp_path):
    write(tmp_path, "a", [[1, 2]])
    (tmp_path / "a.hea").write_text("a 1 100 2\na.dat 16 1000/mV\n")
    assert wfdb_files.read_record(tmp_path, "a").digital.tolist() == [[1], [2]]


def test_samples_marked_invalid_are_not_finite(tmp_path):
    write(tmp_path, "a", [[0, 0], [0, -32768]])
    assert refusal(tmp_path) == "samples of lead II are not finite (marked invalid)"


def test_the_mark_of_twelve_bit_samples_is_another(tmp_path):
    write(tmp_path, "a", [[0, 0], [-2048, 5]], fmt="212")
    assert refusal(tmp_path) == "samples of lead I are not finite (marked invalid)"


def test_samples_beyond_16_bits_are_an_error(tmp_path):
    write(tmp_path, "a", [[0, 40_000], [0, 3]], fmt="24")
    assert refusal(tmp_path) == "samples of lead II do not fit into 16 bits: 3 to 40000"


def test_a_lead_named_twice_is_an_error(tmp_path):
    write(tmp_path, "a", DIGITAL)
    edit_header(tmp_path, "a", b" II\n", b" I\n")
    assert refusal(tmp_path) == "lead I is named 2 times; each may come once"


def test_a_record_of_several_segments_is_an_error(tmp_path):
    write(tmp_path, "b", DIGITAL)
    (tmp_path / "a.hea").write_text("a/2 2 100 6\nb 3\nb 3\n")
    assert refusal(tmp_path).startswith("several segments")


def test_workers_read_the_same_as_this_process(tmp_path, monkeypatch):
    names = [f"{i:02}" for i in range(70)]
    for i, name in enumerate(names):
        write(tmp_path, name, [[i, -i]], gain=100.0 + i, baseline=i)
    (tmp_path / "69.dat").unlink()
    alone = list(wfdb_files.read_chunks(tmp_path, names))
    monkeypatch.setattr(wfdb_files, "WORKERS_FROM", 1)
    together = list(wfdb_files.read_chunks(tmp_path, names))
    assert [len(chunk) for chunk in together] == [64, 6]
    for (name, record), (expected_name, expected) in zip(sum(together, []), sum(alone, []), strict=True):
        assert name == expected_name
        if name == "69":
            assert record == expected == "the file 69.dat is missing"
        else:
            assert record.digital.tolist() == expected.digital.tolist()
            assert record[1:] == expected[1:]
