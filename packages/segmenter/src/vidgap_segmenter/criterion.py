"""The loss: set prediction on points, with every decoder level supervised (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.matcher import CostWeights, FrameTargets, Matching, match
from vidgap_segmenter.points import Sampler, sample_logits, uncertain_points, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import ClipOutput, ClipTargets, Losses, Prediction, same_num_frames


class Criterion(nn.Module):
    """Match queries with instances in every frame and level, and sum class, mask and dice losses.

    Frames are independent images. Losses are computed in float32 whatever autocast says.

    Args:
        num_classes: K.
        num_points: points on which masks are compared.
        oversample: candidates drawn for each point that is chosen for its uncertainty.
        importance: share of the points that are chosen for their uncertainty.
        class_weight: weight of the class part, in matching cost and loss.
        mask_weight: weight of the mask part.
        dice_weight: weight of the dice part.
        no_instance_weight: weight of class K in the cross entropy.
        sampler: draws the points.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_points: int = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        no_instance_weight: float = 0.1,
        sampler: Sampler = uniform,
    ) -> None:
        super().__init__()
        if num_points < 1 or oversample < 1 or not 0 <= importance <= 1:
            raise ValueError(
                "num_points and oversample must be at least 1 and importance in [0, 1], got "
                f"{num_points}, {oversample}, {importance}"
            )
        self.num_classes = num_classes
        self.num_points = num_points
        self.num_candidates = int(num_points * oversample)
        self.num_uncertain = int(num_points * importance)
        self.weights = CostWeights(class_weight, mask_weight, dice_weight)
        self.no_instance_weight = no_instance_weight
        self.sampler = sampler

    def forward(self, output: ClipOutput, targets: Sequence[ClipTargets]) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            output: predictions for B clips of T frames.
            targets: the instances of each clip, on any device, masks at the size of the frames
                given to the model. An instance counts in the frames where its mask has a pixel.

        Returns:
            Losses of every level; `total` is their weighted sum.

        Raises:
            ValueError: targets do not fit the output, or a cost or loss is not finite.
        """
        self._check(output, targets)
        device = output.mask_logits.device
        with autocast_off(device):
            clips = [clip.to(device) for clip in targets]
            frame_targets = FrameTargets.from_clips(clips, output.padded_size)
            num_masks = mean_over_processes(len(frame_targets.labels), device).clamp(min=1)
            levels = [self._level(level, frame_targets, num_masks) for level in output.levels]
            classes, mask, dice = (torch.stack(part) for part in zip(*levels, strict=True))
            weights = self.weights
            total = weights.classes * classes + weights.mask * mask + weights.dice * dice
            losses = Losses(classes, mask, dice, total.sum())
        _check_finite(losses)
        return losses

    def _level(
        self, level: Prediction, targets: FrameTargets, num_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the class, mask and dice loss of one level."""
        # (B, Q, T, ...) -> (B*T, Q, ...)
        class_logits = at_least_float32(level.class_logits.transpose(1, 2).flatten(0, 1))
        mask_logits = at_least_float32(level.mask_logits.transpose(1, 2).flatten(0, 1))
        device = mask_logits.device
        points = self.sampler((len(targets.counts), self.num_points, 2), device=device)
        matching = match(class_logits, mask_logits, targets, points, self.weights)
        classes = self._class_loss(class_logits, targets, matching)
        mask, dice = self._mask_losses(mask_logits, targets, matching)
        return classes, mask / num_masks, dice / num_masks

    def _class_loss(
        self, class_logits: Tensor, targets: FrameTargets, matching: Matching
    ) -> Tensor:
        """Return the weighted mean of the cross entropy over all queries."""
        num_frames, num_queries, _ = class_logits.shape
        wanted = matching.queries.new_full((num_frames, num_queries), self.num_classes)
        wanted[matching.frames, matching.queries] = targets.labels[matching.rows]
        weight = class_logits.new_ones(self.num_classes + 1)
        weight[-1] = self.no_instance_weight
        return F.cross_entropy(class_logits.flatten(0, 1), wanted.flatten(), weight=weight)

    def _mask_losses(
        self, mask_logits: Tensor, targets: FrameTargets, matching: Matching
    ) -> tuple[Tensor, Tensor]:
        """Return cross entropy and dice, each summed over the matched masks."""
        num_queries = mask_logits.shape[1]
        row = matching.frames * num_queries + matching.queries
        matched = mask_logits.flatten(0, 1).index_select(0, row)  # (R, h, w)
        with torch.no_grad():
            points = self._points(matched)
            truth = targets.sample(matching.rows, points).to(matched.dtype)  # (R, P)
        logits = sample_logits(matched[:, None], points)[:, 0]  # (R, P)
        mask = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1).sum()
        shares = logits.sigmoid()
        overlap = 2 * (shares * truth).sum(1) + 1
        dice = (1 - overlap / (shares.sum(1) + truth.sum(1) + 1)).sum()
        return mask, dice

    def _points(self, matched: Tensor) -> Tensor:
        """Draw points for each matched mask, most of them where it is uncertain, (R, P, 2)."""
        rows, device = len(matched), matched.device
        candidates = self.sampler((rows, self.num_candidates, 2), device=device)
        others = self.sampler((rows, self.num_points - self.num_uncertain, 2), device=device)
        return uncertain_points(matched, candidates, others, self.num_uncertain)

    def _check(self, output: ClipOutput, targets: Sequence[ClipTargets]) -> None:
        clips, _, num_frames, num_logits = output.class_logits.shape
        if num_logits != self.num_classes + 1:
            raise ValueError(
                f"output must have {self.num_classes} classes and no instance, "
                f"got {num_logits} class logits"
            )
        if len(targets) != clips:
            raise ValueError(f"targets must be of {clips} clips, got {len(targets)}")
        same_num_frames(targets, num_frames)
        for index, clip in enumerate(targets):
            if clip.masks.shape[2:] != output.frame_size:
                raise ValueError(
                    f"targets[{index}].masks must be of the frames' size {output.frame_size}, "
                    f"got {tuple(clip.masks.shape[2:])}"
                )
            outside = (clip.labels < 0) | (clip.labels >= self.num_classes)
            if outside.any():
                raise ValueError(
                    f"targets[{index}].labels must be in 0..{self.num_classes - 1}, "
                    f"got {clip.labels[outside].tolist()}"
                )


def mean_over_processes(count: int, device: torch.device) -> Tensor:
    """Return the mean of a count over the processes of a distributed run, a float32 scalar."""
    mean = torch.tensor(float(count), device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    return mean


def _check_finite(losses: Losses) -> None:
    if losses.total.isfinite():
        return
    names = [
        f"{name} loss of level {index}"
        for name, values in (
            ("class", losses.classes),
            ("mask", losses.mask),
            ("dice", losses.dice),
        )
        for index in (~values.isfinite()).nonzero()[:, 0].tolist()
    ]
    raise ValueError(f"losses must be finite, got nan or inf in the {', '.join(names)}")
