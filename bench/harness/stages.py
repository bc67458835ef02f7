"""The times of a network's stages, by hooks on the first and the last module of each.

Forward, a stage is from the call of its first module to the return of its last. Backward, it begins
with the gradient of one of its outputs and ends where the previous stage begins: the last stage
goes first.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Stages: TypeAlias = "Mapping[str, tuple[nn.Module, nn.Module]]"
"""First and last module of each stage, in the order in which they run."""


@dataclasses.dataclass(frozen=True)
class StageTime:
    """Milliseconds of a stage in a call; backward is None where nothing ran backward."""

    forward_ms: float
    backward_ms: float | None


class Clock:
    """Notes when stages begin and end, forward and backward."""

    def __init__(self, stages: Stages) -> None:
        self.begun = dict.fromkeys(stages, 0.0)
        self.ended = dict.fromkeys(stages, 0.0)
        self.backward: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """Note that a stage begins."""
        self.begun[stage] = now()

    def end(self, stage: str, output: Any) -> None:
        """Note that a stage has ended, and listen for its gradients."""
        self.ended[stage] = now()
        for tensor in tensors_of(output):
            if tensor.requires_grad:
                tensor.register_hook(lambda _: self.turn_to(stage))

    def turn_to(self, stage: str) -> None:
        """Note that a stage begins backward, unless it has."""
        if stage not in self.backward:
            self.backward[stage] = now()

    def times(self, stopped: float) -> dict[str, StageTime]:
        """Return the stages' times for a call that ended at `stopped`."""
        found = {}
        for stage, begun in self.begun.items():
            back = self.backward.get(stage)
            found[stage] = StageTime(
                1000 * (self.ended[stage] - begun),
                None if back is None else 1000 * (stopped - back),
            )
            stopped = stopped if back is None else back
        return found


def measured(call: Callable[[], Any], stages: Stages, repeats: int) -> dict[str, StageTime]:
    """Return the median times of the stages of a call."""
    runs = []
    for _ in range(repeats):
        with hooked(stages) as clock:
            call()
            runs.append(clock.times(now()))
    return {
        stage: StageTime(
            *(median(getattr(run[stage], field.name) for run in runs) for field in fields())
        )
        for stage in stages
    }


def fields() -> tuple[dataclasses.Contenders[Any], ...]:
    """Return the fields of a stage's time."""
    return dataclasses.fields(StageTime)


def median(values: Iterable[float | None]) -> Any:
    """Return the median, or None of nothing."""
    numbers = [value for value in values if value is not None]
    return round(float(np.median(numbers)), 2) if numbers else None


def line(found: Mapping[str, StageTime]) -> str:
    """Return the stages of a contender, in ms, in one line."""
    return "  ".join(
        f"{name} {stage.forward_ms:.0f}"
        + ("" if stage.backward_ms is None else f" + {stage.backward_ms:.0f}")
        for name, stage in found.items()
    )


@contextmanager
def hooked(stages: Stages) -> Iterator[Clock]:
    """Give a clock that follows the stages, until the block ends."""
    clock, handles = Clock(stages), []
    for stage, (first, last) in stages.items():
        handles += [
            first.register_forward_pre_hook(lambda *_, stage=stage: clock.begin(stage)),
            last.register_forward_hook(lambda _, __, out, stage=stage: clock.end(stage, out)),
        ]
    try:
        yield clock
    finally:
        for handle in handles:
            handle.remove()


def tensors_of(output: Any) -> Iterator[Tensor]:
    """Find all tensors in nested mappings, sequences and dataclasses."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from tensors_of(list(output.values()))
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from tensors_of(item)
    elif dataclasses.is_dataclass(output):
        yield from tensors_of([getattr(output, field.name) for field in dataclasses.fields(output)])


def now() -> float:
    """Return seconds: processor time on one thread, else wall time, when a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
