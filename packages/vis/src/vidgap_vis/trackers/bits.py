"""Masks as rows of bits: how many cells they share, and which of them are duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vidgap_vis.native import extension
from vidgap_vis.trackers.detections import Bools, Floats, Ints

Words: TypeAlias = npt.NDArray[np.uint64]
Counts: TypeAlias = npt.NDArray[np.int32]

_PAIRS_AT_ONCE = 2048
"""Of masks whose overlaps are counted together in NumPy: bounds the memory."""


@dataclass(frozen=True)
class MaskBits:
    """N masks of one size.

    Attributes:
        words: (N, ceil(h * w / 64)), a bit for each cell.
    """

    words: Words

    @classmethod
    def of(cls, masks: Bools) -> MaskBits:
        """Pack masks, (N, h, w) bool."""
        return cls(packed_masks(masks))

    @cached_property
    def areas(self) -> Ints:
        """(N,) int64, in cells."""
        areas: Ints = np.bitwise_count(self.words).sum(axis=1, dtype=np.int64)
        return areas

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: Ints | Bools) -> MaskBits:
        return MaskBits(self.words[rows])

    def shared(self, other: MaskBits) -> Counts:
        """Return the number of cells that each pair of masks shares, (N, M) int32.

        Raises:
            ValueError: the masks differ in size.
        """
        if self.words.shape[1] != other.words.shape[1]:
            raise ValueError(
                f"masks must be of one size, got {self.words.shape[1]} and {other.words.shape[1]} "
                "words of 64 cells"
            )
        native = extension(warns=False)
        if native is None:
            return _shared_in_numpy(self.words, other.words)
        shared = np.empty((len(self), len(other)), np.int32)
        first, second = (np.ascontiguousarray(masks.words) for masks in (self, other))
        native.shared_bits(
            first.ctypes.data,
            len(first),
            second.ctypes.data,
            len(second),
            first.shape[1],
            shared.ctypes.data,
        )
        return shared

    def iou(self, other: MaskBits) -> Floats:
        """Return the IoU of each pair of masks, (N, M) float32; 0 of two empty ones."""
        shared = self.shared(other)
        union = self.areas[:, None] + other.areas - shared
        return shared.astype(np.float32) / np.maximum(union, 1).astype(np.float32)


def packed_masks(masks: Bools) -> Words:
    """Return masks (N, h, w) as rows of bits, (N, ceil(h * w / 64)) uint64."""
    cells = masks.shape[1] * masks.shape[2]  # not -1: there may be no mask
    bits = np.packbits(np.ascontiguousarray(masks).reshape(len(masks), cells), axis=1)
    missing = -bits.shape[1] % 8
    whole = np.pad(bits, ((0, 0), (0, missing))) if missing else bits  # padding copies all
    return whole.view(np.uint64)


def _shared_in_numpy(first: Words, second: Words) -> Counts:
    """Count what the kernel counts, where nothing is compiled."""
    shared = np.zeros((len(first), len(second)), np.int32)
    filled = ((words != 0).astype(np.float32) for words in (first, second))
    rows, columns = np.nonzero(np.matmul(next(filled), next(filled).T))  # that meet in a word
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        one, other = rows[start : start + _PAIRS_AT_ONCE], columns[start : start + _PAIRS_AT_ONCE]
        both = np.bitwise_count(first[one] & second[other])
        shared[one, other] = both.sum(axis=1, dtype=np.int32)
    return shared


def mask_iou(first: Bools, second: Bools) -> Floats:
    """Return the IoU of each pair of masks, (N, h, w) and (M, h, w) bool -> (N, M) float32."""
    return MaskBits.of(first).iou(MaskBits.of(second))


def without_duplicates(masks: MaskBits, iou: float, epsilon: float = 0.0) -> Ints:
    """Return which masks, in their order, do not overlap an earlier one kept by more.

    Empty masks are duplicates of each other.

    Args:
        masks: the best first.
        iou: the largest IoU with one that is kept.
        epsilon: added to intersections and unions, in cells, by which equality is more (IDOL).
    """
    shared = masks.shared(masks)
    areas = shared.diagonal()
    union = np.add.outer(areas, areas) - shared
    return first_come((shared + epsilon > iou * (union + epsilon)) | (union == 0))


def first_come(excluded: Bools) -> Ints:
    """Return which of N are kept, in their order: those that no earlier one that is kept excludes.

    Args:
        excluded: (N, N), symmetric, which pairs cannot both be kept; the diagonal does not count.
    """
    kept = [True] * len(excluded)
    for later, earlier in zip(*(side.tolist() for side in np.nonzero(excluded)), strict=True):
        if earlier < later and kept[earlier]:
            kept[later] = False
    return np.flatnonzero(kept)
