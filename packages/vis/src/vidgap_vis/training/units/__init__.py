"""What a training step computes, one file per kind; the loop knows none of them."""

from vidgap_vis.training.units.base import TrainingUnit
from vidgap_vis.training.units.contrastive import ContrastiveUnit
from vidgap_vis.training.units.segmentation import SegmentationUnit

__all__ = ["ContrastiveUnit", "SegmentationUnit", "TrainingUnit"]
