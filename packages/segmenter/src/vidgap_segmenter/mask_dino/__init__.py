"""Mask DINO: the network, its denoising, and its loss."""

from vidgap_segmenter.mask_dino.criterion import MaskDINOCriterion
from vidgap_segmenter.mask_dino.decoder import Anchors
from vidgap_segmenter.mask_dino.network import MaskDINO
from vidgap_segmenter.mask_dino.output import MaskDINOOutput

__all__ = ["Anchors", "MaskDINO", "MaskDINOCriterion", "MaskDINOOutput"]
