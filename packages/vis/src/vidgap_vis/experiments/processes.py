"""Jobs side by side: processes of one thread each.

Small networks gain little from a second thread, so two jobs at once take about half the time of one
after the other.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from vidgap_vis.errors import was_terminated

MOST_PROCESSES = 2
TERMINATED = 143
"""What a process exits with that SIGTERM ended."""

PAUSE_S = 0.5
"""Between two wishes that processes end."""

NICE = 10
"""Added to a yielding process's niceness."""


@dataclass(frozen=True)
class Job:
    """What a process does at a time.

    Attributes:
        call: called with nothing; it is pickled, and so is what it returns.
        needs: the name of the job that must be done before; "" for none.
        yields: give way to jobs that do not, where cores are short. Its process does so to its end.
    """

    call: Callable[[], Any]
    needs: str = ""
    yields: bool = False

    def __call__(self) -> Any:
        """Do it; this is what a process runs."""
        if self.yields and hasattr(os, "nice"):
            os.nice(NICE)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return self.call()
        except BaseException as stop:
            if was_terminated(stop):  # with its checkpoint; the pool, too, is at its end
                os._exit(TERMINATED)
            raise
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_jobs(
    jobs: Mapping[str, Job],
    progress: Callable[[int], object],
    processes: int | None = None,
    gpus: Sequence[int] = (),
) -> dict[str, Any]:
    """Do all jobs, each as soon as what it needs is done and a process is free.

    Args:
        jobs: by name; of those that can begin the first goes first.
        progress: called again and again meanwhile, and at the end, with how many are done.
        processes: at once; None: one for each of `gpus`, without them `num_processes()`.
        gpus: dealt out to the processes in turn, each of which sees its own alone, as cuda:0.

    Returns:
        What they returned, by name.

    Raises:
        ValueError: what a job needs does not come before it.
        Exception: the error of the job that failed first.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; what ran has ended, trainings with a checkpoint.
    """
    for index, (name, job) in enumerate(jobs.items()):
        if job.needs and job.needs not in [*jobs][:index]:
            raise ValueError(f"{name}: what it needs must come before it, got {job.needs!r}")
    waiting = dict(jobs)
    running: dict[Future[Any], str] = {}
    results: dict[str, Any] = {}
    pause = 1.0 if sys.stderr.isatty() else 10.0
    processes = processes or len(gpus) or num_processes()
    with process_pool(processes, gpus) as pool:
        while waiting or running:
            ready = [name for name, job in waiting.items() if job.needs in {"", *results}]
            for name in ready[: processes - len(running)]:
                running[pool.submit(waiting.pop(name))] = name
            finished, _ = wait(running, timeout=pause, return_when=FIRST_COMPLETED)
            for future in finished:
                results[running.pop(future)] = future.result()
            progress(len(results))
    return results


def num_processes() -> int:
    """Return how many processes run at once: one for each core, two at most."""
    return min(MOST_PROCESSES, os.cpu_count() or 1)


@contextmanager
def process_pool(processes: int, gpus: Sequence[int] = ()) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool; where its block fails, what has not begun is dropped, and what runs waited for.

    A stop that reaches this process alone is passed on as SIGTERM.

    Args:
        processes: of the pool.
        gpus: as `run_jobs`.
    """
    # Not forked: a fork of a process with OpenMP's threads may never return.
    context = get_context("spawn")
    hand = context.SimpleQueue()
    for _, gpu in zip(range(processes), cycle(gpus), strict=False):
        hand.put(gpu)
    pool = ProcessPoolExecutor(
        processes, context, initializer=_begin, initargs=(hand if gpus else None,)
    )
    try:
        try:
            yield pool
        except Exception:  # a job failed: others go on to their ends, which a stop still reaches
            pool.shutdown(cancel_futures=True)
            raise
    except KeyboardInterrupt:
        # Again, for one may have ended its job and wait for more. Elsewhere it would kill outright.
        while os.name == "posix" and (children := active_children()):
            for process in children:
                process.terminate()
            time.sleep(PAUSE_S)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(hand: SimpleQueue[int] | None) -> None:
    """Begin a process: it has one thread, and the next GPU of the hand, if there is one."""
    torch.set_num_threads(1)
    # While it waits, lest it dies with a traceback and breaks the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    if hand is not None:
        number, given = hand.get(), os.environ.get("CUDA_VISIBLE_DEVICES")
        # Numbers count those that this run was given.
        os.environ["CUDA_VISIBLE_DEVICES"] = given.split(",")[number] if given else str(number)


def _end_with_parent() -> None:
    """End this process when its parent is killed, lest the next one finds it at its folders."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def saying(path: Path) -> Iterator[None]:
    """Send what this process says to the end of a file."""
    with path.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        logger = logging.getLogger("vidgap_vis")
        before = logger.handlers, logger.level
        logger.handlers = [logging.StreamHandler(log)]
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.handlers, logger.level = before
