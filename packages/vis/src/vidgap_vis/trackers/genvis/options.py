"""What GenVIS's tracker can be told."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_vis.trackers.option_checks import check_least


@dataclass(frozen=True)
class GenVISOptions:
    """How clips are cut, and how much is remembered of them.

    Attributes:
        clip_frames: frames of a clip: 1 for the released online models, 3 for the semi-online ones.
        max_memory: clips that are remembered, the oldest leave first. The release remembers all: a
            video of no more clips is followed as there. As many as this are 105 MB for 100 queries
            of 256 numbers.
    """

    clip_frames: int = 1
    max_memory: int = 512

    def __post_init__(self) -> None:
        check_least(self, {"clip_frames": 1, "max_memory": 1})
