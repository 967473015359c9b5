"""Hosts that train one network together: each reads its share of every batch, and the first one writes.

Data-parallel, by `keras.distribution` on the JAX backend. JAX ends a process whose peer is lost, but late and without a
word that a person would understand; so each host also keeps a line open to the first one, and watches it.
"""

import atexit
import contextlib
import json
import os
import socket
import sys
import threading
import time

import keras
import numpy as np

WAIT = 600  # seconds until all have come: the first reading of a large database takes minutes
SILENCE = 30  # seconds without a sign of life, after which JAX gives a host up whose line is still open
DONE = b"."


@contextlib.contextmanager
def together(addresses, number, about):
    """Within, this process is one of those that train together, if there are any addresses.

    Args:
        addresses: `host:port` of each, the first host first. They have to reach each other there and trust each other.
        number: of this process among them.
        about: what has to be the same for all, as a dict for JSON: settings, data.

    Raises:
        ValueError: another backend than JAX, addresses that are none, or a host with something else in `about`.
        OSError: the port is taken, or the others did not come.
    """
    if not addresses:
        yield
        return
    places = check(addresses, number)
    lines = meet(places, number, json.loads(json.dumps(about)))
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # which would keep SIGTERM from ending the process
    jax.distributed.initialize(
        addresses[0], len(places), number, cluster_detection_method="deactivate", heartbeat_timeout_seconds=SILENCE
    )
    watching = [threading.Thread(target=watch, args=item, daemon=True) for item in lines.items()]
    for thread in watching:
        thread.start()
    atexit.register(leave)
    yield
    for line in lines.values():
        line.sendall(DONE)
    for thread in watching:
        thread.join()  # until the others have said so
    atexit.unregister(leave)


def check(addresses, number):
    """Name and port of each host."""
    if keras.backend.backend() != "jax":
        raise ValueError(f"--hosts needs the JAX backend: set KERAS_BACKEND=jax, not {keras.backend.backend()}")
    places = [address.rpartition(":") for address in addresses]
    wrong = [address for address, (name, _, port) in zip(addresses, places, strict=True) if not (name and port.isdigit())]
    if wrong or len(set(addresses)) < len(addresses):
        raise ValueError(f"--hosts takes addresses HOST:PORT with commas between, each another, not {','.join(addresses)}")
    if not 0 <= number < len(addresses):
        raise ValueError(f"--host-id must be from 0 to {len(addresses) - 1} for these --hosts, but {number} came")
    return [(name, int(port)) for name, _, port in places]


def meet(places, number, about):
    """Lines, by the name of who is at their other end: of the first host to all others, of each other to the first."""
    try:
        server = socket.create_server(("", places[number][1]))
    except OSError as error:
        raise OSError(f"cannot use port {places[number][1]} of --hosts: {error.strerror}; choose another") from error
    with server:
        if number:
            return {named(places, 0): answer(server, places, about)}
    return {named(places, other): call(places, other, about) for other in range(1, len(places))}


def named(places, number):
    """A host, for a person."""
    return f"host {number} ({places[number][0]}:{places[number][1]})"


def call(places, other, about):
    """The line of the first host to another, which is told what this training is about."""
    print(f"host 0 calls {named(places, other)}", flush=True)
    until = time.monotonic() + WAIT
    while True:
        try:
            line = socket.create_connection(places[other], timeout=SILENCE)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"no answer from {named(places, other)} for {WAIT} s: {error}") from error
            time.sleep(0.5)
    line.settimeout(None)
    line.sendall(json.dumps(about).encode() + b"\n")
    return line


def answer(server, places, about):
    """The line of another host to the first one, if both are about the same."""
    print(f"waiting for {named(places, 0)}", flush=True)
    server.settimeout(WAIT)
    try:
        line, _ = server.accept()
    except TimeoutError:
        raise TimeoutError(f"{named(places, 0)} did not call for {WAIT} s") from None
    line.settimeout(None)
    theirs = json.loads(line.makefile().readline())
    both = [name for name in about if name in theirs]  # the commit is not known everywhere
    differ = [f"{name} {theirs[name]} (here {about[name]})" for name in both if theirs[name] != about[name]]
    if differ:
        raise ValueError(f"{named(places, 0)} was started with other settings or data: {', '.join(differ)}")
    return line


def watch(name, line):
    """End this process when the one at the other end of the line ends before it has said that it is done."""
    with contextlib.suppress(OSError):
        if line.recv(1) == DONE:
            return
    sys.stdout.flush()
    print(
        f"training: {name} is gone: it failed, was killed or lost the network; start all again with --resume",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the main thread may be waiting for a sum that never comes


def leave():
    """End a process that failed, without JAX's goodbye, which would wait for the others."""
    sys.stdout.flush()
    time.sleep(1)  # if it failed because another is gone, who watches that one says so
    os._exit(1)


def joined():
    """Whether this process is one of those that train together."""
    if keras.backend.backend() != "jax":
        return False
    import jax  # here, since other backends do without it

    return jax.distributed.is_initialized()


def place():
    """The number of this process, and how many train together: 0 and 1 where it is the only one."""
    if not joined():
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def first():
    """Whether this process is the one that writes."""
    return place()[0] == 0


@contextlib.contextmanager
def spread(model):
    """Within, a copy of the model on all devices of all hosts, to be trained; the model itself where none were joined.

    Whatever is made of Keras within has to be made by all hosts alike, or they wait for each other.
    """
    if not joined():
        yield model
        return
    with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
        copy = keras.models.clone_model(model)
        for variable, value in zip(copy.variables, model.variables, strict=True):  # weights, and seeds of dropout
            variable.assign(keras.ops.convert_to_numpy(value))
        yield copy


class Apart(keras.callbacks.Callback):
    """Lets each host do by itself what the callbacks after this one do at the end of an epoch."""

    spread = None

    def on_epoch_end(self, epoch, logs=None):
        self.spread = keras.distribution.distribution()
        keras.distribution.set_distribution(None)

    def on_epoch_begin(self, epoch, logs=None):
        if self.spread:
            keras.distribution.set_distribution(self.spread)


def gather(predict, rows):
    """What `predict` says of `rows`, each host having asked for its share of them."""
    number, count = place()
    if count == 1:
        return predict(rows)
    from jax.experimental import multihost_utils

    size = -(-len(rows) // count)  # as many for each: the first rows twice where they do not go round
    mine = np.resize(rows, size * count)[number * size : (number + 1) * size]
    return multihost_utils.process_allgather(predict(mine), tiled=True)[: len(rows)]
