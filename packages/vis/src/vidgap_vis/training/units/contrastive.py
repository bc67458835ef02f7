"""CTVIS's fine-tuning: segment the frames of a clip, and tell its instances apart (CTVIS §3)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from vidgap_segmenter import (
    ClipCriterion,
    ClipOutput,
    ClipSegmenter,
    Criterion,
    Losses,
    MaskDINOCriterion,
)
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.ctvis import ContrastiveLoss, association_share, release_queries
from vidgap_vis.training.units.segmentation import SegmentationUnit, check_by_frame, with_parts


class ContrastiveUnit(SegmentationUnit):
    """Train a segmenter on clips, and its embeddings by contrast.

    Args:
        model: the segmenter.
        criterion: its losses; their last matching says which query is which instance.
        contrast: the loss of the embeddings. Where it is the release's, queries are matched once
            more as the release does it.

    Beside the losses, "association" is the share of instances that are most like themselves in the
    frame before.

    Raises:
        ValueError: the queries are those of a joint decoder, or the release's matching is wanted of
            another network than Mask2Former.
    """

    reads_embeddings = True

    def __init__(
        self,
        model: ClipSegmenter,
        criterion: Criterion | ClipCriterion | MaskDINOCriterion,
        contrast: ContrastiveLoss,
    ) -> None:
        super().__init__(model, criterion)
        check_by_frame(criterion)
        if contrast.ctvis_compat and not isinstance(criterion, Criterion):
            raise ValueError("ctvis_compat must be off: CTVIS's release has Mask2Former alone")
        self.contrast = contrast

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        output: ClipOutput = self.segmenter(batch.frames, batch.targets)
        losses: Losses = self.criterion(output, batch.targets)
        queries = self._queries(output, losses, batch)
        parts = self.contrast(output.embeddings, queries)
        whole = with_parts(losses, parts, self.contrast.weights)
        share = {"association": association_share(output.embeddings, queries)[None]}
        return replace(whole, parts=whole.parts | share)

    def _queries(self, output: ClipOutput, losses: Losses, batch: ClipBatch) -> Tensor:
        """Return the query of each instance in each frame, (B, N, T), -1 where it is absent."""
        if self.contrast.ctvis_compat and isinstance(self.criterion, Criterion):
            return release_queries(self.criterion, output, batch.targets, batch.sizes)
        return losses.matchings[0].tables()
