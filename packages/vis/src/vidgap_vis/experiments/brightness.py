"""The floor without learning, for bright things on dark ground: a threshold and its components."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.step import StaysOnCPU
from vidgap_vis.trackers import OnlineTracker, QueryAssociator, Tracker
from vidgap_vis.trackers.query import QueryOptions

SIGMA = 1.0
"""Of the Gaussian that smooths a frame first, pixels."""

MIN_AREA = 15
"""Components of fewer pixels are noise."""

LINKS = QueryOptions(iou_weight=1.0, min_affinity=0.15)
"""By overlap alone: embeddings are 0."""

MAX_COMPONENTS = 100
"""Of a frame, and tracks of a video."""


def segmenter(classes: ClassList) -> VideoSegmenter:
    """Return what tracks the bright things of videos.

    Args:
        classes: one.

    Raises:
        InputError: there are several.
    """
    if len(classes) != 1:
        names = ", ".join(one.name for one in classes)
        raise InputError("", "categories", f"wanted one class for bright things, got {names}")
    network = Brightness(MAX_COMPONENTS)
    return VideoSegmenter(network, classes, device="cpu", tracker=tracker, top_k=MAX_COMPONENTS)


def tracker() -> Tracker:
    """Return a new tracker that links components."""
    return OnlineTracker(QueryAssociator(LINKS))


class Brightness(StaysOnCPU):
    """Stands for a network of one class whose instances are the bright components of each frame.

    Frames are smoothed, cut at Otsu's threshold (IEEE Trans. SMC 9, 1979), and parted into
    connected components, the largest first. All have the same score: what a track has is its share
    of frames.

    Args:
        num_queries: Q; further components are left out.
    """

    def __init__(self, num_queries: int) -> None:
        self.num_queries = num_queries

    def step(
        self,
        frames: Tensor,
        state: TemporalState | None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,  # noqa: ARG002 - frames are on their own
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment frames, (B, T, 3, H, W) uint8."""
        if with_head_inputs:
            raise ValueError("with_head_inputs must be off: there is no head")
        clips = frames.permute(0, 1, 3, 4, 2).cpu().numpy()  # (B, T, H, W, 3)
        masks = torch.from_numpy(
            np.stack([[components(one, self.num_queries) for one in clip] for clip in clips])
        ).transpose(1, 2)  # (B, Q, T, H, W)
        shown = masks.flatten(3).any(-1)
        scores = torch.stack([shown, ~shown], dim=-1)
        size = (frames.shape[-2], frames.shape[-1])
        return ClipOutput(
            class_logits=20.0 * scores - 10,
            mask_logits=20.0 * masks - 10,
            embeddings=torch.zeros(*shown.shape, 1),
            auxiliary=(),
            frame_size=size,
            padded_size=size,
        ), state


def components(frame: npt.NDArray[np.uint8], num: int) -> npt.NDArray[np.bool_]:
    """Return the bright components of a frame (H, W, 3), the largest first: (num, H, W)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), SIGMA)
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, labels, found, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    areas = found[1:, cv2.CC_STAT_AREA]  # the first is the ground
    order = [label for label in np.argsort(-areas, kind="stable") if areas[label] >= MIN_AREA]
    masks = np.zeros((num, *grey.shape), dtype=bool)
    for row, label in enumerate(order[:num]):
        masks[row] = labels == label + 1
    return masks
