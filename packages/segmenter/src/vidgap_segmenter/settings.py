"""Checks of the networks' settings."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral


def check_counts(counts: Mapping[str, int | None]) -> None:
    """Raise ValueError for the first argument that is not a whole number above 0; None passes."""
    for name, value in counts.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"{name} must be a whole number above 0, got {value!r}")
