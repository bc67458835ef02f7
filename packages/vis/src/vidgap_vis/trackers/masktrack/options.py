"""What MaskTrack R-CNN's association can be told, with the release's values."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_vis.trackers.option_checks import check_least, check_shares


@dataclass(frozen=True)
class MaskTrackOptions:
    """How detections continue tracks (`models/detectors/two_stage.py` and the configurations).

    Attributes:
        min_score: detections whose best class probability is not above this are dropped.
        box_duplicate_iou: of two detections of one class whose boxes overlap more, the one with the
            lesser score is dropped.
        max_detections: the best ones of a frame that are kept.
        score_weight: what the logarithm of a detection's score counts beside that of the
            probability of being a track.
        iou_weight: what a box IoU of 1 with the track's last box adds.
        label_weight: what the same class adds; a new track has it always.
        iou_offset: what is added to the widths and heights of boxes in their IoU, in the unit of
            the boxes; 1 in the release, whose boxes are in whole pixels.
        max_gap: a track unseen for more frames than this has ended. The release forgets none; its
            videos are shorter.
        masktrack_compat: habits of the release. The memory keeps the label of a track's first
            detection (else that of the last); and where a better detection takes a track, the
            earlier one has it too in that frame (else it has none). The last of a frame counts.
    """

    min_score: float = 0.05
    box_duplicate_iou: float = 0.5
    max_detections: int = 10
    score_weight: float = 1.0
    iou_weight: float = 2.0
    label_weight: float = 10.0
    iou_offset: float = 0.0
    max_gap: int = 1000
    masktrack_compat: bool = False

    def __post_init__(self) -> None:
        check_shares(self, ("min_score", "box_duplicate_iou"))
        weights = dict.fromkeys(("score_weight", "iou_weight", "label_weight", "iou_offset"), 0)
        check_least(self, weights | {"max_detections": 1, "max_gap": 0})
