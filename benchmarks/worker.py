"""Processes with jobs to be timed, and the turns that they take."""

import importlib
import multiprocessing
import os
import traceback
from pathlib import Path

LOG_LINES = 20
TENSORFLOW_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class MissingPeer(ImportError):
    """A library to compare with is not installed; says what to install."""


class Worker:
    """A process of its own, with jobs that are run one at a time.

    Each side of a comparison has its own process: its own threads, its own
    memory allocator, and no libraries of the other side. While one works, the
    others wait.

    Args:
        setup: `"module:function"`. The function gets `setting` and gives a
            dictionary from names to jobs: functions of plain values that give
            plain values or arrays.
        setting: Dictionary for the function; `threads` says how many cores
            the process may use, `folder` where its log goes.

    Attributes:
        missing: What is to be installed before this worker can work; `None`
            if it can.

    Raises:
        RuntimeError: The setup failed; with its traceback.

    Example:

    ```python
    with Worker("benchmarks.peers:labelling", setting) as peers:
        peers.run("sorted", 64)["seconds"]
    ```
    """

    def __init__(self, setup, setting):
        self.setup = setup
        log = f"{setup.replace(':', '.')}.log"
        self.log = Path(setting["folder"]) / log
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(setup, setting, str(self.log), theirs)
        )
        self._process.start()
        theirs.close()
        self.missing = self._receive()

    def run(self, job, *arguments):
        """Runs a job and gives what it gives.

        Raises:
            RuntimeError: The job failed; with its traceback.
        """
        self._pipe.send((job, arguments))
        return self._receive()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process.is_alive():
            self._pipe.close()
            self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _receive(self):
        try:
            outcome, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            lines = self.log.read_text("utf-8", "replace").splitlines()
            raise RuntimeError(
                f"{self.setup} ended with status {self._process.exitcode}. "
                "Its last words:\n" + "\n".join(lines[-LOG_LINES:])
            ) from None
        if outcome == "error":
            self.__exit__()
            raise RuntimeError(f"{self.setup} failed:\n{value}")
        return value


def take_turns(calls, repeats):
    """Runs each of some functions once a round, for several rounds.

    What else the machine does then hits all of them alike. Every second round
    goes backwards.

    Args:
        calls: Dictionary from names to functions without arguments.
        repeats: Number of rounds.

    Returns:
        Dictionary from names to the lists of what the functions gave.
    """
    results = {name: [] for name in calls}
    for turn in range(repeats):
        order = list(calls)[:: -1 if turn % 2 else 1]
        for name in order:
            results[name].append(calls[name]())
    return results


def use_cores(threads):
    """Has this process use so many cores, whichever library is to come.

    To be called before TensorFlow or PyTorch is imported. TensorFlow's own
    two variables are left as they are where they are set.

    Args:
        threads: Number of cores.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    for name in TENSORFLOW_THREADS:
        os.environ.setdefault(name, str(threads))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As keras-kd does.
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        # The first core serves most interrupts.
        os.sched_setaffinity(0, cores[-threads:])


def _serve(setup, setting, log, pipe):
    use_cores(setting["threads"])
    # Progress bars and notes of libraries; errors go through the pipe.
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        module, function = setup.split(":")
        jobs = getattr(importlib.import_module(module), function)(setting)
    except MissingPeer as error:
        pipe.send(("missing", str(error)))
        return
    except Exception:
        pipe.send(("error", traceback.format_exc()))
        return
    pipe.send(("ready", None))
    while True:
        try:
            job, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", jobs[job](*arguments)))
        except Exception:
            pipe.send(("error", traceback.format_exc()))
