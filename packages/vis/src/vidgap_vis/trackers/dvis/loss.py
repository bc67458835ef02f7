"""What DVIS's tracker and refiner learn by (Zhang et al., ICCV 2023, "Training")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter import ClipTargets, Criterion, Losses, Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.matching import ClipMatching, in_frames
from vidgap_segmenter.joint.prediction import check_video
from vidgap_segmenter.losses import (
    check_finite,
    mean_over_processes,
    stack_levels,
    weighted_total,
)
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import by_frame
from vidgap_vis.trackers.dvis.targets import consistent_matching


class ReferringLoss(nn.Module):
    """The tracker's: a query is one instance in all frames (`consistent_matching`).

    Frames are supervised as images. Where its instance is absent, a query has its class and an
    empty mask to learn. Losses are computed in float32 whatever autocast says.

    Args:
        criterion: for frames, with the weights of losses and of matching costs.
        reuse_queries: as in `consistent_matching`.
    """

    def __init__(self, criterion: Criterion, *, reuse_queries: bool = False) -> None:
        super().__init__()
        self.criterion = criterion
        self.reuse_queries = reuse_queries

    def forward(
        self,
        levels: Sequence[Prediction],
        targets: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        guide: Prediction | None = None,
    ) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            levels: of each layer, the last one first, (B, Q, T, ...).
            targets: of the B clips, on any device.
            padded_size: (H', W') that mask logits cover.
            guide: the segmenter's predictions in the order of the tracker's queries, on which
                instances are matched for all layers, as in the first half of training. None: each
                layer is matched by itself.

        Returns:
            "class", "mask" and "dice", (levels,) each, and the matchings of all levels.

        Raises:
            ValueError: targets do not fit predictions, or the guide fits neither.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        for level in levels if guide is None else (*levels, guide):
            check_video(
                level.class_logits,
                level.mask_logits,
                targets,
                self.criterion.num_classes,
                padded_size,
            )
        device = levels[0].mask_logits.device
        with autocast_off(device):
            targets = [clip.to(device) for clip in targets]
            listed = FrameTargets.from_whole_clips(targets, padded_size, list_unseen=True)
            guided = None if guide is None else self._match(guide, targets, listed)
            matchings = [guided or self._match(level, targets, listed) for level in levels]
            pairs = len(matchings[0].queries) * listed.num_frames
            num_masks = mean_over_processes(pairs, device).clamp(min=1)
            parts = stack_levels(
                [
                    self._losses(level, listed, matching, num_masks)
                    for level, matching in zip(levels, matchings, strict=True)
                ]
            )
            total = weighted_total(parts, self.criterion.weights)
        losses = Losses(total, parts, tuple(in_frames(m, listed) for m in matchings))
        check_finite(losses)
        return losses

    def _match(
        self, level: Prediction, targets: Sequence[ClipTargets], listed: FrameTargets
    ) -> ClipMatching:
        return consistent_matching(
            self.criterion, level, targets, listed, reuse_queries=self.reuse_queries
        )

    def _losses(
        self, level: Prediction, listed: FrameTargets, matching: ClipMatching, num_masks: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of one layer by name."""
        num_queries, num_frames = level.mask_logits.shape[1:3]
        classes = matching.classes(listed, num_queries, self.criterion.num_classes)  # (B, Q)
        wanted = classes.repeat_interleave(num_frames, dim=0)  # (B*T, Q)
        logits = at_least_float32(by_frame(level.class_logits))
        row = matching.predictions * num_queries + matching.queries
        matched = at_least_float32(level.mask_logits.flatten(0, 1).index_select(0, row))
        mask, dice = self.criterion.point_losses.of_masks(
            matched.transpose(0, 1).flatten(0, 1), listed, matching.rows.T.flatten()
        )
        return {
            "class": self.criterion.class_loss(logits, wanted),
            "mask": mask / num_masks,
            "dice": dice / num_masks,
        }


class RefinerLoss(nn.Module):
    """The refiner's: a query is one instance of the clip, and has one class.

    The frames of a clip are stacked to one tall image with T times the points, as the release has
    it: a mask is compared in all frames at once, on points that all masks share while matching. A
    point within half a cell of a frame's edge mixes two frames.

    Args:
        criterion: for frames, with the weights of losses and of matching costs, and the points of
            one frame.
    """

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(
        self,
        levels: Sequence[Prediction],
        targets: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        guide: Prediction | None = None,
    ) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            levels: of each layer, the last one first, (B, Q, T, ...); a query's class logits are
                their mean over frames.
            targets: of the B clips, on any device. An instance that no frame shows does not count.
            padded_size: (H', W') that mask logits cover.
            guide: the tracker's predictions, on which instances are matched for all layers, as in
                the first half of training. None: each layer is matched by itself.

        Returns:
            "class", "mask" and "dice", (levels,) each, and the matchings of all levels, whose clips
            have one frame.

        Raises:
            ValueError: targets do not fit predictions, or the guide fits neither.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        for level in levels if guide is None else (*levels, guide):
            check_video(
                level.class_logits,
                level.mask_logits,
                targets,
                self.criterion.num_classes,
                padded_size,
            )
        mask_logits = levels[0].mask_logits
        device, num_frames = mask_logits.device, mask_logits.shape[2]
        criterion = self.criterion.with_points(num_frames * self.criterion.point_losses.num_points)
        with autocast_off(device):
            images = FrameTargets.from_clips(
                [tall_targets(clip.to(device), padded_size) for clip in targets],
                (num_frames * padded_size[0], padded_size[1]),
            )
            num_masks = mean_over_processes(len(images.labels), device).clamp(min=1)
            guided = None if guide is None else criterion.match_frames(*tall(guide), images)
            parts, matchings = [], []
            for logits in map(tall, levels):
                matching = guided or criterion.match_frames(*logits, images)
                parts.append(criterion.frame_losses(*logits, images, matching, num_masks))
                matchings.append(matching)
            stacked = stack_levels(parts)
            total = weighted_total(stacked, criterion.weights)
        losses = Losses(total, stacked, tuple(matchings))
        check_finite(losses)
        return losses


def tall(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Return mean class logits (B, Q, K+1), and mask logits with frames stacked, (B, Q, T*h, w)."""
    masks = at_least_float32(prediction.mask_logits).flatten(2, 3)
    return at_least_float32(prediction.class_logits).mean(2), masks


def tall_targets(clip: ClipTargets, padded_size: tuple[int, int]) -> ClipTargets:
    """Pad masks, and stack frames: one frame of masks (N, 1, T*H', W')."""
    height, width = clip.masks.shape[2:]
    padded = F.pad(clip.masks, (0, padded_size[1] - width, 0, padded_size[0] - height))
    return replace(clip, masks=padded.flatten(1, 2)[:, None])
