"""An archive on a Ray cluster of two nodes, both on this machine: the rows of one machine, even if a node is lost."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tiny_wfdb
from test_predict import CARD
from test_runtimes import mean_of_leads
from tiny_runs import ROOT

import predict

pytest.importorskip("ray", reason="needs pip install -r requirements-apps.txt")
pytestmark = pytest.mark.slow
COUNT = 40
SECONDS = 240  # then a run is stopped: starting a cluster takes a while on a busy machine

# An answer takes half a second, so that a node can be killed in the middle.
SLOW = """
import sys, time, predict

def open_slowly(options):
    import predict
    tell = predict.open_teller(options)
    return lambda paths: time.sleep(0.5) or tell(paths)

predict.open_teller, predict.PART = open_slowly, 2
predict.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster: a head, and a node that may be killed, each with one processor."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.add_node(num_cpus=1)
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of which number n has n mV in lead I, two of them broken; beside them a model, and the table of one
    machine."""
    folder = tmp_path_factory.mktemp("archive") / "in"
    for number in range(COUNT):
        tiny_wfdb.write(folder, f"r{number:02}", np.full((200, 2), 1000 * (number % 30)))
    (folder / "r03.dat").write_bytes(b"short")
    (folder / "r21.dat").unlink()
    mean_of_leads(folder.with_name("model.onnx"), CARD)
    predict.main(command(folder, "alone.csv"))
    return folder


def command(folder, name):
    """The arguments of predict.py."""
    return [str(folder.with_name("model.onnx")), str(folder), "--csv", str(folder.with_name(name))]


def start(folder, name, cluster):
    """The command on the cluster, in a process of its own."""
    arguments = [*command(folder, name), "--ray", cluster.address]
    return subprocess.Popen([sys.executable, "-c", SLOW, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_the_rows_are_those_of_one_machine(folder, cluster):
    process = start(folder, "both.csv", cluster)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    assert "40 records, of them 2 broken" in told
    assert folder.with_name("both.csv").read_text() == folder.with_name("alone.csv").read_text()


def test_nothing_is_lost_or_doubled_when_a_node_is_killed_in_the_middle(folder, cluster):
    (node,) = cluster.worker_nodes
    process = start(folder, "killed.csv", cluster)
    parts, until = folder.with_name("killed.csv.parts"), time.monotonic() + SECONDS
    while len(list(parts.glob("0*.csv"))) < 4:
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.05)
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    assert len(list(parts.glob("0*.csv"))) < COUNT // 2, "the node was killed too late"
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    table = pd.read_csv(folder.with_name("killed.csv"))
    pd.testing.assert_frame_equal(table, pd.read_csv(folder.with_name("alone.csv")))
    assert table["record"].is_unique and len(table) == COUNT
