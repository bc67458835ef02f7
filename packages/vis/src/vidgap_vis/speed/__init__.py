"""How fast videos are followed on a machine (`vidgap bench`)."""

from __future__ import annotations

from vidgap_vis.speed.measure import (
    END_TO_END,
    NETWORK,
    STAGES,
    Case,
    Speed,
    Subject,
)
from vidgap_vis.speed.table import format_speeds

__all__ = ["END_TO_END", "NETWORK", "STAGES", "Case", "Speed", "Subject", "format_speeds"]
