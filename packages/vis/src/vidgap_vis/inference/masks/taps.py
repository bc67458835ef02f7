"""Both resizings of mask logits, and the crop between them, as one map: what each pixel reads.

Weights are those that PyTorch computes, in float32.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vidgap_segmenter.inference import Resize
from vidgap_vis.formats.rle import Size


@dataclass(frozen=True, eq=False)
class Taps:
    """What the outputs of one axis read.

    Attributes:
        index: (size, taps) int32, of the inputs; one may stand there twice.
        weight: (size, taps) float32, 0 or more.
    """

    index: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        self.index.setflags(write=False)
        self.weight.setflags(write=False)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def count(self) -> int:
        """Of each output."""
        return self.index.shape[1]

    def then(self, other: Taps) -> Taps:
        """Return the taps of `other`, whose inputs are (the first of) these outputs."""
        index = self.index[other.index]  # (size, taps of other, taps)
        weight = other.weight[..., None] * self.weight[other.index]
        return Taps(index.reshape(len(other), -1), weight.reshape(len(other), -1))


class Resizing(NamedTuple):
    """From the logits of a frame to its masks.

    Attributes:
        shape: (h, w) of the logits.
        padded_size: (H, W) that they are enlarged to, bilinearly.
        frame_size: (H, W) that is kept of it.
        size: (H, W) of the masks.
        resize: how they get it.
    """

    shape: Size
    padded_size: Size
    frame_size: Size
    size: Size
    resize: Resize

    @property
    def pixels(self) -> int:
        """Of a mask."""
        return self.size[0] * self.size[1]


@functools.lru_cache(maxsize=32)
def taps_of(resizing: Resizing) -> tuple[Taps, Taps]:
    """Return the taps of rows and columns."""
    shape, padded_size, frame_size, size, resize = resizing
    rows, columns = (
        _bilinear(inputs, padded) if shape != padded_size else _same(inputs)
        for inputs, padded in zip(shape, padded_size, strict=True)
    )
    if frame_size == size:
        return rows.then(_same(size[0])), columns.then(_same(size[1]))
    finish = {"bilinear": _bilinear, "nearest": _nearest}[resize]
    return (
        rows.then(finish(frame_size[0], size[0])),
        columns.then(finish(frame_size[1], size[1])),
    )


def _same(size: int) -> Taps:
    return Taps(np.arange(size, dtype=np.int32)[:, None], np.ones((size, 1), np.float32))


def _nearest(inputs: int, outputs: int) -> Taps:
    scale = np.float32(inputs) / np.float32(outputs)
    below = np.floor(np.arange(outputs, dtype=np.float32) * scale)
    index = np.minimum(below, inputs - 1).astype(np.int32)
    return Taps(index[:, None], np.ones((outputs, 1), np.float32))


def _bilinear(inputs: int, outputs: int) -> Taps:
    scale = np.float32(inputs) / np.float32(outputs)
    # Product and difference are rounded once, as by the processors' multiply-add.
    position = (np.arange(outputs) + 0.5) * np.float64(scale) - 0.5
    position = np.maximum(position.astype(np.float32), 0)
    below = np.minimum(position.astype(np.int32), inputs - 1)
    above = np.minimum(below + (inputs != outputs), inputs - 1)
    part = np.clip(position - below, 0, 1).astype(np.float32)
    return Taps(np.stack([below, above], axis=1), np.stack([1 - part, part], axis=1))
