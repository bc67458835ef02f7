"""How a section refuses a value: the key, what is wanted, what came."""

from __future__ import annotations

from vidgap_vis.errors import ConfigError


def require(key: str, holds: bool, wanted: str, got: object) -> None:
    """Raise ConfigError naming `key` unless `holds`; reads `key: wanted ..., got ...`."""
    if not holds:
        raise ConfigError("", key, f"wanted {wanted}, got {got!r}")


def require_positive(section: str, **values: float | None) -> None:
    """Raise ConfigError for the first of the section's values that is not above 0; None passes."""
    for name, value in values.items():
        require(f"{section}.{name}", value is None or value > 0, "a number above 0", value)


def require_fraction(section: str, **values: float) -> None:
    """Raise ConfigError for the first of the section's values that lies outside 0..1."""
    for name, value in values.items():
        require(f"{section}.{name}", 0 <= value <= 1, "a number in 0..1", value)


def require_range(key: str, values: tuple[float, float]) -> None:
    """Raise ConfigError unless `values` is (low, high) with 0 < low <= high."""
    require(key, 0 < values[0] <= values[1], "[low, high] with 0 < low <= high", values)
