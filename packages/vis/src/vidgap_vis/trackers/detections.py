"""What the network predicts for one frame, on the CPU, and what trackers compute from it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_NUMPY_HAS = (torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class LogitMasks:
    """Masks that are made of their logits when they are read: most queries show nothing.

    Attributes:
        logits: (Q, h, w) floating; a mask is where they are above 0.
    """

    logits: npt.NDArray[np.floating]

    @property
    def shape(self) -> tuple[int, ...]:
        """(Q, h, w)."""
        return self.logits.shape

    @property
    def ndim(self) -> int:
        """3."""
        return self.logits.ndim

    @property
    def dtype(self) -> np.dtype[np.bool_]:
        """Of the masks: bool."""
        return np.dtype(np.bool_)

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, rows: Ints) -> Bools:
        """Return the masks of rows (R,), (R, h, w) bool."""
        masks = np.empty((len(rows), *self.shape[1:]), np.bool_)
        for mask, row in zip(masks, rows.tolist(), strict=True):
            np.greater(self.logits[row], 0, out=mask)
        return masks

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return all masks."""
        if copy is False:
            raise ValueError("masks of logits are made when they are read: copy must not be False")
        return np.asarray(self.logits > 0, dtype)


@dataclass(frozen=True)
class Detections:
    """What the segmenter predicts for one frame.

    Attributes:
        class_probabilities: (Q, K) float32, as `ClipOutput.class_probabilities` gives them.
        embeddings: (Q, C) float32.
        masks: (Q, h, w) bool, at any one stride; or what makes them when they are read.
        boxes: (Q, 4) float32, as `ClipOutput.boxes`; None: not asked for, or the network has none.
        class_logits: (Q, K+1) or (Q, K) float32, as `ClipOutput.class_logits`; None: not asked for.
    """

    class_probabilities: Floats
    embeddings: Floats
    masks: Bools | LogitMasks
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
        class_weights: (K,), by which class probabilities are multiplied: 0 leaves a class out.
            Logits stay, of which a softmax makes what all classes share.
        needs: "boxes" and "class_logits" if they are wanted too.

    Returns:
        T of them, masks at stride 4 without the padding; on the CPU they are made when they are
        read.

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
        parts["class_logits"] = output.class_logits[0].float()  # (Q, T, K+1) or (Q, T, K)
    rows, columns = output.mask_extent
    masks = output.mask_logits[0, ..., :rows, :columns]  # (Q, T, h, w)
    on_demand = masks.device.type == "cpu" and masks.dtype in _NUMPY_HAS
    parts["masks"] = masks.detach() if on_demand else masks > 0
    arrays = to_host([part.transpose(0, 1) for part in parts.values()])  # (T, Q, ...)
    frames = [dict(zip(parts, frame, strict=True)) for frame in zip(*arrays, strict=True)]
    if on_demand:
        frames = [frame | {"masks": LogitMasks(frame["masks"])} for frame in frames]
    return [Detections(**frame) for frame in frames]


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


def normalised(vectors: Floats) -> Floats:
    """Return vectors (N, C) at length 1, in their own dtype."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Floats = vectors / np.maximum(norms, 1e-12)
    return units


def check_finite(embeddings: Floats) -> None:
    """Refuse embeddings (Q, C) of which one is not finite: it would break all identities."""
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite, got nan or inf")
