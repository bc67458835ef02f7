"""One benchmark of ops or networks, from agreement to file."""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.harness import ceilings, chart, cpu, cuda, stages, table
from bench.harness.agreement import FRAMES, SMALL, Verdict, first_line, verdicts
from bench.harness.ceilings import Ceilings
from bench.harness.contender import PASSES, RUN, Contender, Op, Tensors, Work
from bench.harness.timing import circumstances

PACKAGES = ["vidgap-segmenter", "vidgap-temporal", "torch", "triton", "transformers"]
STAGE_REPEATS = 3
PEERS = ["torch-ms-deform-attn", "opencv-python-headless"]


@dataclass(frozen=True)
class Scope:
    """What is measured: all combinations, with some effort; without sizes each op's own."""

    device: str
    sizes: Sequence[tuple[int, int]] | None
    frames: Sequence[int]
    dtypes: Sequence[torch.dtype]
    threads: Sequence[int]
    effort: cpu.Effort
    quick: bool
    compiled: bool = False


class Session:
    """Measures ops of one kind and keeps the report.

    Args:
        ops: in the order of the table.
        scope: what is measured.
        path: of the report; None for none.
    """

    def __init__(self, ops: Sequence[Op], scope: Scope, path: Path | None) -> None:
        self.ops, self.scope, self.path = ops, scope, path
        self.report: dict[str, Any] = circumstances(PACKAGES + PEERS)
        if scope.device == "cuda":
            self.report["machine"]["gpu"] = torch.cuda.get_device_name()
        self.report |= {"ceilings": [], "agreement": [], "absent": {}, "failed": []}
        self.report["stages"] = []
        self.rows: list[table.Row] = []
        self.all_agree = True

    def run(self) -> None:
        """Measure everything; print as it comes."""
        for dtype in self.scope.dtypes:
            agreed = {op.name: self.agree(op, dtype) for op in self.ops}
            for threads in self.scope.threads:
                torch.set_num_threads(threads)
                rates = self.measure_ceilings(dtype, threads)
                for op in self.ops:
                    for size in self.scope.sizes or op.sizes:
                        for frames in self.scope.frames:
                            work = self.work(size, frames, dtype)
                            self.time(op, work, threads, rates, agreed[op.name])

    def work(self, size: tuple[int, int], frames: int, dtype: torch.dtype) -> Work:
        """Return some work on the device."""
        return Work(size, frames, dtype, self.scope.device, self.scope.compiled)

    def agree(self, op: Op, dtype: torch.dtype) -> set[str]:
        """Compare an op's contenders with float64; return the names of those that agree."""
        name = str(dtype).removeprefix("torch.")
        print(f"\n{op.name}  {name}  against float64")
        work = self.work(SMALL, FRAMES, dtype)
        found = verdicts(op, work)
        for who, verdict in found.items():
            print(f"   {who:<26} {verdict}", flush=True)
            self.report["agreement"].append(
                {"op": op.name, "dtype": name, "implementation": who} | asdict(verdict)
            )
        absent = op.contenders(work).absent
        for who, why in absent.items():
            print(f"   {who:<26} left out: {why}")
        self.report["absent"] |= absent
        self.all_agree = self.all_agree and all(verdict.agrees for verdict in found.values())
        return good(found)

    def measure_ceilings(self, dtype: torch.dtype, threads: int) -> Ceilings:
        """Measure, print and keep the machine's rates."""
        rates = ceilings.measured(self.scope.device, dtype, self.scope.quick)
        entry = {"dtype": str(dtype).removeprefix("torch."), "threads": threads} | rates.as_json()
        print("\nceilings: " + "  ".join(f"{name} {value}" for name, value in entry.items()))
        self.report["ceilings"].append(entry)
        return rates

    def time(self, op: Op, work: Work, threads: int, rates: Ceilings, agreed: set[str]) -> None:
        """Time the contenders of an op on some work, and print the tables."""
        contenders = [one for one in op.contenders(work).available if one.name in agreed]
        if not contenders:
            return
        sets = [op.inputs(work, 0)]
        if work.device == "cuda" and op.rotates:
            sets += [op.inputs(work, seed) for seed in range(1, cuda.num_sets(sets[0]))]
        for direction in op.passes:
            timings: table.Timings
            if work.device == "cuda":
                timings = self.on_gpu(contenders, sets, direction, f"{op.name} {work} {direction}")
            else:
                calls: dict[str, Callable[[], Any]] = {
                    one.name: functools.partial(RUN[direction], one, sets[0]) for one in contenders
                }
                timings = dict(cpu.measure(calls, self.scope.effort))
            if timings:
                floor = rates.seconds(op.cost(work, direction != PASSES[0]))
                group = table.rows(op, work, direction, threads, timings, floor)
                print("\n".join(table.lines(group)), flush=True)
                self.rows += group
                self.write()
                timed = [one for one in contenders if one.name in timings]
                self.watch(timed, sets[0], direction, group[0])
                self.write()

    def watch(
        self, contenders: list[Contender], tensors: Tensors, direction: str, row: table.Row
    ) -> None:
        """Time the stages of the contenders that have some; print and keep them."""
        for one in contenders:
            call = functools.partial(RUN[direction], one, tensors)
            repeats = 1 if self.scope.quick else STAGE_REPEATS
            try:
                found = stages.measured(call, one.stages, repeats) if one.stages else {}
            except RuntimeError as error:
                found = {}
                failure = f"{table.title(row)} {one.name}, by stage: {first_line(error)}"
                print(failure)
                self.report["failed"].append(failure)
            for name, times in found.items():
                entry = {"work": table.title(row), "implementation": one.name, "stage": name}
                self.report["stages"].append(entry | asdict(times))
            if found:
                print(f"   {one.name:<26} {stages.line(found)}", flush=True)

    def on_gpu(
        self, contenders: list[Contender], sets: list[Tensors], direction: str, what: str
    ) -> table.Timings:
        """Return the contenders' times; one that cannot run so much is reported and left out."""
        found: table.Timings = {}
        for one in contenders:
            try:
                found[one.name] = cuda.measure(functools.partial(RUN[direction], one), sets)
            except Exception as error:  # as in `agreement`
                failure = f"{what} {one.name}: {first_line(error)}"
                print(failure)
                self.report["failed"].append(failure)
            gc.collect()
            torch.cuda.empty_cache()
        return found

    def write(self) -> None:
        """Write what there is so far as JSON, if there is a file to write to."""
        if self.path is None:
            return
        self.report["rows"] = [row.as_json() for row in self.rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.report, indent=1) + "\n")

    def finish(self) -> None:
        """Write the report, and the chart beside it."""
        self.write()
        if self.path is not None and self.rows:
            chart.draw(self.rows, self.path.with_suffix(".png"))
            print(f"\nwritten: {self.path}")


def good(found: dict[str, Verdict]) -> set[str]:
    """Return the names of those that agree."""
    return {name for name, verdict in found.items() if verdict.agrees}
