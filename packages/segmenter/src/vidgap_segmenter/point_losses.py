"""Mask losses on random points, most of them where a mask is uncertain (Mask2Former §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.points import Sampler, sample_logits, uncertain_points


@dataclass(frozen=True)
class PointLosses:
    """Cross entropy and dice of matched masks on random points.

    Attributes:
        num_points: points on which masks are compared.
        oversample: candidates drawn for each point that is chosen for its uncertainty.
        importance: share of the points that are chosen for their uncertainty.
        sampler: draws the points.
    """

    num_points: int
    oversample: float
    importance: float
    sampler: Sampler

    def __post_init__(self) -> None:
        if self.num_points < 1 or self.oversample < 1 or not 0 <= self.importance <= 1:
            raise ValueError(
                "num_points and oversample must be at least 1 and importance in [0, 1], got "
                f"{self.num_points}, {self.oversample}, {self.importance}"
            )

    def for_matching(self, num_frames: int, device: torch.device) -> Tensor:
        """Draw the points that all masks of a frame share, (B*T, P, 2)."""
        return self.sampler((num_frames, self.num_points, 2), device=device)

    def __call__(
        self, mask_logits: Tensor, targets: FrameTargets, matching: Matching
    ) -> tuple[Tensor, Tensor]:
        """Return cross entropy and dice, each summed over the matched masks.

        Args:
            mask_logits: (B*T, Q, h, w).
            targets: the instances of the B*T frames.
            matching: which query is which of them.
        """
        num_queries = mask_logits.shape[1]
        row = matching.frames * num_queries + matching.queries
        matched = mask_logits.flatten(0, 1).index_select(0, row)  # (R, h, w)
        return self.of_masks(matched, targets, matching.rows)

    def of_masks(
        self, matched: Tensor, targets: FrameTargets, rows: Tensor, together: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Return cross entropy and dice of masks with those of instances, each summed.

        Args:
            matched: (R, h, w), logits.
            targets: the instances.
            rows: which of them each is, (R,).
            together: how many masks in a row count as one, on all their points, such as those of
                an instance in all frames of a clip.
        """
        with torch.no_grad():
            points = self._points(matched)
            truth = targets.sample(rows, points).to(matched.dtype)  # (R, P)
            truth = truth.view(-1, together * self.num_points)
        logits = sample_logits(matched[:, None], points).view_as(truth)
        mask = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1).sum()
        masks = logits.sigmoid()
        overlap = 2 * (masks * truth).sum(1) + 1
        dice = (1 - overlap / (masks.sum(1) + truth.sum(1) + 1)).sum()
        return mask, dice

    def _points(self, matched: Tensor) -> Tensor:
        """Draw points for each matched mask, most of them where it is uncertain, (R, P, 2)."""
        rows, device = len(matched), matched.device
        num_uncertain = int(self.num_points * self.importance)
        num_candidates = int(self.num_points * self.oversample)
        candidates = self.sampler((rows, num_candidates, 2), device=device)
        others = self.sampler((rows, self.num_points - num_uncertain, 2), device=device)
        return uncertain_points(matched, candidates, others, num_uncertain)
