"""How an op finds the backend that computes it.

Every op states, for each of its backends in order of preference, what keeps it from running on a
device: an `Obstacle`, or None. `choose` reads that; nothing is ever found out by catching an
exception. A new backend is a file beside `reference.py`, its entry in the op's `obstacles`, and a
branch in the op.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch


@dataclass(frozen=True)
class Obstacle:
    """What keeps a backend from running on a device.

    Attributes:
        reason: a sentence without a full stop.
        remedy: what would change it; empty where nothing would, as for a device that the backend
            is not made for.
    """

    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


Obstacles: TypeAlias = Mapping[str, Obstacle | None]
"""For each backend, best first, what keeps it from running; None where it can."""


def choose(op: str, backend: str, obstacles: Obstacles) -> str:
    """Return the name of the backend that computes `op`.

    Where "auto" passes over a backend that could be had, the first call for an op warns and says
    how to have it.

    Args:
        op: the op's name, for messages.
        backend: what the caller asked for: a key of `obstacles`, or "auto" for the first that can
            run (the reference where the environment says VIDGAP_BACKEND=reference).
        obstacles: what keeps each backend from running on the caller's device.

    Raises:
        ValueError: the op has no such backend, the one asked for cannot run, or VIDGAP_BACKEND is
            something else than "reference".
    """
    if backend == "auto":
        chosen = automatic(obstacles)
        if chosen == "reference" and not torch.compiler.is_compiling():
            warn_of_missing(op, obstacles)
        return chosen
    if backend not in obstacles:
        raise ValueError(f"{op}: backend must be one of {['auto', *obstacles]}, got {backend!r}")
    obstacle = obstacles[backend]
    if obstacle is not None:
        raise ValueError(f"{op}(backend={backend!r}): {obstacle}")
    return backend


def automatic(obstacles: Obstacles) -> str:
    """Return the backend that "auto" takes."""
    if reference_is_forced():
        return "reference"
    return next(name for name, obstacle in obstacles.items() if obstacle is None)


_warned: set[str] = set()


def warn_of_missing(op: str, obstacles: Obstacles) -> None:
    """Warn once for each op that a backend made for this device is missing."""
    if op in _warned or reference_is_forced():
        return
    _warned.add(op)
    for name, obstacle in obstacles.items():
        if obstacle is not None and obstacle.remedy:
            warnings.warn(
                f"{op} runs on its reference in PyTorch: backend {name!r}: {obstacle}",
                RuntimeWarning,
                stacklevel=4,
            )


def report(obstacles: Callable[[torch.device], Obstacles]) -> dict[str, str]:
    """Say what "auto" takes on a CPU and on a GPU, and why.

    Returns:
        {"cpu": name, "cuda": name, "reason": what kept better ones from running}.
    """
    said = {kind: automatic(obstacles(torch.device(kind))) for kind in ("cpu", "cuda")}
    if reference_is_forced():
        return {**said, "reason": "VIDGAP_BACKEND=reference"}
    passed = [
        f"{kind}: {name}: {obstacle}"
        for kind in said
        for name, obstacle in obstacles(torch.device(kind)).items()
        if obstacle is not None
    ]
    return {**said, "reason": "; ".join(passed) or "first choice"}


def reference_is_forced() -> bool:
    """Say whether VIDGAP_BACKEND=reference; ValueError where it is set to anything else."""
    value = os.environ.get("VIDGAP_BACKEND", "")
    if value not in ("", "reference"):
        raise ValueError(f"VIDGAP_BACKEND must be 'reference' or unset, got {value!r}")
    return value == "reference"
