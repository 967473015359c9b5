"""Hosts that train one network together: each reads its share of every batch, and the first one writes.

Data-parallel, by `keras.distribution` on the JAX backend. JAX ends a process whose peer is lost, but late and in words
that nobody understands; so each host also keeps a line open to the first one, and watches it.
"""

import atexit
import contextlib
import json
import os
import re
import socket
import sys
import threading
import time

import keras
import numpy as np

WAIT = 600  # seconds until all have come: the first reading of a large database takes minutes
SILENCE = 30  # seconds without a sign of life, after which JAX gives up a host whose line is still open
DONE = b"."


@contextlib.contextmanager
def together(places, number, about):
    """Within, this process is one of those that train together, if there are any places.

    Args:
        places: name and port of each host, as `places_of` gives them. They have to reach, and to trust, each other.
        number: of this process among them.
        about: what has to be the same for all, as a dict for JSON.

    Raises:
        ValueError: a host with something else in `about`.
        OSError: the port is taken, or a host did not come.
    """
    if not places:
        yield
        return
    import jax  # here, since other backends do without it

    lines = meet(places, number, about)
    watching = [threading.Thread(target=watch, args=item, daemon=True) for item in lines.items()]
    for thread in watching:
        thread.start()
    atexit.register(leave)
    jax.config.update("jax_enable_preemption_service", False)  # it would keep SIGTERM from ending the process
    coordinator = "{}:{}".format(*places[0])
    jax.distributed.initialize(
        coordinator, len(places), number, cluster_detection_method="deactivate", heartbeat_timeout_seconds=SILENCE
    )
    yield
    for line in lines.values():
        line.sendall(DONE)
    for thread in watching:
        thread.join()  # until the others have said so
    atexit.unregister(leave)


def places_of(addresses, number):
    """Name and port of each `HOST:PORT`, of which this process is one.

    Raises:
        ValueError: another backend than JAX, addresses that are none, or no such number.
    """
    if not addresses:
        return []
    if keras.backend.backend() != "jax":
        raise ValueError(f"--hosts needs the JAX backend: set KERAS_BACKEND=jax; it is {keras.backend.backend()}")
    found = [re.fullmatch(r"(.+):(\d{1,5})", address) for address in addresses]
    if not all(found) or len(set(addresses)) < len(addresses):
        raise ValueError(f"--hosts takes different HOST:PORT with commas between, but {','.join(addresses)} came")
    if not 0 <= number < len(addresses):
        raise ValueError(f"--host-id must be from 0 to {len(addresses) - 1} for these --hosts, but {number} came")
    return [(place[1], int(place[2])) for place in found]


def meet(places, number, about):
    """Lines, by the name of who is at their other end: of the first host to all others, of each other to the first."""
    port = places[number][1]
    try:
        server = socket.create_server(("", port))
    except (OSError, OverflowError) as error:
        raise OSError(f"cannot listen at port {port} of --hosts: {error}; choose another") from error
    with server:
        if number:
            return {named(places, 0): answer(server, named(places, 0), about)}
    others = range(1, len(places))
    return {named(places, other): call(places[other], named(places, other), about) for other in others}


def named(places, number):
    """A host, for a person."""
    return f"host {number} ({places[number][0]}:{places[number][1]})"


def call(place, name, about):
    """The line of the first host to another, which is told what this training is about."""
    print(f"calling {name}", flush=True)
    until = time.monotonic() + WAIT
    while True:
        try:
            line = socket.create_connection(place, timeout=SILENCE)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"{name} did not answer for {WAIT} s: {error}") from error
            time.sleep(0.2)
    line.settimeout(None)
    line.sendall(json.dumps(about).encode() + b"\n")
    return line


def answer(server, name, about):
    """The line of another host to the first one, if both are about the same."""
    print(f"waiting for {name}", flush=True)
    server.settimeout(WAIT)
    try:
        line, _ = server.accept()
    except TimeoutError:
        raise TimeoutError(f"{name} did not call for {WAIT} s") from None
    line.settimeout(None)
    theirs = json.loads(line.makefile().readline())
    ours = json.loads(json.dumps(about))  # as it comes over a line
    both = [key for key in ours if key in theirs]  # the commit is not known everywhere
    if differ := [f"{key} {theirs[key]} (here {ours[key]})" for key in both if theirs[key] != ours[key]]:
        raise ValueError(f"{name} was started for another training: {', '.join(differ)}")
    return line


def watch(name, line):
    """End this process when the one at the other end of the line ends without having said that it is done."""
    with contextlib.suppress(OSError):
        if line.recv(1) == DONE:
            return
    sys.stdout.flush()
    print(f"training: {name} is gone: it failed or was killed; start all again with --resume", file=sys.stderr)
    os._exit(1)  # the main thread may be waiting for a sum that never comes


def leave():
    """End a process that failed, without JAX's goodbye, which would wait for the others."""
    sys.stdout.flush()
    time.sleep(0.5)  # if it failed because another is gone, who watches that one says so
    os._exit(1)


def joined():
    """Whether this process is one of those that train together."""
    if keras.backend.backend() != "jax":
        return False
    import jax

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
    """Within, a copy of the model on all devices of all hosts, to be trained; the model itself where none have joined.

    Whatever is made of Keras within has to be made by all hosts alike: they compare its first values.
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
    """Ends, for the callbacks after it, the scope of `spread` until the next epoch: the first host saves alone."""

    scope = None

    def on_epoch_end(self, epoch, logs=None):
        self.scope = keras.distribution.distribution()
        keras.distribution.set_distribution(None)

    def on_epoch_begin(self, epoch, logs=None):
        if self.scope:
            keras.distribution.set_distribution(self.scope)


def gather(predict, rows):
    """What `predict` says of `rows`, each host having asked for its share of them."""
    number, count = place()
    if count == 1:
        return predict(rows)
    from jax.experimental import multihost_utils

    size = -(-len(rows) // count)  # as many for each: some of the first twice where they do not go round
    mine = np.resize(rows, size * count)[number * size : (number + 1) * size]
    return multihost_utils.process_allgather(predict(mine), tiled=True)[: len(rows)]


def check_batch(size):
    """Refuse batches of so many records that the devices of all hosts cannot share evenly."""
    if not joined():
        return
    devices = keras.distribution.get_device_count()
    if size % devices:
        raise ValueError(f"{devices} devices cannot share batches of {size} records evenly: give a multiple")
