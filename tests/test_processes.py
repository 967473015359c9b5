"""A function in a process of its own: what it gives, what it raises, and what becomes of it when its parent ends."""

import os
import signal
import time

import pytest
from tiny_search import wait_for

import processes


def identity(*values):
    return *values, os.getpid()


def fail():
    raise ValueError("no such thing")


def end_at_once():
    os.kill(os.getpid(), signal.SIGKILL)


def write_pid_and_sleep(path):
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(60)


def call_one_that_sleeps(path):
    processes.call(write_pid_and_sleep, path)


def pid_in(path):
    wait_for(path.exists)
    return int(path.read_text())


def is_gone(pid):
    """Whether a process has ended; one that has may still wait for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_a_function_returns_comes_back_from_another_process():
    first, second, pid = processes.call(identity, "one", {"two": 2})
    assert (first, second) == ("one", {"two": 2})
    assert pid != os.getpid()


def test_what_it_raises_comes_back_as_the_last_line_of_its_traceback():
    with pytest.raises(processes.Failed, match="Traceback") as error:
        processes.call(fail)
    assert str(error.value).splitlines()[-1] == "ValueError: no such thing"


def test_a_function_that_is_killed_is_told_with_the_signal():
    with pytest.raises(processes.Failed, match="killed by signal 9, as by the system when memory runs out"):
        processes.call(end_at_once)


def test_it_is_killed_when_what_is_done_meanwhile_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "BEAT", 0.05)

    def beat():
        if (tmp_path / "pid").exists():
            raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError):
        processes.call(write_pid_and_sleep, tmp_path / "pid", beat=beat)
    assert is_gone(pid_in(tmp_path / "pid"))


def test_it_ends_when_the_process_that_waits_for_it_is_killed(tmp_path):
    parent = processes.start(call_one_that_sleeps, tmp_path / "pid")
    pid = pid_in(tmp_path / "pid")
    assert not is_gone(pid)
    parent.kill()
    parent.join()
    wait_for(lambda: is_gone(pid))
