"""Masks as annotation files hold them: run lengths and polygons, decoded when used.

A run-length encoding (RLE) counts the pixels of a mask down its columns, background first. The
compressed form is COCO's string: six bits a character from '0' on, five of the number and one that
says "more follows"; from the fourth count on the number is the difference to the count before last.
Strings are decoded here in NumPy and checked on the way: pycocotools reads past the end of a broken
one. It encodes and fills polygons, on input that was checked before.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vidgap_vis.formats.records import Record, brief

Size = tuple[int, int]
"""(height, width)."""

_MAX_CHARACTERS = 7  # of one number: 35 bits, more than any count that pycocotools can hold


class RleDict(TypedDict):
    """An RLE as pycocotools and results files have it."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class Rle:
    """One mask, run-length encoded.

    The counts are checked when they are used (`decode`, `area`, `checked`), which then raise
    ValueError: a data set holds hundreds of thousands of them.

    Attributes:
        size: (H, W).
        counts: COCO's compressed string.
    """

    size: Size
    counts: str

    @classmethod
    def encode(cls, mask: NDArray[np.bool_]) -> Rle:
        """Encode a mask, (H, W) bool."""
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ValueError(f"mask must be (H, W) bool, got {mask.shape} {mask.dtype}")
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return cls((mask.shape[0], mask.shape[1]), encoded["counts"].decode("ascii"))

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask, (H, W) bool, in Fortran order."""
        counts = self.run_lengths()
        inside = np.arange(len(counts)) % 2 == 1
        return np.repeat(inside, counts).reshape(self.size[::-1]).T

    def area(self) -> int:
        """Return the number of pixels of the mask."""
        return int(self.run_lengths()[1::2].sum())

    def run_lengths(self) -> NDArray[np.int64]:
        """Return the run lengths, background first; they sum to H*W."""
        counts = _undo_differences(_parse_numbers(self.counts))
        check_run_lengths(counts, self.size)
        return counts

    def checked(self) -> Rle:
        """Return itself once the counts have been checked."""
        self.run_lengths()
        return self

    def to_dict(self) -> RleDict:
        """Return it as pycocotools takes it; its counts are checked first."""
        self.run_lengths()
        return {"size": list(self.size), "counts": self.counts}


@dataclass(frozen=True, slots=True)
class Polygons:
    """One mask as the union of polygons.

    Attributes:
        size: (H, W) of the image.
        rings: the corners of each polygon, x0, y0, x1, y1, ... in pixels.
    """

    size: Size
    rings: tuple[array[float], ...]

    def to_rle(self) -> Rle:
        """Fill the polygons as pycocotools does."""
        filled = coco_mask.frPyObjects(list(self.rings), *self.size)
        return Rle(self.size, coco_mask.merge(filled)["counts"].decode("ascii"))

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask, (H, W) bool, in Fortran order."""
        return self.to_rle().decode()


Segmentation = Rle | Polygons


def as_rle(segmentation: Segmentation | None) -> Rle | None:
    """Return a mask run-length encoded."""
    return segmentation.to_rle() if isinstance(segmentation, Polygons) else segmentation


def read_segmentation(record: Record, key: str, value: object, size: Size) -> Segmentation:
    """Read a mask as `parse_segmentation` does; InputError about `key` where it is malformed."""
    try:
        return parse_segmentation(value, size)
    except ValueError as error:
        raise record.error(f"{key}: {error}") from None


def parse_segmentation(value: object, size: Size) -> Segmentation:
    """Read a mask of an image of `size` (H, W): compressed or plain RLE, or polygons.

    Raises:
        ValueError: it is none of them, has another size, or its numbers cannot be right. The
            counts of a compressed RLE are checked later, when it is used.
    """
    if isinstance(value, dict):
        return parse_rle(value, size)
    if isinstance(value, list):
        return _parse_polygons(value, size)
    raise ValueError(f"a mask must be an RLE object or a list of polygons, got {brief(value)}")


def parse_rle(value: Mapping[str, object], size: Size) -> Rle:
    """Read an RLE object of `size` (H, W) whose counts are a string, bytes or a list."""
    declared = value.get("size")
    if not isinstance(declared, (list, tuple)) or tuple(declared) != size:
        raise ValueError(f"RLE size must be {list(size)}, got {brief(declared)}")
    counts = value.get("counts")
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        return Rle(size, counts)
    if isinstance(counts, list):
        return _compress(counts, size)
    raise ValueError(f"RLE counts must be a string or a list, got {brief(counts)}")


def check_run_lengths(counts: NDArray[np.int64], size: Size) -> None:
    """Raise ValueError where a count is negative or they do not sum to H*W."""
    pixels = size[0] * size[1]
    if len(counts) and counts.min() < 0:
        raise ValueError(f"RLE counts must not be negative, got {counts.min()}")
    # The single counts are compared first, so that the sum cannot overflow.
    total = pixels + 1 if len(counts) and counts.max() > pixels else int(counts.sum())
    if total != pixels:
        got = "more" if total > pixels else total
        raise ValueError(f"RLE counts must sum to {size[0]}x{size[1]} = {pixels}, got {got}")


def _compress(values: list[object], size: Size) -> Rle:
    """Turn a list of run lengths into the compressed form."""
    pixels = size[0] * size[1]
    # All at once first: there are hundreds of thousands of lists of hundreds of numbers.
    if not {*map(type, values)} <= {int} or (values and not _within(values, pixels)):
        _refuse_count(values, pixels)
    counts = np.array(values, dtype=np.int64)
    check_run_lengths(counts, size)
    encoded = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)
    return Rle(size, encoded["counts"].decode("ascii"))


def _within(values: list[Any], pixels: int) -> bool:
    return bool(min(values) >= 0 and max(values) <= pixels)


def _refuse_count(values: list[object], pixels: int) -> None:
    """Raise ValueError about the first run length that cannot be."""
    for value in values:
        if type(value) is not int:
            raise ValueError(f"RLE counts must be integers, got {brief(value)}")
        if value > pixels:
            raise ValueError(f"RLE counts must be at most {pixels}, got {value}")
        if value < 0:
            raise ValueError(f"RLE counts must not be negative, got {value}")


def _parse_numbers(text: str) -> NDArray[np.int64]:
    """Read the signed numbers of a compressed string."""
    if not text.isascii():
        raise ValueError("RLE counts hold a character that is not ASCII")
    digits = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - ord("0")
    if len(digits) == 0:
        raise ValueError("RLE counts are empty")
    if digits.min() < 0 or digits.max() > 63:
        raise ValueError("RLE counts hold a character outside '0'..'o'")
    ends = np.flatnonzero((digits & 32) == 0)
    if len(ends) == 0 or ends[-1] != len(digits) - 1:
        raise ValueError("RLE counts end inside a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError("RLE counts hold a number that is too large")
    digit = np.arange(len(digits)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & 31) << (5 * digit), starts)
    negative = (digits[ends] & 16) != 0
    return numbers - (negative.astype(np.int64) << (5 * lengths))


def _undo_differences(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn the stored numbers into run lengths: from index 3 on, add the count before last."""
    counts = numbers.copy()
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts


def _parse_polygons(value: Sequence[object], size: Size) -> Polygons:
    """Check a list of polygons; pycocotools allocates by the length of their outline."""
    if not value:
        raise ValueError("a mask must have a polygon, got an empty list")
    return Polygons(size, tuple(_parse_ring(ring, size) for ring in value))


def _parse_ring(ring: object, size: Size) -> array[float]:
    if not isinstance(ring, list):
        raise ValueError(f"a polygon must be a list of numbers, got {brief(ring)}")
    if len(ring) < 6 or len(ring) % 2:
        raise ValueError(f"a polygon must have x, y of 3 corners or more, got {len(ring)} numbers")
    try:
        corners = array("d", ring)
    except (TypeError, OverflowError):
        wrong = next(value for value in ring if not _is_number(value))
        raise ValueError(f"a polygon must be a list of numbers, got {brief(wrong)}") from None
    _check_near(corners[0::2], size[1], "x")
    _check_near(corners[1::2], size[0], "y")
    return corners


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1000)


def _check_near(values: array[float], side: int, axis: str) -> None:
    """Allow corners outside the image, as real files have them, but not by more than a side."""
    # Not a number is not found by comparing, but it passes into the sum.
    if math.isfinite(sum(values)) and -side <= min(values) and max(values) <= 2 * side:
        return
    wrong = next(value for value in values if not -side <= value <= 2 * side)
    raise ValueError(f"polygon {axis} must be in [{-side}, {2 * side}], got {wrong:g}")
