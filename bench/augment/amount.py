"""How much the augmentations' benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """Numbers of instances, samples for each, and passes over them."""

    instances: tuple[int, ...]
    cases: int
    repeats: int
