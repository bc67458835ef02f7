"""Mask logits of made-up frames, and what finishing them must give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tolerances import MASK_LOGIT, MASK_SCORE
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import Resize, resize_to
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.masks import FrameMasks
from vidgap_vis.inference.masks.taps import Resizing

Size = tuple[int, int]


class Case(NamedTuple):
    """Sizes from logits to masks, (H, W) each."""

    count: int
    shape: Size
    padded: Size
    frame: Size
    size: Size
    resize: Resize = "bilinear"

    @property
    def resizing(self) -> Resizing:
        return Resizing(*self[1:])

    @property
    def output(self) -> ClipOutput:
        """Of a network; only its sizes are read."""
        return ClipOutput(
            class_logits=torch.zeros(1, 1, 1, 2),
            mask_logits=torch.zeros(1, 1, 1, *self.shape),
            embeddings=torch.zeros(1, 1, 1, 1),
            auxiliary=(),
            frame_size=self.frame,
            padded_size=self.padded,
        )


CASES = [
    Case(3, (24, 40), (96, 160), (90, 160), (180, 320)),
    Case(3, (24, 40), (96, 160), (90, 160), (180, 320), "nearest"),
    Case(2, (24, 40), (96, 160), (90, 153), (90, 153)),  # one resizing
    Case(2, (24, 40), (24, 40), (23, 37), (70, 111)),  # the other
    Case(2, (24, 40), (24, 40), (24, 40), (24, 40)),  # none
    Case(2, (24, 40), (24, 160), (24, 160), (24, 320)),  # along one axis alone
    Case(2, (70, 9), (280, 36), (275, 33), (131, 17)),  # taller than a word has bits; smaller
    Case(2, (24, 40), (96, 160), (90, 160), (30, 53), "nearest"),
    Case(2, (24, 40), (96, 160), (96, 160), (7, 5)),  # most logits are not read
    Case(2, (48, 80), (24, 40), (24, 40), (31, 29)),
    Case(1, (1, 1), (4, 4), (3, 2), (9, 8)),
    Case(1, (1, 1), (1, 1), (1, 1), (1, 1)),
    Case(1, (2, 3), (8, 12), (8, 12), (1, 1)),
    Case(0, (24, 40), (96, 160), (90, 160), (180, 320)),
]
"""What a network gives, and what it never would."""


def draw(case: Case, seed: int = 0, kind: str = "blobs") -> Tensor:
    """Return logits, (N, h, w) float32: "blobs" with a few smooth edges, or "noise"."""
    generator = torch.Generator().manual_seed(seed)
    height, width = case.shape
    cells = (-(-height // 6), -(-width // 6)) if kind == "blobs" else case.shape
    coarse = torch.randn(case.count, *cells, generator=generator)
    if not case.count:
        return torch.zeros(0, height, width)
    smooth = F.interpolate(coarse[None], size=case.shape, mode="bicubic")[0]
    return 8 * smooth - (4 if kind == "blobs" else 0)


def assert_same_masks(case: Case, logits: Tensor, got: FrameMasks, scale: float = 1) -> int:
    """Compare masks with the definition, but where a logit is 0 to rounding.

    Args:
        case: sizes.
        logits: (N, h, w).
        got: their masks.
        scale: of the logits; their rounding grows with it.

    Returns:
        How many pixels are other than in the definition.
    """
    assert (got.scores.dtype, got.areas.dtype) == (np.float32, np.int64)
    assert len(got.rles) == len(got.scores) == len(got.areas) == case.count
    if not case.count:
        return 0
    large = resize_to(case.output, logits, case.size, case.resize).cpu()
    wanted = (large > 0).numpy()
    found = np.stack([rle.decode() for rle in got.rles])
    sure = ~(large.abs() <= MASK_LOGIT * scale).numpy()
    np.testing.assert_array_equal(found[sure], wanted[sure])
    for rle, mask in zip(got.rles, found, strict=True):
        assert rle == Rle.encode(mask)  # there is one string for a mask
    areas = found.sum(axis=(1, 2))
    np.testing.assert_array_equal(got.areas, areas)
    inside = (large.double().sigmoid() * torch.from_numpy(found)).sum(dim=(1, 2)).numpy()
    np.testing.assert_allclose(got.scores, inside / np.maximum(areas, 1), **MASK_SCORE)
    return int((found != wanted).sum())
