"""How fast videos are followed on a machine (`vidgap bench`)."""

from __future__ import annotations

from vidgap_vis.speed.measure import (
    COMPILED,
    END_TO_END,
    NETWORK,
    STAGES,
    Case,
    Speed,
    Subject,
)
from vidgap_vis.speed.table import format_speeds

__all__ = [
    "COMPILED",
    "END_TO_END",
    "NETWORK",
    "STAGES",
    "Case",
    "Speed",
    "Subject",
    "format_speeds",
]
