"""What a track's score in the results of a video is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vidgap_vis.trackers.base import Need
from vidgap_vis.trackers.detections import Detections, Floats

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreRecipe:
    """How the scores of a track's frames make one.

    Attributes:
        classes: what is averaged over the frames that show the track: class probabilities, or class
            logits (CTVIS), whose mean then becomes probabilities.
        masks: how sure its masks are, by which class scores are multiplied. "frames": the mean of
            the mask scores over all frames of the video, 0 where it is absent, so that fragments
            rank below lasting tracks (MinVIS). "pixels": the mean over all pixels of its masks
            (CTVIS).
    """

    classes: Literal["probabilities", "logits"] = "probabilities"
    masks: Literal["frames", "pixels"] = "frames"

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads beside class probabilities and masks."""
        return frozenset({"class_logits"}) if self.classes == "logits" else frozenset()

    def of_frame(self, frame: Detections, query: int) -> Doubles:
        """Return what a query adds to its track's sum, (K,) or (K+1,)."""
        if self.classes == "probabilities":
            return frame.class_probabilities[query].astype(np.float64)
        if frame.class_logits is None:
            raise ValueError("class_logits must be there for a track's mean of them, got None")
        return frame.class_logits[query].astype(np.float64)

    def class_scores(self, mean: Doubles, num_classes: int) -> Floats:
        """Return the class scores (K,) float32 that a mean over frames stands for."""
        if self.classes == "probabilities":
            return mean.astype(np.float32)
        if len(mean) == num_classes:  # independent classes
            return (1 / (1 + np.exp(-mean))).astype(np.float32)
        powers = np.exp(mean - mean.max())
        return (powers / powers.sum())[:num_classes].astype(np.float32)


@dataclass
class ScoreSums:
    """What is summed over the frames that show a track.

    Attributes:
        classes: of its class probabilities or logits, (K,) or (K+1,) float64.
        num_visible: how many frames those are.
        masks: of its mask scores.
        pixels: of its masks' areas.
        mask_pixels: of its mask scores times their areas.
    """

    classes: Doubles
    num_visible: int = 1
    masks: float = 0.0
    pixels: float = 0.0
    mask_pixels: float = 0.0

    def add_mask(self, score: float, area: float) -> None:
        """Take the score and the area of the mask of a frame."""
        self.masks += score
        self.pixels += area
        self.mask_pixels += score * area

    def mask_factor(self, recipe: ScoreRecipe, num_frames: int, *, has_masks: bool) -> float:
        """Return what class scores are multiplied by.

        Args:
            recipe: which of the sums count.
            num_frames: of the video so far.
            has_masks: whether mask scores were given; without, the share of the frames that show
                the track is taken for "frames", and 1 for "pixels".
        """
        if recipe.masks == "frames":
            return (self.masks if has_masks else self.num_visible) / num_frames
        return self.mask_pixels / max(self.pixels, 1.0) if has_masks else 1.0
