"""Training what tells instances of two frames apart, beside the segmenter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vidgap_segmenter import ClipOutput, ClipSegmenter, ClipTargets, Losses
from vidgap_segmenter.boxes import mask_boxes
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.idol import FrameCosts, FrameInstances, ReidLoss, ReidTargets
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.training.units.segmentation import SegmentationUnit, check_by_frame, with_parts


class IDOLUnit(SegmentationUnit):
    """Train a segmenter and its embeddings by IDOL's contrast (Wu et al., ECCV 2022, §3.2).

    A clip's first frame is the key frame, each other one a reference frame.

    Args:
        model: the segmenter, with an embedding head. Where it has no boxes, those around its masks
            count.
        criterion: its losses.
        contrast: the loss of the embeddings.
        idol_compat: as in `ReidTargets.of`.

    Raises:
        ValueError: the queries are those of a joint decoder.
    """

    reads_embeddings = True

    def __init__(
        self,
        model: ClipSegmenter,
        criterion: nn.Module,
        contrast: ReidLoss,
        *,
        idol_compat: bool = False,
    ) -> None:
        super().__init__(model, criterion)
        check_by_frame(criterion)
        self.contrast = contrast
        self.idol_compat = idol_compat

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        """Compute the losses of a batch of clips of two or more frames.

        Raises:
            ValueError: clips have one frame.
        """
        num_frames = batch.frames.shape[1]
        if num_frames < 2:
            raise ValueError(f"batch must have clips of 2 frames or more, got {num_frames}")
        output: ClipOutput = self.segmenter(batch.frames, batch.targets)
        losses: Losses = self.criterion(output, batch.targets)
        targets = self._targets(output, batch.targets)
        frames = output.embeddings.transpose(1, 2)  # (B, T, Q, C)
        key = frames[:, :1].expand(-1, num_frames - 1, -1, -1)
        parts = self.contrast(key.flatten(0, 1), frames[:, 1:].flatten(0, 1), targets)
        return with_parts(losses, parts, self.contrast.weights)

    @torch.no_grad()
    def _targets(self, output: ClipOutput, clips: Sequence[ClipTargets]) -> ReidTargets:
        """Choose queries for every pair of a key and a reference frame, B*(T-1) rows."""
        with autocast_off(output.mask_logits.device):
            probabilities = output.class_probabilities.transpose(1, 2)  # (B, T, Q, K)
            boxes = mask_boxes(output.mask_logits > 0) if output.boxes is None else output.boxes
            boxes = at_least_float32(boxes).transpose(1, 2)  # (B, T, Q, 4)
            num_pairs = boxes.shape[1] - 1
            shown = [frame_boxes(clip.to(boxes.device), output.padded_size) for clip in clips]
            labels = pad_sequence([clip.labels.to(boxes.device) for clip in clips], True)
            truth = pad_sequence([own for own, _ in shown], True).transpose(1, 2)  # (B, T, N, 4)
            present = pad_sequence([there for _, there in shown], True).transpose(1, 2)
            rows = labels.repeat_interleave(num_pairs, 0)
            costs = [
                FrameCosts.of(
                    first(probabilities), first(boxes), FrameInstances(rows, *map(first, known))
                )
                for first, known in ((_keys, (truth, present)), (_references, (truth, present)))
            ]
        return ReidTargets.of(*costs, idol_compat=self.idol_compat)


class MaskTrackUnit(SegmentationUnit):
    """Train MaskTrack R-CNN's track head beside a segmenter (Yang et al., ICCV 2019, §4.1, eq. 1).

    The instances of a clip's first frame are remembered; those of each later frame should be found
    among them, or be new. The head reads the embeddings of the queries that the criterion matched.

    Args:
        model: the segmenter.
        criterion: its losses.
        head: from the channels of the segmenter's embeddings.
        weight: of the head's loss.

    Raises:
        ValueError: the queries are those of a joint decoder.
    """

    reads_embeddings = True

    def __init__(
        self, model: ClipSegmenter, criterion: nn.Module, head: TrackHead, *, weight: float = 1.0
    ) -> None:
        super().__init__(model, criterion)
        check_by_frame(criterion)
        self.head = head
        self.weight = weight

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        """Compute the losses of a batch; "track" is 0 where no later frame shows an instance."""
        output: ClipOutput = self.segmenter(batch.frames, batch.targets)
        losses: Losses = self.criterion(output, batch.targets)
        queries = losses.matchings[0].tables()  # (B, N, T)
        parts = {"track": track_loss(self.head, output.embeddings, queries)}
        return with_parts(losses, parts, {"track": self.weight})

    @property
    def saved_head(self) -> TrackHead:
        """The head."""
        return self.head

    def parts(self) -> dict[str, nn.Module]:
        """Return those of the segmenter, and the head."""
        return {**super().parts(), "head": self.head}


def track_loss(head: TrackHead, embeddings: Tensor, queries: Tensor) -> Tensor:
    """Return the cross entropy of which remembered instance each one is, or none of them.

    Args:
        head: the track head.
        embeddings: (B, Q, T, C).
        queries: (B, N, T) int64, the query of each instance, -1 where it is absent.

    Returns:
        The mean over the instances of all frames but the first, a scalar; 0 where there is none.
    """
    num = queries.shape[1]
    index = queries.clamp(min=0)[..., None].expand(-1, -1, -1, embeddings.shape[3])
    vectors = at_least_float32(head(embeddings.gather(1, index))).transpose(1, 2)  # (B, T, N, D)
    there = (queries >= 0).transpose(1, 2)  # (B, T, N)
    with autocast_off(vectors.device):
        logits = head.logits(vectors[:, 1:], vectors[:, :1])  # (B, T-1, N, 1+N)
        known = F.pad(there[:, :1, None], (1, 0), value=True)
        logits = logits.masked_fill(~known, -torch.inf)
        rows = torch.arange(1, num + 1, device=queries.device)
        wanted = rows.where(there[:, :1], 0).expand_as(there[:, 1:])
        entropy = F.cross_entropy(logits.movedim(-1, 1), wanted, reduction="none")
        items = there[:, 1:]
        return torch.where(items, entropy, 0).sum() / items.sum().clamp(min=1)


def frame_boxes(clip: ClipTargets, padded_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the boxes of instances in [0, 1] of the padded frame, and where they are present.

    Returns:
        (N, T, 4), float32, and (N, T), bool.
    """
    height, width = clip.masks.shape[2:]
    scale = mask_boxes(clip.masks).new_tensor([width / padded_size[1], height / padded_size[0]])
    return mask_boxes(clip.masks) * scale.repeat(2), clip.masks.flatten(2).any(-1)


def _keys(frames: Tensor) -> Tensor:
    """Repeat each clip's first frame for every later one, (B, T, ...) -> (B*(T-1), ...)."""
    return frames[:, :1].expand(-1, frames.shape[1] - 1, *frames.shape[2:]).flatten(0, 1)


def _references(frames: Tensor) -> Tensor:
    """Return each clip's later frames, (B, T, ...) -> (B*(T-1), ...)."""
    return frames[:, 1:].flatten(0, 1)
