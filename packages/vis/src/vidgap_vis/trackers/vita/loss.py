"""What VITA learns by: instances of a clip, and which queries show the same (VITA §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter import ClipCriterion, ClipTargets, Losses
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.matching import ClipMatching
from vidgap_segmenter.joint.prediction import JointPrediction, check_video
from vidgap_segmenter.losses import check_finite, mean_over_processes, stack_levels
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import describe

EPSILON = 1e-6
"""Added to the number of compared pairs, as in the release."""


@dataclass(frozen=True)
class SimilarityInputs:
    """The vectors that should tell which queries show the same instance.

    Attributes:
        frames: (L, B, T, fQ, C), of the frame queries (`VITAOutput.frame_similarity`).
        clips: (L, B, cQ, C), of the clip queries (`VITAOutput.clip_similarity`).
        frame_queries: (L, B, N, T) int64, the frame query of each instance at each level of the
            frame decoder, -1 where it is absent or has none.
    """

    frames: Tensor
    clips: Tensor
    frame_queries: Tensor

    def __post_init__(self) -> None:
        leading, channels = self.clips.shape[:-2], self.clips.shape[-1]
        if self.clips.ndim != 4 or self.frames.ndim != 5:
            raise ValueError(
                "frames must be (L, B, T, fQ, C) and clips (L, B, cQ, C), "
                f"got {describe(self.frames)} and {describe(self.clips)}"
            )
        num_frames = self.frames.shape[2]
        if self.frames.shape[:2] != leading or self.frames.shape[-1] != channels:
            raise ValueError(
                f"frames must be {tuple(leading)} + (T, fQ, {channels}) to match clips, "
                f"got {describe(self.frames)}"
            )
        given = self.frame_queries
        if given.ndim != 4 or given.shape[:2] != leading or given.shape[3] != num_frames:
            raise ValueError(
                f"frame_queries must be {tuple(leading)} + (N, {num_frames}), got {describe(given)}"
            )


class VITALoss(nn.Module):
    """Match clip queries with the instances of a clip, at each of L levels of the frame decoder.

    Masks are compared on the points of all frames at once. Losses are computed in float32 whatever
    autocast says.

    Args:
        criterion: of clips, with the weights of losses and of matching costs.
        similarity_weight: of the similarity loss.
    """

    def __init__(self, criterion: ClipCriterion, *, similarity_weight: float = 0.5) -> None:
        super().__init__()
        self.criterion = criterion
        self.weights = {**criterion.weights, "similarity": similarity_weight}

    def forward(
        self,
        layers: Sequence[JointPrediction],
        targets: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        similarity: SimilarityInputs | None = None,
    ) -> tuple[Losses, tuple[ClipMatching, ...]]:
        """Compute the losses of a batch of clips.

        Args:
            layers: of each decoder layer, the last one first, (L, B, cQ, ...), the frame decoder's
                levels in front.
            targets: of the B clips, on any device. An instance that no frame shows does not count.
            padded_size: (H', W') that mask logits cover.
            similarity: of the last layer; None: without that loss.

        Returns:
            "class", "mask" and "dice", (layers,) each, and "similarity", (1,); and the matching of
            each layer, prediction l*B + b.

        Raises:
            ValueError: targets do not fit predictions.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        check_joint(layers, targets, self.criterion.num_classes, padded_size)
        device, num_levels = layers[0].mask_logits.device, len(layers[0].mask_logits)
        with autocast_off(device):
            listed = FrameTargets.from_whole_clips(
                [clip.to(device) for clip in targets], padded_size
            )
            count = num_levels * (len(listed.labels) // listed.num_frames)
            num_masks = mean_over_processes(count, device).clamp(min=1)
            losses, matchings = [], []
            for layer in layers:
                class_logits = at_least_float32(layer.class_logits)
                mask_logits = at_least_float32(layer.mask_logits)
                pairs = [
                    own
                    for level in zip(class_logits, mask_logits, strict=True)
                    for own in self.criterion.match_clips(*level, listed)
                ]
                matching = ClipMatching.of(pairs, listed)
                flat = class_logits.flatten(0, 1), mask_logits.flatten(0, 1)
                losses.append(self.criterion.clip_losses(*flat, listed, matching, num_masks))
                matchings.append(matching)
            parts = stack_levels(losses)
            if similarity is not None:
                parts["similarity"] = similarity_loss(similarity, matchings[0].tables())[None]
        found = Losses(total_of(parts, self.weights), parts)
        check_finite(found)
        return found, tuple(matchings)


def similarity_loss(inputs: SimilarityInputs, clip_queries: Tensor) -> Tensor:
    """Compare all matched queries of a clip, frame's and clip's, by their dot products.

    The cross entropy of "the same instance", the mean over all ordered pairs of all clips and
    levels, those of a query with itself included.

    Args:
        inputs: the vectors, and which frame query is which instance.
        clip_queries: (L*B, N) int64, the clip query of each instance, -1 for none.

    Returns:
        A scalar, 0 where no query is matched.

    Raises:
        ValueError: the two tables are not of the same instances.
    """
    levels, clips, num, num_frames = inputs.frame_queries.shape
    if clip_queries.shape != (levels * clips, num):
        raise ValueError(
            f"frame_queries must be of {clip_queries.shape[-1]} instances in "
            f"{len(clip_queries)} clips, got {describe(inputs.frame_queries)}"
        )
    frames = at_least_float32(inputs.frames).flatten(0, 1)  # (L*B, T, fQ, C)
    by_time = inputs.frame_queries.flatten(0, 1).transpose(1, 2)  # (L*B, T, N)
    own = [_gather(frames, by_time).flatten(1, 2)]
    own.append(_gather(at_least_float32(inputs.clips).flatten(0, 1), clip_queries))
    vectors = torch.cat(own, dim=1)  # (L*B, T*N + N, C)
    matched = torch.cat([by_time.flatten(1), clip_queries], dim=1) >= 0
    ids = torch.arange(num, device=matched.device).repeat(num_frames + 1)
    same = (ids[:, None] == ids).to(vectors.dtype).expand(len(vectors), -1, -1)
    compared = matched[:, :, None] & matched[:, None]
    entropy = F.binary_cross_entropy_with_logits(vectors @ vectors.mT, same, reduction="none")
    return torch.where(compared, entropy, 0).sum() / (compared.sum().to(entropy) + EPSILON)


def check_joint(
    layers: Sequence[JointPrediction],
    targets: Sequence[ClipTargets],
    num_classes: int,
    padded_size: tuple[int, int],
) -> None:
    """Raise ValueError unless layers are (L, B, cQ, ...), and fit classes and targets."""
    for layer in layers:
        if layer.class_logits.ndim != 4:
            raise ValueError(
                f"class_logits must be (L, B, cQ, K+1), got {describe(layer.class_logits)}"
            )
        first = layer.class_logits[0], layer.mask_logits[0]
        check_video(*first, targets, num_classes, padded_size)


def total_of(parts: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Return the weighted sum of parts of any length, a scalar."""
    sums = [weights[name] * part.sum() for name, part in parts.items()]
    return sum(sums[1:], sums[0])


def _gather(vectors: Tensor, queries: Tensor) -> Tensor:
    """Pick the vectors of queries, (..., Q, C) and (..., N) -> (..., N, C); any for -1."""
    index = queries.clamp(min=0)[..., None].expand(*queries.shape, vectors.shape[-1])
    return vectors.gather(-2, index)
