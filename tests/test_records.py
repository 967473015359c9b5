"""The sample cache: built once, whole or not at all, and never taken for what it is not."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_wfdb import edit_header, write

import records

NAMES = ["part/a", "part/b", "part/c"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three records of four samples and two leads; 1000 units are 1 mV."""
    monkeypatch.delenv("ECG_CACHE", raising=False)
    for i, name in enumerate(NAMES):
        write(tmp_path, name, [[i, 10 * i], [1000, 2000], [-3, 4], [5, 6]])
    return tmp_path


def only_the_cache(monkeypatch):
    monkeypatch.setattr(records, "read_chunks", lambda *_: pytest.fail("records were read"))


def caches(folder):
    return sorted(path.name for path in (folder / ".cache").iterdir())


def complaint(folder, names=NAMES, **options):
    with pytest.raises(ValueError) as error:
        records.read(folder, names, **options)
    return str(error.value)


def test_recordings_say_what_they_are_of(folder):
    found = records.read(folder, reversed(NAMES))
    assert (found.leads, found.sampling_rate, found.names, found.broken) == (("I", "II"), 100.0, NAMES[::-1], {})
    np.testing.assert_allclose(found.signals[:, 0, 1], [0.02, 0.01, 0], rtol=1e-6)


def test_a_second_start_reads_only_the_cache_and_finds_the_same(folder, monkeypatch):
    first = records.read(folder, NAMES)
    only_the_cache(monkeypatch)
    again = records.read(folder, NAMES)
    assert again.signals[:].tolist() == first.signals[:].tolist()
    assert (again.names, again.leads, again.checksum) == (first.names, first.leads, first.checksum)


def test_the_checksum_is_of_the_data_and_not_of_the_place_or_time(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in NAMES:
        for file in (f"{name}.hea", f"{name}.dat"):
            (elsewhere / file).parent.mkdir(exist_ok=True)
            (elsewhere / file).write_bytes((folder / file).read_bytes())
    first = records.read(folder, NAMES)
    assert records.read(elsewhere, NAMES, version="2").checksum == first.checksum
    write(elsewhere, "part/b", [[1, 10], [1000, 2000], [-3, 4], [5, 7]])
    assert records.read(elsewhere, NAMES).checksum != first.checksum


def test_a_changed_record_is_read_anew_and_the_old_cache_removed(folder):
    records.read(folder, NAMES)
    before = caches(folder)
    write(folder, "part/b", [[7, 7]] * 4)
    assert records.read(folder, NAMES).signals[1, 0, 0] == np.float32(0.007)
    assert len(caches(folder)) == 2 and not set(caches(folder)) & set(before)


def test_a_file_of_another_time_or_only_another_size_is_read_anew(folder):
    header = folder / "part/b.hea"
    seen = []
    for content, nanoseconds in [(b"", 1), (b"", 2), (b"# mended\n", 2)]:
        header.write_bytes(header.read_bytes() + content)
        os.utime(header, ns=(nanoseconds, nanoseconds))
        records.read(folder, NAMES)
        seen += caches(folder)
    assert len(set(seen)) == 6  # two files each time


def test_the_cache_of_other_records_in_the_folder_stays(folder, monkeypatch):
    records.read(folder, NAMES[:1])
    records.read(folder, NAMES[1:])
    assert len(caches(folder)) == 4
    only_the_cache(monkeypatch)
    records.read(folder, NAMES[:1])


def test_another_version_of_the_database_is_another_cache(folder):
    records.read(folder, NAMES, version="1")
    before = caches(folder)
    records.read(folder, NAMES, version="2")
    assert caches(folder) != before


def test_the_cache_lies_where_the_argument_or_the_environment_says(folder, tmp_path, monkeypatch):
    records.read(folder, NAMES, cache=tmp_path / "argument")
    monkeypatch.setenv("ECG_CACHE", str(tmp_path / "environment"))
    records.read(folder, NAMES)
    assert len(list((tmp_path / "argument").iterdir())) == len(list((tmp_path / "environment").iterdir())) == 2
    assert not (folder / ".cache").exists()


def cut(samples, manifest):
    samples.write_bytes(samples.read_bytes()[:-1])


def lengthened(samples, manifest):
    samples.write_bytes(samples.read_bytes() + b"xx")


def foreign(samples, manifest):
    samples.write_bytes(bytes(reversed(samples.read_bytes())))


def unreadable(samples, manifest):
    manifest.write_text(manifest.read_text()[:-10])


def not_a_manifest(samples, manifest):
    manifest.write_text("[]")


def changed(samples, manifest):
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"gains": [[1, 1]] * 3}))


@pytest.mark.parametrize("damage", [cut, lengthened, foreign, unreadable, not_a_manifest, changed])
def test_a_damaged_cache_is_built_anew_with_one_line(folder, damage, capsys):
    expected = records.read(folder, NAMES).signals[:]
    damage(next((folder / ".cache").glob("*.samples")), next((folder / ".cache").glob("*.json")))
    assert records.read(folder, NAMES).signals[:].tolist() == expected.tolist()
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "is damaged and is built anew" in printed


@pytest.mark.parametrize("suffix", [".samples", ".json"])
def test_half_a_cache_is_none(folder, suffix):
    expected = records.read(folder, NAMES).signals[:]
    next((folder / ".cache").glob(f"*{suffix}")).unlink()
    assert records.read(folder, NAMES).signals[:].tolist() == expected.tolist()


def test_broken_records_are_listed_with_the_way_out(folder):
    (folder / "part/a.dat").unlink()
    write(folder, "part/b", [[1, 2]] * 3)
    write(folder, "part/d", [[1, 2]] * 4)
    message = complaint(folder, [*NAMES, "part/d"], expected=records.Layout(4, ("I", "II"), 100.0))
    assert message.splitlines() == [
        f"2 of 4 records in {folder} cannot be used:",
        "  part/a: the file a.dat is missing",
        "  part/b: samples 3 instead of 4",
        "Download them again (only what is missing or wrong is fetched), or leave them out with --skip-broken.",
    ]


def test_broken_records_can_be_left_out_and_a_second_start_remembers_them(folder, monkeypatch):
    (folder / "part/b.hea").unlink()
    found = records.read(folder, NAMES, skip_broken=True)
    assert found.names == ["part/a", "part/c"]
    assert found.broken == {"part/b": "the file b.hea is missing"}
    assert found.signals[1, 0, 1] == np.float32(0.02)
    only_the_cache(monkeypatch)
    assert records.read(folder, NAMES, skip_broken=True).broken == found.broken
    assert "part/b" in complaint(folder)


def test_a_mended_record_is_noticed(folder):
    content = (folder / "part/b.dat").read_bytes()
    (folder / "part/b.dat").unlink()
    complaint(folder)
    (folder / "part/b.dat").write_bytes(content)
    assert records.read(folder, NAMES).names == NAMES


def test_the_first_five_of_many_are_shown(tmp_path):
    message = complaint(tmp_path, [str(number) for number in range(1200)])
    assert message.startswith("1,200 of 1,200 records") and "  4: " in message and "  5: " not in message
    assert "... and 1,195 more" in message


def test_nothing_left_is_an_error_even_when_broken_records_may_be_skipped(folder):
    assert "3 of 3 records" in complaint(folder, skip_broken=True, expected=records.Layout(9, ("I", "II"), 100.0))
    assert caches(folder) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digital": [[1, 2]] * 3}, "samples 3 instead of 4"),
        ({"leads": ("II", "I")}, "leads II I instead of I II"),
        ({"sampling_rate": 500}, "sampling rate 500 instead of 100"),
    ],
)
def test_the_record_unlike_most_is_the_broken_one_even_if_it_is_the_first(folder, change, reason):
    write(folder, "part/a", **({"digital": [[1, 2]] * 4} | change))
    assert records.read(folder, NAMES, skip_broken=True).broken == {"part/a": reason}


def test_records_of_several_units_and_gains_come_out_in_millivolts(folder):
    write(folder, "part/b", [[1000, 500]] * 4, gain=2.0, baseline=100, units="uV")
    edit_header(folder, "part/c", b"1000.0(0)/mV", b"4.0(0)/V")
    signals = records.read(folder, NAMES).signals
    np.testing.assert_allclose(signals[:, 1], [[1, 2], [0.45, 0.2], [250_000, 500_000]], rtol=1e-6)


@pytest.mark.parametrize("names", [[], ["part/a", "part/a"]])
def test_no_names_or_one_twice_is_an_error(folder, names):
    assert "expected different names" in complaint(folder, names)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        records.read(tmp_path / "nowhere", NAMES)


class FullDisk:
    """A file that was made but takes nothing."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_says_how_much_is_needed_and_leaves_nothing(folder, monkeypatch):
    really_open = Path.open

    def open_on_full_disk(path, mode="r", *arguments, **options):
        file = really_open(path, mode, *arguments, **options)
        return FullDisk(file) if "w" in mode else file

    write(folder, "long", np.ones((2500, 2), int))  # 10,000 bytes
    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with pytest.raises(OSError, match=r"cache of 0.01 MB into .*\.cache: the disk is full.*ECG_CACHE=") as error:
        records.read(folder, ["long"])
    assert error.value.errno == errno.ENOSPC
    assert caches(folder) == []


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(folder):
    (folder / ".cache").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot write the sample cache .*ECG_CACHE="):
        records.read(folder, NAMES)


def test_an_interrupted_build_leaves_nothing(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "_checksum", interrupted)
    with pytest.raises(KeyboardInterrupt):
        records.read(folder, NAMES)
    assert caches(folder) == []


def test_what_killed_builds_left_is_removed_after_an_hour_but_not_before_and_nothing_else_ever(folder):
    (folder / ".cache").mkdir()
    name = ".part-0000000{}-01234567-0123456789abcdef.samples"
    old, young, foreign = (folder / ".cache" / file for file in (name.format(1), name.format(2), ".part-of-my-thesis"))
    for path in (old, young, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (time.time() - 3601,) * 2)
    records.read(folder, NAMES)
    assert not old.exists() and young.exists() and foreign.exists()


def read_slowly(folder, names, started):
    """Read while a second process does: each waits inside its build until both are there."""
    read_all = records.read_chunks

    def both(*arguments):
        started.wait(timeout=20)
        yield from read_all(*arguments)

    records.read_chunks = both
    assert records.read(folder, names).signals[2, 0, 1] == np.float32(0.02)


def test_two_processes_that_build_at_once_do_no_harm(folder):
    context = multiprocessing.get_context("spawn")
    started = context.Barrier(2)
    builders = [context.Process(target=read_slowly, args=(folder, NAMES, started)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=30)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert [Path(name).suffix for name in caches(folder)] == [".json", ".samples"]
    assert records.read(folder, NAMES).signals[2, 0, 1] == np.float32(0.02)


UNGUARDED = """
import sys, records, wfdb_files
wfdb_files.WORKERS_FROM = 1
print("main runs")
print(records.read(sys.argv[1], sys.argv[2:]).signals.shape)
"""


def run_script(tmp_path, content, *arguments, **options):
    script = tmp_path / "script.py"
    script.write_text(content)
    environment = os.environ | {"PYTHONPATH": str(Path(records.__file__).parent)}
    return subprocess.Popen(
        [sys.executable, script, *arguments], env=environment, stdout=subprocess.PIPE, text=True, **options
    )


def test_workers_do_not_run_the_script_that_reads(folder, tmp_path):
    output, _ = run_script(tmp_path, UNGUARDED, str(folder), *NAMES).communicate(timeout=30)
    assert output.splitlines() == ["main runs", "(3, 4, 2)"]


KILLED = """
import sys, time, records
def slowly(*_):
    print("building", flush=True)
    time.sleep(60)
records._checksum = slowly
records.read(sys.argv[1], sys.argv[2:])
"""


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_cache(folder, tmp_path):
    with run_script(tmp_path, KILLED, str(folder), *NAMES) as builder:
        assert builder.stdout.readline() == "building\n"
        builder.send_signal(signal.SIGKILL)
    assert [name[:6] for name in caches(folder)] == [".part-"]
    assert records.read(folder, NAMES).signals[2, 0, 1] == np.float32(0.02)
