"""Where a step's time goes: wall-clock shares of its parts, by hooks on the model's own parts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

BEFORE, AFTER = ("data",), ("backward", "optimiser")
"""Parts of a step before and after what the unit computes."""


class StepProfile:
    """Seconds spent in each part of a training step.

    Switched off it measures nothing. On a GPU, switched on, it waits for the device at the end of
    each part, which makes the shares true and the steps slower.

    Args:
        enabled: whether to measure.
        device: where the model runs.
        warmup: first steps that do not count.
    """

    def __init__(self, enabled: bool, device: torch.device, warmup: int = 2) -> None:
        self.enabled = enabled
        self.device = device
        self.warmup = warmup
        self.num_steps = 0
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._current: dict[str, float] = defaultdict(float)
        self._watched: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block's time under `name`; `forward/backbone` is a share of `forward`."""
        if not self.enabled:
            yield
            return
        start = self._now()
        yield
        self._current[name] += self._now() - start

    def watch(self, parts: Mapping[str, nn.Module]) -> None:
        """Count the time of each call of a module under its name."""
        for name, module in parts.items() if self.enabled else ():
            self._watched.append(name)
            starts: list[float] = []
            module.register_forward_pre_hook(
                lambda _module, _inputs, starts=starts: starts.append(self._now())
            )
            module.register_forward_hook(
                lambda _module, _inputs, _output, name=name, starts=starts: self._add(
                    name, self._now() - starts.pop()
                )
            )

    def end_step(self) -> None:
        """Close a step."""
        if self.enabled and self.num_steps >= self.warmup:
            for name, seconds in self._current.items():
                self.seconds[name].append(seconds)
        self.num_steps += 1
        self._current.clear()

    def table(self) -> str:
        """Return median milliseconds and the share of the step of each part, one a line."""
        if not self.seconds:
            return f"no profile: the first {self.warmup} steps do not count, and no more were run"
        medians = {name: _median(values) for name, values in self.seconds.items()}
        outer = [name for name in self._watched if "/" not in name]
        parts = [part for part in (*BEFORE, *outer, *AFTER) if part in medians]
        total = sum(medians[part] for part in parts)
        lines = [f"{'part of a step':<28}{'ms':>9}{'share':>8}"]
        for part in parts:
            lines.append(_row(part, medians[part], total))
            inner = {n: v for n, v in medians.items() if n.startswith(f"{part}/")}
            if inner:
                inner[f"{part}/everything else"] = max(0.0, medians[part] - sum(inner.values()))
            lines += [_row(f"  {n.split('/')[1]}", v, total) for n, v in inner.items()]
        return "\n".join([*lines, _row("whole step", total, total)])

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _add(self, name: str, seconds: float) -> None:
        self._current[name] += seconds


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _row(name: str, seconds: float, total: float) -> str:
    return f"{name:<28}{1e3 * seconds:>9.1f}{seconds / total:>8.1%}"
