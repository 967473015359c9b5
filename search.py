"""A search: workers that run its trials, each in a process of its own; and a chief for several of them.

A chief and its workers talk by keras-tuner's own service. What that is known for is guarded against: chiefs that never
end, workers that wait for ever, two chiefs at one port.
"""

import contextlib
import os
import time
from concurrent import futures
from dataclasses import replace

import grpc
import numpy as np
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

import card as cards
import processes
import state as states
import training
import trials
import writing

PAUSE = 0.5  # s, after which a worker without a trial asks again
LONELY = 900  # s without any worker, after which a chief ends

processes.CONTEXT.set_forkserver_preload([__name__])


def train(config, read, folder):
    """A trial, or its part with one seed: a training run, which goes on if it was stopped.

    Returns:
        Its best validation macro AUC, and the epochs it took.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "output.txt", "a", buffering=1) as file, contextlib.redirect_stdout(file):
        again = (folder / states.STATE).exists()
        path = training.train(config, read(), folder, resume=again, keep_interrupted=False)
    card = cards.read(path)
    return card.scores["validation"]["macro_auc"], len(card.log)


def work(oracle, plan, name):
    """Run one trial after another until the oracle, of this process or of a chief's, has no more."""
    while (trial := oracle.create_trial(name)).status != "STOPPED":
        if trial.status == "IDLE":
            time.sleep(PAUSE)
        else:
            attempt(oracle, plan, trial)


def attempt(oracle, plan, trial):
    """Run a trial and tell the oracle its score; or that it failed, for a reason that is written into its folder."""
    config, folder, start = plan.config_of(trial), plan.folder_of(trial), time.monotonic()
    told = []
    try:
        for seed in plan.seeds:
            one = replace(config, seed=seed), plan.read, folder / f"seed-{seed}"
            told.append(processes.call(plan.train, *one, beat=lambda: oracle.get_trial(trial.trial_id)))
    except processes.Failed as error:
        with writing.whole(folder / trials.FAILURE) as temporary:
            temporary.write_text(f"{error}\n")
        trial.status = "FAILED"
    else:
        scores, epochs = zip(*told, strict=True)
        metrics = {f"seed_{seed}": score for seed, score in zip(plan.seeds, scores, strict=True)}
        metrics |= {trials.SCORE: np.mean(scores), "epochs": np.mean(epochs), "seconds": time.monotonic() - start}
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


@contextlib.contextmanager
def chief(oracle, address):
    """The service of an oracle at `address`; gives the port, which is a free one if the address says 0.

    Raises:
        OSError: the port is in use.
    """
    # Without this option a second chief may have the same port, and half of the calls.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    protos.get_service_grpc().add_OracleServicer_to_server(oracle_chief.OracleServicer(oracle), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen at {address}; is another chief, or something else, there?") from error
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None)


def work_for(plan, host, port, name):
    """Be a worker of the chief at `host` and `port` until it has no more trials.

    Raises:
        ConnectionError: it does not answer.
    """
    os.environ |= {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": str(port), "KERASTUNER_TUNER_ID": name}
    oracle_client.TIMEOUT = processes.SILENCE  # of every call; keras-tuner waits an hour
    try:
        work(oracle_client.OracleClient(None), plan, name)
    except grpc.RpcError as error:
        what = f"{error.code().name}, {error.details()}"
        raise ConnectionError(f"no answer from the chief at {host}:{port}: {what}") from error


def wait(oracle, workers):
    """Wait until a chief's search is over.

    Args:
        workers: processes of this machine, by name; others may call from elsewhere.

    Raises:
        ConnectionError: no worker is left.
    """
    start = time.monotonic()
    oracle.gone = lambda: {name for name, process in workers.items() if not process.is_alive()}
    while not oracle.over:
        time.sleep(PAUSE)
        silent = time.monotonic() - max(oracle.heard.copy().values(), default=start)
        alone = silent > LONELY or (workers and len(oracle.gone()) == len(workers))
        if alone and not oracle.over:  # they end when they are told that it is over
            raise ConnectionError("no worker is left; the same command goes on")
    time.sleep(3 * PAUSE)  # every worker without a trial asks once more, and is told
