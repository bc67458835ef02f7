"""Mask2Former (Cheng et al. 2022) over clips, with a seam for a temporal module."""

from __future__ import annotations

from vidgap_segmenter.mask2former.base import MaskedSegmenter


class Mask2Former(MaskedSegmenter):
    """Mask2Former: each frame is an image with queries of its own (see `MaskedSegmenter`)."""

    architecture = "mask2former"
