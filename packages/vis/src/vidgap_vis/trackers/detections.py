"""What the network predicts for one frame, on the CPU, and what trackers compute from it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_segmenter import ClipOutput

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_PAIRS_AT_ONCE = 2048
"""Of masks whose overlaps are counted together: bounds the memory."""


@dataclass(frozen=True)
class Detections:
    """What the segmenter predicts for one frame.

    Attributes:
        class_probabilities: (Q, K) float32, as `ClipOutput.class_probabilities` gives them.
        embeddings: (Q, C) float32.
        masks: (Q, h, w) bool, at any one stride.
        boxes: (Q, 4) float32, as `ClipOutput.boxes`; None: not asked for, or the network has none.
        class_logits: (Q, K+1) or (Q, K) float32, as `ClipOutput.class_logits`; None: not asked for.
    """

    class_probabilities: Floats
    embeddings: Floats
    masks: Bools
    boxes: Floats | None = None
    class_logits: Floats | None = None

    def __post_init__(self) -> None:
        num = len(self.class_probabilities)
        if self.class_probabilities.ndim != 2 or self.class_probabilities.shape[1] < 1:
            raise ValueError(
                f"class_probabilities must be (Q, K), got {self.class_probabilities.shape}"
            )
        if self.embeddings.ndim != 2 or len(self.embeddings) != num:
            raise ValueError(f"embeddings must be ({num}, C), got {self.embeddings.shape}")
        if self.masks.ndim != 3 or len(self.masks) != num or self.masks.dtype != np.bool_:
            raise ValueError(
                f"masks must be ({num}, h, w) bool, got {self.masks.shape} {self.masks.dtype}"
            )
        if self.boxes is not None and self.boxes.shape != (num, 4):
            raise ValueError(f"boxes must be ({num}, 4), got {self.boxes.shape}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of queries, classes and channels, which all frames of a video share."""
        return (*self.class_probabilities.shape, self.embeddings.shape[1])


def detections_of(
    output: ClipOutput, class_weights: Tensor | None = None, needs: Container[str] = ()
) -> list[Detections]:
    """Bring a network's output to the CPU, frame by frame, in one transfer.

    Args:
        output: of one clip of T frames, on any device.
        class_weights: (K,), by which class probabilities are multiplied: 0 leaves a class out,
            and makes its logits -inf.
        needs: "boxes" and "class_logits" if they are wanted too.

    Returns:
        T of them, masks at stride 4 without the padding.

    Raises:
        ValueError: the output holds more than one clip.
    """
    if len(output.class_logits) != 1:
        raise ValueError(f"output must hold one clip, got {len(output.class_logits)}")
    probabilities = output.class_probabilities[0].float()  # (Q, T, K)
    if class_weights is not None:
        probabilities = probabilities * class_weights.to(probabilities)
    parts = {"class_probabilities": probabilities, "embeddings": output.embeddings[0].float()}
    if "boxes" in needs and output.boxes is not None:
        parts["boxes"] = output.boxes[0].float()
    if "class_logits" in needs:
        logits = output.class_logits[0].float()  # (Q, T, K+1) or (Q, T, K)
        if class_weights is not None:
            left_out = F.pad(class_weights == 0, (0, logits.shape[-1] - len(class_weights)))
            logits = logits.masked_fill(left_out.to(logits.device), -torch.inf)
        parts["class_logits"] = logits
    rows, columns = output.mask_extent
    parts["masks"] = output.mask_logits[0, ..., :rows, :columns] > 0  # (Q, T, h, w)
    arrays = to_host([part.transpose(0, 1) for part in parts.values()])  # (T, Q, ...)
    return [
        Detections(**dict(zip(parts, frame, strict=True))) for frame in zip(*arrays, strict=True)
    ]


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Copy tensors to the CPU in one transfer.

    Args:
        tensors: of one device; those of wider elements first.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.numpy() for tensor in tensors]
    return unpacked(packed(tensors).cpu(), tensors)


def packed(tensors: Sequence[Tensor]) -> Tensor:
    """Return the bytes of tensors one after another, (n,) uint8."""
    return torch.cat([tensor.contiguous().view(torch.uint8).flatten() for tensor in tensors])


def unpacked(data: Tensor, like: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Cut bytes (n,) on the CPU into arrays of the shapes and dtypes of tensors."""
    parts = data.split([tensor.numel() * tensor.element_size() for tensor in like])
    return [
        part.view(tensor.dtype).view(tensor.shape).numpy()
        for part, tensor in zip(parts, like, strict=True)
    ]


def mask_iou(first: Bools, second: Bools) -> Floats:
    """Return the IoU of each pair of masks, (N, h, w) and (M, h, w) bool -> (N, M) float32."""
    pixels = first.shape[1] * first.shape[2]  # not -1: there may be no mask
    rows = first.reshape(len(first), pixels).astype(np.float32)
    columns = second.reshape(len(second), pixels).astype(np.float32)
    shared = rows @ columns.T
    union = rows.sum(axis=1)[:, None] + columns.sum(axis=1)[None] - shared
    return (shared / np.maximum(union, 1)).astype(np.float32)


def normalised(vectors: Floats) -> Floats:
    """Return vectors (N, C) at length 1, in their own dtype."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Floats = vectors / np.maximum(norms, 1e-12)
    return units


def check_finite(embeddings: Floats) -> None:
    """Refuse embeddings (Q, C) of which one is not finite: it would break all identities."""
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite, got nan or inf")


def without_duplicates(masks: Bools, iou: float, epsilon: float = 0.0) -> Ints:
    """Return which masks (N, h, w), in their order, do not overlap an earlier one kept by more.

    Empty masks are duplicates of each other. Overlaps are counted in bits, and only where areas and
    places are similar enough for them.

    Args:
        masks: bool, the best first.
        iou: the largest IoU with one that is kept.
        epsilon: added to intersections and unions, in pixels, by which equality is more (IDOL).
    """
    rows = packed_masks(masks)
    areas = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    smaller, larger = np.minimum.outer(areas, areas), np.maximum.outer(areas, areas)
    filled = (rows != 0).astype(np.float32)  # words of 64 cells
    most = np.minimum(smaller, 64 * (filled @ filled.T))  # cells that two can share
    similar = most + epsilon >= iou * (larger + epsilon)
    later, earlier = np.nonzero(np.tri(len(rows), k=-1, dtype=np.bool_) & similar)
    kept = np.ones(len(rows), np.bool_)
    for first in range(0, len(later), _PAIRS_AT_ONCE):  # in the order of `later`
        one, other = later[first : first + _PAIRS_AT_ONCE], earlier[first : first + _PAIRS_AT_ONCE]
        shared = np.bitwise_count(rows[one] & rows[other]).sum(axis=1, dtype=np.int64)
        union = areas[one] + areas[other] - shared
        over = (shared + epsilon > iou * (union + epsilon)) | (union == 0)
        first_come(kept, one[over], other[over])
    return np.flatnonzero(kept)


def first_come(kept: Bools, later: Ints, earlier: Ints) -> Bools:
    """Drop from `kept` (N,), in place, what an earlier one that is kept excludes; return it.

    Args:
        kept: what has not been dropped yet.
        later: (R,), rising, one of each pair that cannot both be kept.
        earlier: (R,), the other, which comes first.
    """
    for index, before in zip(later.tolist(), earlier.tolist(), strict=True):
        kept[index] &= not kept[before]
    return kept


def packed_masks(masks: Bools) -> npt.NDArray[np.uint64]:
    """Return masks (N, h, w) as rows of bits, (N, ceil(h * w / 64)) uint64."""
    bits = np.packbits(masks.reshape(len(masks), masks[0].size if len(masks) else 0), axis=1)
    missing = -bits.shape[1] % 8
    whole = np.pad(bits, ((0, 0), (0, missing))) if missing else bits  # padding copies all
    return whole.view(np.uint64)
