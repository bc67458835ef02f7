"""Mask2Former: the network and its loss."""

from vidgap_segmenter.mask2former.criterion import Criterion
from vidgap_segmenter.mask2former.network import Mask2Former

__all__ = ["Criterion", "Mask2Former"]
