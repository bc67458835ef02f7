"""Checks that the options of several trackers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def check_shares(options: object, names: Iterable[str]) -> None:
    """Raise ValueError unless each of these options is in [0, 1]."""
    for name in names:
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")


def check_least(options: object, least: Mapping[str, float]) -> None:
    """Raise ValueError unless each of these options is a number of at least its least value."""
    for name, smallest in least.items():
        value = getattr(options, name)
        if not smallest <= value < float("inf"):
            raise ValueError(f"{name} must be at least {smallest}, got {value}")
