"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """How much is measured: numbers of instances, samples for each, and passes over them."""

    instances: tuple[int, ...]
    cases: int
    repeats: int
