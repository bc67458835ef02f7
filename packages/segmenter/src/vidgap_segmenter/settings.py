"""A network's settings: its constructor's arguments, as config.json holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_SETTINGS = ("self", "temporal", "__class__")
"""What stands among a constructor's names beside its settings."""


def arguments(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return a constructor's arguments but `temporal`, from its `locals()` before all else."""
    settings = {name: names[name] for name in names if name not in NO_SETTINGS}
    return {k: list(v) if isinstance(v, (tuple, list)) else v for k, v in settings.items()}


def check_sizes(settings: Mapping[str, Any]) -> None:
    """Raise ValueError where a number of a network's arguments is not above 0."""
    for name, value in settings.items():
        counts = name.startswith("num_") or name.endswith(("channels", "_dim"))
        if not counts or value is None or name == "num_denoising":
            continue
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number above 0, got {value!r}")
