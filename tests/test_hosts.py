"""Hosts that train together: who may join, what is said when one is lost, and that it is one training."""

import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from tiny_runs import ROOT

import hosts

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import blocks, dataset, hosts, models, training
from tiny_runs import TINY

def tiny(config, inputs, head):  # normalisation and dropout, which have to act on the whole batch
    return blocks.pool_and_classify(config, blocks.convolve(inputs[0], 4, 3), inputs[1], head)

models.MODELS["tiny"] = tiny
config = replace(TINY, model="tiny", crop=0.0, augmentation=("noise",))
data, number, ports = dataset.load("demo", records=60), int(sys.argv[1]), sys.argv[2:]
with hosts.together([("127.0.0.1", int(port)) for port in ports], number, {}):
    training.train(config, data, Path(f"together-{number}"))
if number == 0:
    hosts.joined = lambda: False
    training.train(config, data, Path("alone"))
"""


@pytest.fixture
def jax_backend(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")


@pytest.fixture
def ports():
    """Two that are free."""
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        return [each.getsockname()[1] for each in (one, other)]


@pytest.fixture
def places(ports):
    return [("127.0.0.1", port) for port in ports]


@pytest.fixture
def meet(places):
    """What the two hosts have when they met, or the error of one, for what each is about."""

    def meet(*abouts):
        met = [None, None]

        def run(number):
            try:
                met[number] = hosts.meet(places, number, abouts[number])
            except (ValueError, OSError) as error:
                met[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        return met

    return meet


@pytest.mark.parametrize(
    ("addresses", "number", "message"),
    [
        (["a:1", "b"], 0, "takes different HOST:PORT with commas between, but a:1,b came"),
        (["a:1", "a:1"], 0, "takes different HOST:PORT"),
        (["a:1", "b:1"], 2, "--host-id must be from 0 to 1 for these --hosts, but 2 came"),
        (["a:1", "b:1"], -1, "--host-id must be from 0 to 1"),
    ],
)
def test_addresses_that_are_none_and_a_host_that_is_not_among_them_are_refused(jax_backend, addresses, number, message):
    with pytest.raises(ValueError, match=message):
        hosts.places_of(addresses, number)


def test_another_backend_than_jax_is_refused(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ValueError, match="--hosts needs the JAX backend: set KERAS_BACKEND=jax; it is torch"):
        hosts.places_of(["a:1", "b:1"], 0)


def test_a_host_alone_is_the_first_of_one_and_predicts_all_rows(jax_backend):
    pytest.importorskip("jax")
    assert hosts.places_of([], 0) == []
    with hosts.together([], 0, {}):
        assert hosts.place() == (0, 1)
        np.testing.assert_array_equal(hosts.gather(lambda rows: 2 * rows, np.arange(5)), 2 * np.arange(5))


def test_hosts_about_the_same_have_a_line_to_each_other(meet):
    first, other = meet({"seed": 1, "leads": ("I", "II"), "commit": "abc"}, {"seed": 1, "leads": ("I", "II")})
    (name,), (there,) = first, other
    assert name.startswith("host 1 (127.0.0.1:") and there.startswith("host 0 (127.0.0.1:")
    first[name].sendall(b"x")
    assert other[there].recv(1) == b"x"


def test_a_host_with_other_settings_says_which(meet):
    _, error = meet({"seed": 1, "crop": 2.5}, {"seed": 2, "crop": 2.5})
    assert str(error).endswith("was started for another training: seed 1 (here 2)")


def test_a_port_in_use_is_refused(places):
    with (
        socket.create_server(("", places[0][1])),
        pytest.raises(OSError, match=f"cannot listen at port {places[0][1]}"),
    ):
        hosts.meet(places, 0, {})


@pytest.mark.parametrize("number", [0, 1])
def test_a_host_that_does_not_come_is_named(places, number, monkeypatch):
    monkeypatch.setattr(hosts, "WAIT", 0.1)
    with pytest.raises(TimeoutError, match=rf"host {1 - number} \(127.0.0.1:.*for 0.1 s"):
        hosts.meet(places, number, {})


@pytest.mark.parametrize(("last", "ends"), [(b"", True), (hosts.DONE, False)])
def test_a_line_that_ends_ends_the_process_unless_the_other_was_done(last, ends, monkeypatch, capsys):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    here, there = socket.socketpair()
    there.sendall(last)
    there.close()
    hosts.watch("host 1 (b:1)", here)
    assert left == ([1] if ends else [])
    assert ("training: host 1 (b:1) is gone: it failed or was killed" in capsys.readouterr().err) == ends


def together(folder, ports):
    """Two processes that train together, and then the first one alone; their output, once they have ended."""
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    words = [[sys.executable, "-c", SCRIPT, str(number), *map(str, ports)] for number in (0, 1)]
    runs = [subprocess.Popen(each, cwd=folder, env=environment, **pipes) for each in words]
    return [(run.communicate()[0], run.returncode) for run in runs]


@pytest.mark.slow
def test_two_hosts_train_as_one_and_the_first_one_writes(tmp_path, ports):
    pytest.importorskip("jax")
    for output, status in together(tmp_path, ports):
        assert status == 0, output
    assert not (tmp_path / "together-1").exists()
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("together-0", "alone")]
    assert len(logs[0]) == 2
    pd.testing.assert_frame_equal(*logs, check_exact=False, rtol=0, atol=1e-4)
    with np.load(tmp_path / "together-0/state.npz") as one, np.load(tmp_path / "alone/state.npz") as other:
        names = [name for name in one if name.startswith("variable")]
        assert len(names) > 20
        for name in names:
            np.testing.assert_allclose(one[name], other[name], atol=1e-4)
