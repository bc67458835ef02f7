"""Predictions of clips that show what they are told to: which query looks like which instance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_segmenter import ClipCriterion, ClipTargets, Criterion

NUM_QUERIES, NUM_CLASSES, SIZE = 6, 4, (16, 32)


def make_targets(present: Sequence[Sequence[int]]) -> ClipTargets:
    """Give instance n a column of 4 pixels of its own in the frames (N, T) where it is present."""
    there = torch.tensor(present, dtype=torch.bool).reshape(len(present), -1)
    masks = torch.zeros(*there.shape, *SIZE, dtype=torch.bool)
    for row in range(len(there)):
        masks[row, :, :, 4 * row : 4 * row + 4] = there[row, :, None, None]
    labels = torch.arange(len(there)) % NUM_CLASSES
    return ClipTargets(labels, masks, torch.arange(len(there)))


def no_targets(num_frames: int) -> ClipTargets:
    """A clip of T frames without instances."""
    none = torch.zeros(0, dtype=torch.int64)
    return ClipTargets(none, torch.zeros(0, num_frames, *SIZE, dtype=torch.bool), none)


def looks_like(targets: ClipTargets, likes: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Let queries `likes` (N, T) show instances, -1 none; return (Q, T, K+1) and (Q, T, h, w)."""
    num_frames = targets.masks.shape[1]
    logits = torch.zeros(NUM_QUERIES, num_frames, NUM_CLASSES + 1)
    masks = torch.full((NUM_QUERIES, num_frames, SIZE[0] // 4, SIZE[1] // 4), -4.0)
    for row, queries in enumerate(likes):
        for time, query in enumerate(queries):
            if query >= 0:
                logits[query, time, row % NUM_CLASSES] += 4
                masks[query, time, :, row] = 4.0
    return logits, masks


def make_criterion() -> Criterion:
    return Criterion(NUM_CLASSES, num_points=64)


def clip_criterion() -> ClipCriterion:
    return ClipCriterion(NUM_CLASSES, num_points=64)
