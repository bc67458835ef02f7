"""What a track's score in the results of a video is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vidgap_segmenter.inference import Resize
from vidgap_vis.trackers.base import Need
from vidgap_vis.trackers.detections import Detections, Ints

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreRecipe:
    """How the scores of a track's frames make one, and how its masks get a frame's size.

    Attributes:
        classes: what is averaged over the frames that show the track: class probabilities, or class
            logits (CTVIS, MinVIS), whose mean then becomes probabilities; or its best class
            probability, which the class has that most frames have, the lowest of equals ("votes",
            MaskTrack R-CNN).
        masks: how sure its masks are, by which class scores are multiplied. "frames": the mean of
            the mask scores over all frames of the video, 0 where it is absent, so that fragments
            rank below lasting tracks. "pixels": the mean over all pixels of its masks (CTVIS).
            "none": 1 (MinVIS, IDOL, MaskTrack R-CNN).
        above: classes are listed whose score is above this (0.05 in IDOL); None: all.
        mask_resize: how mask logits, once at the padded frame's size, get the frame's own.
    """

    classes: Literal["probabilities", "logits", "votes"] = "probabilities"
    masks: Literal["frames", "pixels", "none"] = "frames"
    above: float | None = None
    mask_resize: Resize = "bilinear"

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads beside class probabilities and masks."""
        return frozenset({"class_logits"}) if self.classes == "logits" else frozenset()

    def of_frame(self, frame: Detections, queries: Ints) -> Doubles:
        """Return what queries (R,) add to their tracks' sums, (R, K) or (R, K+1)."""
        if self.classes == "logits":
            if frame.class_logits is None:
                raise ValueError("class_logits must be there for a track's mean of them, got None")
            return frame.class_logits[queries].astype(np.float64)
        scores = frame.class_probabilities[queries].astype(np.float64)
        if self.classes == "probabilities":
            return scores
        best = scores.argmax(axis=1)[:, None]
        votes = np.arange(scores.shape[1]) == best
        return np.concatenate([votes, np.take_along_axis(scores, best, axis=1)], axis=1)

    def class_scores(self, means: Doubles, num_classes: int) -> Doubles:
        """Return the class scores (R, K) that means over frames stand for, (R, K) or (R, K+1)."""
        if self.classes == "probabilities":
            return means
        if self.classes == "votes":
            winners = means[:, :num_classes].argmax(axis=1)[:, None]
            return np.where(np.arange(num_classes) == winners, means[:, num_classes:], 0.0)
        if means.shape[1] == num_classes:  # independent classes
            return np.asarray(1 / (1 + np.exp(-means)))
        powers = np.exp(means - means.max(axis=1, keepdims=True))
        return np.asarray((powers / powers.sum(axis=1, keepdims=True))[:, :num_classes])


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
        if recipe.masks == "none":
            return 1.0
        if recipe.masks == "frames":
            return (self.masks if has_masks else self.num_visible) / num_frames
        return self.mask_pixels / max(self.pixels, 1.0) if has_masks else 1.0
