"""What DVIS learns on a segmenter: the tracker, and the refiner of offline models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from vidgap_vis.trackers.dvis.refiner import TemporalRefiner
from vidgap_vis.trackers.dvis.tracker import ReferringTracker


class DVIS(nn.Module):
    """Both modules of DVIS.

    Args:
        tracker: for the segmenter's channels and classes.
        refiner: for the same; None: the model is an online one.

    Attributes:
        config: the configurations of both, as JSON can hold them.
    """

    def __init__(self, tracker: ReferringTracker, refiner: TemporalRefiner | None = None) -> None:
        super().__init__()
        self.tracker = tracker
        self.refiner = refiner
        self.config: dict[str, Any] = {
            "tracker": tracker.config,
            "refiner": refiner.config if refiner else None,
        }

    @classmethod
    def of(cls, tracker: Mapping[str, Any], refiner: Mapping[str, Any] | None) -> DVIS:
        """Make both of their configurations, with random weights."""
        return cls(
            ReferringTracker(**tracker), None if refiner is None else TemporalRefiner(**refiner)
        )
