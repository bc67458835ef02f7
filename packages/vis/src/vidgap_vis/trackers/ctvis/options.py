"""What CTVIS's tracker can be told, with the release's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from vidgap_vis.trackers.ctvis.memory import MemoryKind
from vidgap_vis.trackers.option_checks import check_least, check_shares


@dataclass(frozen=True)
class CTVISOptions:
    """How detections continue tracks (`ctvis/config.py` and the released configurations).

    Attributes:
        min_score: detections whose best class probability is not above this are dropped; of a frame
            without a better one, the best is kept.
        new_track_score: a detection that continues no track begins one if its score is above this.
        duplicate_iou: of two detections whose masks overlap more, the one with the lesser score is
            dropped.
        match_threshold: a bi-softmax similarity above it, weighted or not, continues a track.
        frame_weight: where several tracks pass the threshold, weigh them by the number of frames
            that have shown them.
        memory: how a track's memory takes an embedding.
        update_rate: share of the new embedding in the memory of kind "momentum".
        memory_size: earlier embeddings that guide the memory of kind "similarity_guided".
        max_gap: a track unseen for more frames than this has ended.
        settling_frames: tracks are judged too short from the frame after so many on.
        min_visible: a track of fewer frames than this is too short,
        short_gap: when so many frames in a row lack it.
    """

    min_score: float = 0.01
    new_track_score: float = 0.01
    duplicate_iou: float = 0.6
    match_threshold: float = 0.3
    frame_weight: bool = True
    memory: MemoryKind = "similarity_guided"
    update_rate: float = 0.75
    memory_size: int = 10
    max_gap: int = 20
    settling_frames: int = 8
    min_visible: int = 3
    short_gap: int = 2

    def __post_init__(self) -> None:
        shares = ("min_score", "new_track_score", "duplicate_iou", "match_threshold")
        check_shares(self, (*shares, "update_rate"))
        least = {"memory_size": 1, "max_gap": 0, "settling_frames": 0, "min_visible": 0}
        check_least(self, least | {"short_gap": 1})
        kinds = get_args(MemoryKind)
        if self.memory not in kinds:
            raise ValueError(f"memory must be one of {', '.join(kinds)}, got {self.memory}")
