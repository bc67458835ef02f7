"""Contenders on a GPU: time of the kernels by events and by a graph's replay, and the host's time.

Calls rotate through several sets of inputs, together larger than the L2 cache: in a network an
op does not find its inputs there either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.harness.agreement import first_line
from bench.harness.contender import Tensors
from bench.harness.timing import Durations

BYTES_TOGETHER = 200e6
MAX_SETS = 8
WARM_UP = 3
REPLAYS = 5
SECONDS = 0.1
AT_LEAST, AT_MOST = 5, 50
"""Bounds of the number of timed calls, which together take `SECONDS`."""


@dataclass(frozen=True)
class CudaTiming:
    """Times of one contender.

    Attributes:
        events: a call, between two events of the stream.
        graph: a call, as its share of a replayed graph of one call a set of inputs; None: it could
            not be captured.
        note: why not.
        host: a call, until it returns to Python.
        peak_mib: rise of the peak memory.
    """

    events: Durations
    graph: Durations | None
    note: str
    host: Durations
    peak_mib: float

    @property
    def median(self) -> float:
        """Seconds that count: the events'."""
        return self.events.median

    def as_json(self) -> dict[str, Any]:
        """Return the numbers to keep."""
        return {
            "event_ms": self.events.as_json(),
            "graph_ms": self.graph.as_json() if self.graph else self.note,
            "host_ms": self.host.as_json(),
            "peak_mib": round(self.peak_mib, 1),
        }


def num_sets(tensors: Tensors) -> int:
    """Return the number of sets of inputs that together exceed the cache."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return max(2, min(MAX_SETS, -(-int(BYTES_TOGETHER) // size)))


def measure(call: Callable[[Tensors], Any], sets: Sequence[Tensors]) -> CudaTiming:
    """Time one contender.

    Raises:
        RuntimeError: it cannot run, e.g. for lack of memory.
    """
    for turn in range(WARM_UP):
        call(sets[turn % len(sets)])
    torch.cuda.synchronize()
    begin = time.perf_counter()
    call(sets[0])
    torch.cuda.synchronize()
    repeats = max(AT_LEAST, min(AT_MOST, int(SECONDS / (time.perf_counter() - begin))))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call(sets[0])
    peak = torch.cuda.max_memory_allocated() - before
    events, host = by_events(call, sets, repeats)
    graph, note = by_graph(call, sets)
    return CudaTiming(events, graph, note, host, peak / 2**20)


def by_events(
    call: Callable[[Tensors], Any], sets: Sequence[Tensors], repeats: int
) -> tuple[Durations, Durations]:
    """Return a call's time on the stream, where calls queue up, and on the host, where none do."""
    pairs = []
    for turn in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call(sets[turn % len(sets)])
        stop.record()
        pairs.append((start, stop))
    torch.cuda.synchronize()
    host = []
    for turn in range(repeats):
        begin = time.perf_counter()
        call(sets[turn % len(sets)])
        host.append(time.perf_counter() - begin)
        torch.cuda.synchronize()
    return Durations(tuple(a.elapsed_time(b) / 1000 for a, b in pairs)), Durations(tuple(host))


def by_graph(
    call: Callable[[Tensors], Any], sets: Sequence[Tensors]
) -> tuple[Durations | None, str]:
    """Return a call's share of a graph's replay, or None and why it cannot be captured."""
    problem = why_not_captured(call, sets[0])
    if problem:
        return None, problem
    graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for tensors in sets:
                call(tensors)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            for tensors in sets:
                call(tensors)
    except RuntimeError as error:
        torch.cuda.set_stream(before)  # a capture that fails to end leaves its own
        torch.cuda.synchronize()
        return None, first_line(error)
    times = []
    for _ in range(REPLAYS + 1):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1000 / len(sets))
    return Durations(tuple(times[1:])), ""


def why_not_captured(call: Callable[[Tensors], Any], tensors: Tensors) -> str:
    """Return why a call waits for the device, which no graph can hold; "" where it does not.

    A capture that fails would leave the generator and the allocator in it (torch 2.11's sources).
    """
    try:
        torch.cuda.set_sync_debug_mode("error")
        call(tensors)
    except RuntimeError as error:
        return first_line(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""
