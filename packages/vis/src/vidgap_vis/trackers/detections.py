"""What the network says of one frame, on the CPU, and what trackers ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """What the segmenter says of one frame.

    Attributes:
        class_probabilities: (Q, K) float32, as `ClipOutput.class_probabilities` gives them.
        embeddings: (Q, C) float32.
        masks: (Q, h, w) bool, at any one stride.
    """

    class_probabilities: Floats
    embeddings: Floats
    masks: Bools

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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of queries, classes and channels, which all frames of a video share."""
        return (*self.class_probabilities.shape, self.embeddings.shape[1])


def detections_of(output: ClipOutput, class_weights: Tensor | None = None) -> list[Detections]:
    """Bring a network's answer to the CPU, frame by frame, in one transfer.

    Args:
        output: of one clip of T frames, on any device.
        class_weights: (K,), by which class probabilities are multiplied: 0 leaves a class out.

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
    rows, columns = output.mask_extent
    masks = output.mask_logits[0, ..., :rows, :columns] > 0  # (Q, T, h, w)
    answers = (probabilities, output.embeddings[0].float(), masks)
    return [
        Detections(*frame)
        for frame in zip(*(to_host([part.transpose(0, 1) for part in answers])), strict=True)
    ]


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[np.generic]]:
    """Copy tensors to the CPU in one transfer.

    Args:
        tensors: of one device; those of wider elements first.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.numpy() for tensor in tensors]
    packed = torch.cat([tensor.contiguous().view(torch.uint8).flatten() for tensor in tensors])
    return unpacked(packed.cpu(), tensors)


def unpacked(packed: Tensor, like: Sequence[Tensor]) -> list[npt.NDArray[np.generic]]:
    """Cut bytes (n,) on the CPU into arrays of the shapes and dtypes of tensors."""
    parts = packed.split([tensor.numel() * tensor.element_size() for tensor in like])
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
    """Return vectors (N, C) at length 1."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
