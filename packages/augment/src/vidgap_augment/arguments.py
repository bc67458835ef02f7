"""Checks of constructor arguments; each returns the argument, lists as tuples."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, get_args

Per: TypeAlias = Literal["video", "image"]
"""Whether random choices are made once a clip or separately for each frame (paper Table 3)."""


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return `value`, an integer of at least `least`."""
    if not _is_integer(value) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def check_counts(name: str, values: Sequence[int], length: int | None = None) -> tuple[int, ...]:
    """Return integers of at least 1: `length` of them, or one or more."""
    wanted = "one or more" if length is None else length
    some = _listed(values)
    fits = len(some) > 0 if length is None else len(some) == length
    if not fits or not all(_is_integer(value) and value >= 1 for value in some):
        raise ValueError(f"{name} must be {wanted} integers of at least 1, got {values!r}")
    return tuple(int(value) for value in some)


def check_size(name: str, size: Sequence[int]) -> tuple[int, int]:
    """Return (height, width), each at least 1."""
    height, width = check_counts(name, size, length=2)
    return height, width


def check_range(name: str, values: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """Return (smallest, largest), both in [low, high]."""
    some = _listed(values)
    if len(some) != 2 or not all(map(_is_number, some)) or not low <= some[0] <= some[1] <= high:
        raise ValueError(
            f"{name} must be (smallest, largest) within [{low}, {high}], got {values!r}"
        )
    return some[0], some[1]


def check_number(name: str, value: float, low: float, high: float) -> float:
    """Return `value`, in [low, high]."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{name} must be within [{low}, {high}], got {value!r}")
    return value


def check_per(per: Per) -> Per:
    """Return `per`; ValueError unless it is one of the two."""
    if per in get_args(Per):
        return per
    raise ValueError(f"per must be 'video' or 'image', got {per!r}")


def _listed(values: Any) -> tuple[Any, ...]:
    """Return the members of a sequence; none of anything else."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        return ()
    return tuple(values)


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
