"""What a training step computes, one file per kind; the loop knows none of them."""

from vidgap_vis.training.units.base import TrainingUnit
from vidgap_vis.training.units.clips import GenVISUnit, VITAUnit
from vidgap_vis.training.units.contrastive import ContrastiveUnit
from vidgap_vis.training.units.heads import DVISRefinerUnit, DVISTrackerUnit, HeadUnit
from vidgap_vis.training.units.identities import IDOLUnit, MaskTrackUnit
from vidgap_vis.training.units.segmentation import SegmentationUnit

__all__ = [
    "ContrastiveUnit",
    "DVISRefinerUnit",
    "DVISTrackerUnit",
    "GenVISUnit",
    "HeadUnit",
    "IDOLUnit",
    "MaskTrackUnit",
    "SegmentationUnit",
    "TrainingUnit",
    "VITAUnit",
]
