"""Denoising queries: annotated instances, noised, to be reconstructed (DN-DETR; Mask DINO §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidgap_segmenter.frame_targets import FrameTargets, Matching


@dataclass(frozen=True)
class Denoising:
    """Noised instances of B*T frames: G groups of n slots.

    Attributes:
        labels: class indices, some of them wrong, (B*T, G*n), int64.
        boxes: noised, (B*T, G*n, 4), float32; (0.5, 0.5, 0.5, 0.5) in empty slots.
        real: which slots hold an instance, (B*T, G*n), bool; in each group the first ones.
        num_groups: G; each holds every instance once.
        matching: pairs each slot that holds an instance with it, group after group.
    """

    labels: Tensor
    boxes: Tensor
    real: Tensor
    num_groups: int
    matching: Matching

    def attention_mask(self, num_queries: int) -> Tensor:
        """Return which query attends to which, (1, G*n + Q, G*n + Q) bool, denoising queries first.

        Groups do not attend to each other, and matching queries to no group: an instance must not
        be read off its noised copy.
        """
        num_slots = self.labels.shape[1]
        device = self.labels.device
        group = torch.arange(num_slots, device=device) // (num_slots // self.num_groups)
        group = torch.cat((group, group.new_full((num_queries,), -1)))
        return ((group[:, None] == group) | (group == -1))[None]


@torch.no_grad()
def make_denoising(
    targets: FrameTargets,
    num_classes: int,
    *,
    num_denoising: int,
    label_noise: float,
    box_noise: float,
) -> Denoising | None:
    """Noise the instances of a batch, with torch's default generator.

    Args:
        targets: the instances of B*T frames.
        num_classes: K, from which a noised label is drawn; it may be the right one.
        num_denoising: the largest number of slots; as many groups as fit are made.
        label_noise: probability that a label is drawn anew.
        box_noise: how far a centre moves at most, as a fraction of half the box's side, and how
            much a side changes, as a fraction of it.

    Returns:
        None if no frame has instances, or one has more than `num_denoising`.
    """
    width = max(targets.counts, default=0)
    num_groups = num_denoising // width if width else 0
    if num_groups == 0:
        return None
    device = targets.labels.device
    num_frames, num_slots = len(targets.counts), num_groups * width
    group = torch.arange(num_groups, device=device)[:, None]  # (G, 1)
    frames = targets.frames.expand(num_groups, -1).flatten()  # (G*N,)
    slots = (group * width + targets.slots).flatten()
    rows = torch.arange(len(targets.labels), device=device).repeat(num_groups)

    labels = torch.zeros(num_frames, num_slots, dtype=torch.int64, device=device)
    boxes = torch.full((num_frames, num_slots, 4), 0.5, device=device)
    real = torch.zeros(num_frames, num_slots, dtype=torch.bool, device=device)
    labels[frames, slots] = _noised_labels(targets.labels[rows], num_classes, label_noise)
    boxes[frames, slots] = _noised_boxes(targets.boxes[rows], box_noise)
    real[frames, slots] = True
    return Denoising(labels, boxes, real, num_groups, targets.matching(frames, slots, rows))


def _noised_labels(labels: Tensor, num_classes: int, noise: float) -> Tensor:
    drawn = torch.randint_like(labels, num_classes)
    return drawn.where(torch.rand(labels.shape, device=labels.device) < noise, labels)


def _noised_boxes(boxes: Tensor, noise: float) -> Tensor:
    reach = torch.cat((boxes[:, 2:] / 2, boxes[:, 2:]), dim=1)
    moved = boxes + (2 * torch.rand_like(boxes) - 1) * reach * noise
    return moved.clamp(0, 1)
