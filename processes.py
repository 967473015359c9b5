"""A function in a process of its own: its memory goes with it, and whatever kills it kills nothing else."""

import multiprocessing
import os
import signal
import threading
import traceback

# Forked from a server that did nothing but import: quick, and no thread or lock of ours comes with it.
WAYS = multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in WAYS else "spawn")
BEAT = 5  # s
SILENCE = 120  # s; who gave no sign of life for so long is lost


class Failed(Exception):
    """What was called did not come to its end: its traceback, or by what it was killed."""


def start(function, *arguments):
    """The running process of `function(*arguments)`, which ends when this one does, however that may be."""
    process = CONTEXT.Process(target=_guarded, args=(function, arguments))
    process.start()
    return process


def call(function, *arguments, beat=lambda: None):
    """What `function(*arguments)` returns; meanwhile, every few seconds, `beat()` is called.

    If `beat` raises, as if this process is interrupted, the other one is killed.

    Raises:
        Failed: the function raised something, or its process was killed.
    """
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = start(_answer, sender, function, arguments)
    sender.close()  # so that the pipe ends with the process
    try:
        while not receiver.poll(BEAT):
            beat()
        result, error = receiver.recv()
    except EOFError:
        process.join()
        end = process.exitcode
        why = f"was killed by signal {-end}, as by the system when memory runs out" if end < 0 else f"ended with {end}"
        result, error = None, f"its process {why}"
    finally:
        process.kill()
        process.join()
    if error:
        raise Failed(error)
    return result


def _answer(sender, function, arguments):
    try:
        sender.send((function(*arguments), None))
    except Exception:
        sender.send((None, traceback.format_exc().rstrip()))


def _guarded(function, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that waits, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function(*arguments)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
