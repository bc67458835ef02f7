"""What IDOL's tracker can be told, with the release's values."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_vis.trackers.option_checks import check_least, check_shares


@dataclass(frozen=True)
class IDOLOptions:
    """How detections continue tracks (`projects/IDOL/idol/config.py`, `models/tracker.py`).

    Values are those for YouTube-VIS; `for_ovis` has OVIS's.

    Attributes:
        min_score: detections whose best class score is not above this are dropped; of a frame
            without a better one, the best is kept.
        box_duplicate_iou: of two detections of one class whose boxes overlap more, the one with the
            lesser score is dropped;
        duplicate_iou: then, of any two whose masks do.
        new_track_score: a detection that continues no track begins one if its score is above this,
        first_track_score: or above this while there is no track.
        match_threshold: the bi-softmax similarity above which a track continues, weighted or not.
        frame_weight: where several tracks pass the threshold, weigh them by the number of frames
            that have shown them.
        memory_size: a track's memory is the mean of so many embeddings, the last ones, weighted by
            score and recency.
        max_gap: a track unseen for more frames than this has ended.
        settling_frames: tracks are judged too short from the frame after so many on.
        min_visible: a track of fewer frames than this is too short,
        short_gap: when so many frames in a row lack it.
    """

    min_score: float = 0.1
    box_duplicate_iou: float = 0.9
    duplicate_iou: float = 0.5
    new_track_score: float = 0.2
    first_track_score: float = 0.2
    match_threshold: float = 0.5
    frame_weight: bool = True
    memory_size: int = 3
    max_gap: int = 9
    settling_frames: int = 8
    min_visible: int = 3
    short_gap: int = 2

    def __post_init__(self) -> None:
        scores = ("min_score", "new_track_score", "first_track_score", "match_threshold")
        check_shares(self, (*scores, "box_duplicate_iou", "duplicate_iou"))
        least = {"memory_size": 1, "max_gap": 0, "settling_frames": 0, "min_visible": 0}
        check_least(self, least | {"short_gap": 1})

    @classmethod
    def for_ovis(cls) -> IDOLOptions:
        """Return the release's values for OVIS."""
        return cls(duplicate_iou=0.3, new_track_score=0.3)
