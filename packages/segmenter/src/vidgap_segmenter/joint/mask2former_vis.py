"""Mask2Former-VIS (Cheng et al. 2021): Mask2Former whose queries see all frames of a clip."""

from __future__ import annotations

from vidgap_segmenter.mask2former.base import MaskedSegmenter


class Mask2FormerVIS(MaskedSegmenter):
    """Mask2Former-VIS: a query is one instance in all frames of a clip (see `MaskedSegmenter`).

    The weights are Mask2Former's. Class logits and embeddings of a query are the same in every
    frame. What a frame is given depends on the others of its clip; `forward` and `step` take what
    they are given at once for one, and `segment_image` decodes the last frame alone. With T = 1 it
    is Mask2Former.
    """

    architecture = "mask2former_vis"
    joint = True
