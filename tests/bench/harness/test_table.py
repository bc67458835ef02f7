"""The table of a benchmark, and its summary."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.harness import cuda, summary, table, timing
from bench.harness.agreement import SMALL
from bench.harness.contender import Work
from bench.ops import conv_gru

FLOAT32 = Work(SMALL, 2, torch.float32, "cpu")


@pytest.mark.parametrize("graph", [timing.Durations((0.0005,)), None])
def test_rows_of_a_gpu_show_the_graph_and_the_host(graph: timing.Durations | None) -> None:
    def taking(seconds: float) -> cuda.CudaTiming:
        return cuda.CudaTiming(
            timing.Durations((seconds,)), graph, "no capture", timing.Durations((0.00007,)), 1.0
        )

    op, work = conv_gru.BENCHMARK.ops[0], dataclasses.replace(FLOAT32, device="cuda")
    timings: table.Timings = {"reference": taking(0.004), "native": taking(0.001)}
    rows = table.rows(op, work, "forward", 1, timings, floor_s=0.0005)
    assert [row.times_reference for row in rows] == [1, 4]
    assert [row.times_official for row in rows] == [None, None]
    assert "threads" not in table.title(rows[0])
    *_, last = table.lines(rows)
    assert last.split() == [
        *("native", "1.000", "[1.000,", "1.000]", "1", "4.00", "-", "50.0"),
        *("0.500" if graph else "-", "0.070"),
    ]
    kept = rows[1].as_json()
    assert kept["graph_ms"] == (graph.as_json() if graph else "no capture")
    (line,) = summary.cells([row.as_json() for row in rows])
    assert line[1:] == ["native", "1.000", "0.500" if graph else "-", "4.0", "-", "50.0"]
