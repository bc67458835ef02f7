"""How an op finds the backend that computes it.

Every op states, for each of its backends in order of preference, what keeps it from running: a
sentence, or None. `choose` reads that; nothing is ever found out by catching an exception. A new
backend is a file beside `reference.py`, its entry in the op's `obstacles`, and a branch in the op.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["auto", "reference", "native", "triton"]
Obstacles: TypeAlias = Mapping[str, str | None]

NOT_BUILT = "not built in this installation"


def choose(op: str, backend: str, obstacles: Obstacles) -> str:
    """Return the name of the backend that computes `op`.

    Args:
        op: the op's name, for messages.
        backend: what the caller asked for: a key of `obstacles`, or 'auto' for the first that can
            run (the reference where the environment says VIDGAP_BACKEND=reference).
        obstacles: for each backend, best first, why it cannot run; None where it can.

    Raises:
        ValueError: the op has no such backend, the one asked for cannot run, or VIDGAP_BACKEND is
            something else than 'reference'.
    """
    if backend == "auto":
        if reference_is_forced():
            return "reference"
        return next(name for name, obstacle in obstacles.items() if obstacle is None)
    if backend not in obstacles:
        raise ValueError(f"{op}: backend must be one of {['auto', *obstacles]}, got {backend!r}")
    obstacle = obstacles[backend]
    if obstacle is not None:
        raise ValueError(f"{op}(backend={backend!r}): {obstacle}")
    return backend


def report(op: str, obstacles: Obstacles) -> dict[str, str]:
    """Return {'backend': what 'auto' takes for `op`, 'reason': why that one}."""
    backend = choose(op, "auto", obstacles)
    if reference_is_forced():
        return {"backend": backend, "reason": "VIDGAP_BACKEND=reference"}
    passed = [f"{name}: {obstacle}" for name, obstacle in obstacles.items() if obstacle is not None]
    return {"backend": backend, "reason": "; ".join(passed) or "first choice"}


def reference_is_forced() -> bool:
    """Say whether VIDGAP_BACKEND=reference; ValueError where it is set to anything else."""
    value = os.environ.get("VIDGAP_BACKEND", "")
    if value not in ("", "reference"):
        raise ValueError(f"VIDGAP_BACKEND must be 'reference' or unset, got {value!r}")
    return value == "reference"
