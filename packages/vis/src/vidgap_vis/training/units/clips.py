"""Training heads that decode clips from the queries of their frames (VITA, GenVIS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vidgap_segmenter import ClipOutput, ClipSegmenter, Criterion, HeadInputs, Losses
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.prediction import JointPrediction
from vidgap_segmenter.losses import check_finite
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import by_frame
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.genvis import GenVIS, UnifiedLoss
from vidgap_vis.trackers.vita import VITA, SimilarityInputs, VITALoss, VITAOutput
from vidgap_vis.training.units.heads import HeadUnit
from vidgap_vis.training.units.segmentation import SegmentationUnit

if TYPE_CHECKING:
    from typing_extensions import Self

NUM_LEVELS = 3
"""Of the frame decoder, the last ones, from which clips are decoded in training (VITA §4.1)."""


class VITAUnit(SegmentationUnit):
    """Train VITA and its segmenter together (Heo et al., NeurIPS 2022, §3.3).

    An embedding head, which VITA does not read, stays as it is.

    Args:
        model: the segmenter, a Mask2Former.
        criterion: its losses.
        vita: the head, for its channels and classes.
        loss: the head's.
        num_levels: see `NUM_LEVELS`; no more than the segmenter's decoder has.
    """

    def __init__(
        self,
        model: ClipSegmenter,
        criterion: Criterion,
        vita: VITA,
        loss: VITALoss,
        *,
        num_levels: int = NUM_LEVELS,
    ) -> None:
        super().__init__(model, criterion)
        self.vita = vita
        self.loss = loss
        self.num_levels = num_levels

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        """Compute the losses of the segmenter and of the head, whose parts begin with "clip"."""
        output: ClipOutput = self.segmenter(batch.frames, batch.targets, with_head_inputs=True)
        frames: Losses = self.criterion(output, batch.targets)
        assert output.head_inputs is not None
        inputs = output.head_inputs
        found: VITAOutput = self.vita(frame_queries(inputs, self.num_levels))
        # Of levels the last comes first, then the others from the first on.
        tables = [frames.matchings[-level].tables() for level in range(self.num_levels)]
        similarity = SimilarityInputs(
            found.frame_similarity, found.clip_similarity, torch.stack(tables)
        )
        layers = joint_layers(self.vita, found, inputs.before_projection)
        clips, _ = self.loss(layers, batch.targets, output.padded_size, similarity)
        own = {f"clip {name}": part for name, part in clips.parts.items()}
        whole = Losses(frames.total + clips.total, frames.parts | own, frames.matchings)
        check_finite(whole)
        return whole

    @property
    def saved_head(self) -> VITA:
        """The head."""
        return self.vita

    def parts(self) -> dict[str, nn.Module]:
        """Return those of the segmenter, and the head."""
        return {**super().parts(), "head": self.vita}


class GenVISUnit(HeadUnit):
    """Train GenVIS on a segmenter that stays as it is (Heo et al., CVPR 2023, §3).

    Args:
        model: the segmenter, a Mask2Former.
        criterion: matches the queries of frames.
        genvis: the head, for its channels and classes.
        loss: the head's.
        clip_frames: of a clip; the last one of a video may be shorter.
        num_levels: see `NUM_LEVELS`.
    """

    def __init__(
        self,
        model: ClipSegmenter,
        criterion: Criterion,
        genvis: GenVIS,
        loss: UnifiedLoss,
        *,
        clip_frames: int = 1,
        num_levels: int = NUM_LEVELS,
    ) -> None:
        super().__init__(model)
        self.criterion = criterion
        self.genvis = genvis
        self.loss = loss
        self.clip_frames = clip_frames
        self.num_levels = num_levels

    @property
    def head(self) -> GenVIS:
        """The head."""
        return self.genvis

    @property
    def saved_head(self) -> GenVIS:
        """The head."""
        return self.genvis

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns; the segmenter predicts at all levels, its parts in eval."""
        super().train(mode)
        self.segmenter.training = mode
        return self

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        """Compute the losses of a batch."""
        output, inputs = self.segment(batch)
        queries = frame_queries(inputs, self.num_levels)
        matched = self._match(output, batch)  # (L, B, N, T)
        clips, similarities = [], []
        maps = inputs.before_projection.split(self.clip_frames, dim=1)
        tables = matched.split(self.clip_frames, dim=3)
        outputs = self.genvis(queries, self.clip_frames)
        for found, own, table in zip(outputs, maps, tables, strict=True):
            clips.append(joint_layers(self.genvis.vita, found, own))
            similarities.append(
                SimilarityInputs(found.frame_similarity, found.clip_similarity, table)
            )
        losses: Losses = self.loss(clips, batch.targets, output.padded_size, similarities)
        return losses

    @torch.no_grad()
    def _match(self, output: ClipOutput, batch: ClipBatch) -> Tensor:
        """Return which frame query is which instance at each level, (L, B, N, T)."""
        device = output.mask_logits.device
        tables = []
        with autocast_off(device):
            targets = FrameTargets.from_clips(
                [clip.to(device) for clip in batch.targets], output.padded_size
            )
            for number in range(self.num_levels):
                level = output.levels[-number]
                matching = self.criterion.match_frames(
                    at_least_float32(by_frame(level.class_logits)),
                    at_least_float32(by_frame(level.mask_logits)),
                    targets,
                )
                tables.append(matching.tables())
        return torch.stack(tables)


def frame_queries(inputs: HeadInputs, num_levels: int) -> Tensor:
    """Return the queries of the last levels, (L, B, T, fQ, C), the last level first.

    Raises:
        ValueError: there are fewer levels.
    """
    if len(inputs.queries) < num_levels:
        raise ValueError(
            f"num_levels must be at most {len(inputs.queries)}, those of the segmenter's decoder, "
            f"got {num_levels}"
        )
    return inputs.queries[:num_levels].transpose(2, 3)


def joint_layers(
    vita: VITA, output: VITAOutput, before_projection: Tensor
) -> list[JointPrediction]:
    """Make the masks of all decoder layers, the last layer first."""
    return [
        JointPrediction(
            layer.class_logits, vita.mask_logits(layer.mask_embeddings, before_projection)
        )
        for layer in (output, *output.auxiliary)
    ]
