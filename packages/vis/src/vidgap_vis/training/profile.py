"""Where a step's time goes: shares of its parts, as torch's profiler saw them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from tabulate import tabulate
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function, schedule

BEFORE, AFTER = ("data",), ("backward", "optimiser")
"""Parts of a step before and after what the unit computes."""


class StepProfile:
    """The time of each part of a training step, over some steps near the beginning of a run.

    Parts are ranges of `torch.profiler.record_function`, which other profilers show, too. On a
    GPU, switched on, it waits for the device at the end of each part, which makes the shares true
    and the steps slower.

    Args:
        enabled: whether to measure.
        device: where the model runs.
        warmup: first steps that do not count.
        steps: how many count after them.
    """

    def __init__(
        self, enabled: bool, device: torch.device, warmup: int = 2, steps: int = 20
    ) -> None:
        self.enabled = enabled
        self.device = device
        self.warmup, self.steps = warmup, steps
        self.num_steps = 0
        self._watched: list[str] = []
        if enabled:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would report on stderr
            self._profiler = profile(
                activities=[ProfilerActivity.CPU],
                schedule=schedule(wait=0, warmup=warmup, active=steps, repeat=1),
            )
            self._profiler.start()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block's time under `name`; `forward/backbone` is a share of `forward`."""
        with record_function(name):
            yield
            self._wait()

    def watch(self, parts: Mapping[str, nn.Module]) -> None:
        """Count the time of each call of a module under its name."""
        for name, module in parts.items() if self.enabled else ():
            self._watched.append(name)
            open_ranges: list[record_function] = []

            def enter(*_: object, name: str = name, ranges: list = open_ranges) -> None:
                ranges.append(record_function(name).__enter__())

            def leave(*_: object, ranges: list = open_ranges) -> None:
                self._wait()
                ranges.pop().__exit__(None, None, None)

            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)

    def end_step(self) -> None:
        """Close a step."""
        self.num_steps += 1
        if self.enabled:
            self._profiler.step()

    def table(self) -> str:
        """Return the mean milliseconds and the share of the step of each part, one a line."""
        self._profiler.stop()
        counted = min(self.num_steps - self.warmup, self.steps)
        if counted < 1:
            return f"no profile: the first {self.warmup} steps do not count, and no more were run"
        seen = self._profiler.key_averages()
        times_ms = {event.key: event.cpu_time_total / counted / 1000 for event in seen}
        outer = [name for name in self._watched if "/" not in name]
        parts = [part for part in (*BEFORE, *outer, *AFTER) if part in times_ms]
        total = sum(times_ms[part] for part in parts)
        rows: list[tuple[str, float]] = []
        for part in parts:
            rows.append((part, times_ms[part]))
            inner = [name for name in self._watched if name.startswith(f"{part}/")]
            inner = [name for name in inner if name in times_ms]  # what was called
            rows += [(f"  {name.split('/')[1]}", times_ms[name]) for name in inner]
            if inner:
                rest = times_ms[part] - sum(times_ms[name] for name in inner)
                rows.append(("  everything else", max(0.0, rest)))
        lines = [
            (name, f"{time:.1f}", f"{time / total:.1%}")
            for name, time in [*rows, ("whole step", total)]
        ]
        return tabulate(
            lines,
            ("part of a step", "ms", "share"),
            disable_numparse=True,
            colalign=("left", "right", "right"),
            preserve_whitespace=True,
        )

    def _wait(self) -> None:
        if self.enabled and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
