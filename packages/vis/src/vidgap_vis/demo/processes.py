"""The demo's processes: one thread each, two at most.

At these sizes a second thread shortens a step by little, so two jobs at once take about half the
time of one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import torch

MOST_PROCESSES = 2

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
"""glibc's malloc holds on to what is freed. By default it hands a step's large temporaries back to
the system and gets them anew, at a page fault for every 4 kB."""


def num_processes() -> int:
    """Return how many processes run at once."""
    return min(MOST_PROCESSES, os.cpu_count() or 1)


@contextmanager
def process_pool() -> Iterator[ProcessPoolExecutor]:
    """Yield a pool; where its block fails, what has not begun is dropped."""
    before = {name: os.environ.get(name) for name in KEEP_MEMORY}
    os.environ |= KEEP_MEMORY  # read by a process as it starts
    # Not forked: a fork of a process with OpenMP's threads may never return.
    context = get_context("spawn")
    pool = ProcessPoolExecutor(
        num_processes(), context, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
