"""A stand-in for a trained model: it finds squares by their colour, and shuffles its queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.structures import ClipOutput
from vidgap_vis.classes import ClassInfo

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
CLASSES = (ClassInfo(0, 7, "disc"), ClassInfo(1, 9, "square"))
NUM_QUERIES = 8


class ColourModel(nn.Module):
    """Query i finds colour i, of class i % 2; the rest are background.

    The state is the number of frames seen, which seeds each frame's permutation of the queries: a
    state that is lost shows.

    Args:
        shuffle: permute the queries.
    """

    def __init__(self, shuffle: bool = True) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.step_lengths: list[int] = []
        self.seen_sizes: set[tuple[int, int]] = set()
        self.register_buffer("colours", torch.tensor(COLOURS, dtype=torch.float32))

    def step(
        self, frames: Tensor, state: list[Tensor] | None
    ) -> tuple[ClipOutput, list[Tensor] | None]:
        assert not self.training
        num_frames, height, width = frames.shape[1], frames.shape[3], frames.shape[4]
        self.step_lengths.append(num_frames)
        self.seen_sizes.add((height, width))
        seen = 0 if state is None else int(state[0])
        padded = (height + -height % 32, width + -width % 32)
        logits, masks, embeddings = zip(
            *(self.segment(frames[0, t].float(), padded, seen + t) for t in range(num_frames)),
            strict=True,
        )
        output = ClipOutput(
            class_logits=torch.stack(logits, dim=1)[None],
            mask_logits=torch.stack(masks, dim=1)[None],
            embeddings=torch.stack(embeddings, dim=1)[None],
            auxiliary=(),
            frame_size=(height, width),
            padded_size=padded,
        )
        return output, [torch.tensor(seen + num_frames)]

    def segment(
        self, frame: Tensor, padded: tuple[int, int], index: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return class logits (Q, K+1), mask logits (Q, h, w) and embeddings (Q, C)."""
        distance = (frame[None] - self.colours[:, :, None, None]).abs().amax(dim=1)
        share = F.pad(
            (distance < 60).float(), (0, padded[1] - frame.shape[2], 0, padded[0] - frame.shape[1])
        )
        found = torch.zeros(NUM_QUERIES, padded[0] // 4, padded[1] // 4)
        found[: len(COLOURS)] = F.avg_pool2d(share[:, None], 4)[:, 0]
        there = found.amax(dim=(1, 2)) > 0.5
        logits = torch.zeros(NUM_QUERIES, len(CLASSES) + 1)
        queries = torch.arange(NUM_QUERIES)
        logits[queries, torch.where(there, queries % 2, len(CLASSES))] = 5.0
        order = queries
        if self.shuffle:
            order = torch.randperm(NUM_QUERIES, generator=torch.Generator().manual_seed(index))
        return logits[order], 16 * found[order] - 8, torch.eye(NUM_QUERIES)[order]


def draw_frame(
    size: tuple[int, int], corners: Sequence[tuple[int, int] | None], side: int = 16
) -> np.ndarray:
    """Paint a square of each colour with its upper left at (row, column); None: absent."""
    frame = np.full((*size, 3), 20, np.uint8)
    for colour, corner in zip(COLOURS, corners, strict=False):
        if corner is not None:
            frame[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = colour
    return frame


def moving_squares(num_frames: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Three squares: one goes right, one left, one stands and is gone in every fifth frame."""
    span = size[1] - 16
    return [
        draw_frame(
            size,
            [(4, 2 * t % span), (40, (span - 2 * t) % span), (22, 40) if t % 5 else None],
        )
        for t in range(num_frames)
    ]


class JointColourModel(ColourModel):
    """The same with queries that stay in place in a clip and are permuted anew in the next one.

    What it was given is kept: `clips` has the frames of each step, (T, 3, H, W), `states` how many
    frames the state said had gone before, `repeated_next` what was asked for.
    """

    joint = True

    def __init__(self) -> None:
        super().__init__(shuffle=False)
        self.clips: list[Tensor] = []
        self.states: list[int] = []
        self.repeated_next: list[int] = []

    def step(
        self, frames: Tensor, state: list[Tensor] | None, *, repeated_next: int = 0
    ) -> tuple[ClipOutput, list[Tensor] | None]:
        self.clips.append(frames[0].clone())
        self.states.append(0 if state is None else int(state[0]))
        self.repeated_next.append(repeated_next)
        order = torch.randperm(
            NUM_QUERIES, generator=torch.Generator().manual_seed(len(self.clips))
        )
        output, after = super().step(frames, state)
        assert after is not None
        shown = output.class_logits[:, :, :, -1].amin(dim=2) < 5  # in a frame of the clip
        scores = torch.where(shown[0], 0.0, 5.0)
        logits = output.class_logits.amax(dim=2)
        logits[0, :, -1] = scores
        return ClipOutput(
            class_logits=logits[:, order, None].expand(-1, -1, frames.shape[1], -1),
            mask_logits=output.mask_logits[:, order],
            embeddings=torch.zeros_like(output.embeddings),
            auxiliary=(),
            frame_size=output.frame_size,
            padded_size=output.padded_size,
        ), [after[0] - repeated_next]
