"""Instances of one frame as other people's models return them, made one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Size = tuple[int, int]

MASK_THRESHOLD = 0.5
"""Of masks that are probabilities, as torchvision's."""


@dataclass(frozen=True)
class Instances:
    """The instances of a frame.

    Attributes:
        masks: (N, H, W) bool.
        scores: (N,), 0..1.
        labels: (N,), indices of classes.
        embeddings: (N, C), by which the same instance looks alike in all frames; None: there are
            none, and masks alone tell.

    Raises:
        ValueError: a shape, a number or a type is wrong.
    """

    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or self.masks.dtype != np.bool_:
            raise ValueError(
                f"masks must be (N, H, W) bool, got {self.masks.shape} {self.masks.dtype}"
            )
        num = len(self.masks)
        for name in ("scores", "labels"):
            value = getattr(self, name)
            if value.shape != (num,):
                raise ValueError(f"{name} must be ({num},), one a mask, got {value.shape}")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ValueError(f"scores must be in 0..1, got {self.scores.tolist()}")
        looks = self.embeddings
        if looks is not None and (looks.ndim != 2 or len(looks) != num):
            raise ValueError(f"embeddings must be ({num}, C), got {looks.shape}")
        if looks is not None and not np.isfinite(looks).all():
            raise ValueError("embeddings must be finite, got nan or inf")

    @classmethod
    def of(cls, found: Any, size: Size | None = None) -> Instances:
        """Read what a model found in a frame.

        Args:
            found: one of

                - `Instances`;
                - `supervision.Detections` with masks;
                - a mapping with `masks` (N, H, W) or (N, 1, H, W), bool, or probabilities of which
                  those above 0.5 count, `scores` and `labels`, and perhaps `embeddings`: what
                  torchvision's detectors return of an image, or arrays;
                - a mapping with `segmentation` and `segments_info`: what Hugging Face's
                  `post_process_instance_segmentation` returns of an image, as a map of ids or, with
                  `return_binary_maps`, as masks.
            size: (H, W) of the frame, for what holds no mask of any; None: as the masks.

        Raises:
            ValueError: it is none of these, or wrong.
        """
        if isinstance(found, Instances):
            return found
        if isinstance(found, Mapping) and "segments_info" in found:
            return cls._of_segments(found["segmentation"], found["segments_info"], size)
        if isinstance(found, Mapping) and "masks" in found:
            missing = [name for name in ("scores", "labels") if name not in found]
            if missing:
                raise ValueError(f"instances must have {missing[0]}, got {', '.join(found)}")
            return cls._of_arrays(
                found["masks"], found["scores"], found["labels"], found.get("embeddings"), size
            )
        if hasattr(found, "class_id") and hasattr(found, "confidence"):  # of supervision
            if len(found) and (found.mask is None or found.class_id is None):
                raise ValueError(
                    "supervision.Detections must have masks and class ids to be tracked"
                )
            scores = np.ones(len(found)) if found.confidence is None else found.confidence
            labels = np.zeros(0) if found.class_id is None else found.class_id
            return cls._of_arrays(found.mask, scores, labels, None, size)
        raise ValueError(
            "instances must be Instances, supervision.Detections, or a mapping with masks, scores "
            f"and labels or with segmentation and segments_info, got {type(found).__name__}"
        )

    @classmethod
    def _of_arrays(
        cls, masks: Any, scores: Any, labels: Any, embeddings: Any, size: Size | None
    ) -> Instances:
        shapes = no_masks(size) if masks is None or not len(masks) else array(masks)
        if shapes.ndim == 4 and shapes.shape[1] == 1:
            shapes = shapes[:, 0]
        if shapes.dtype != np.bool_:
            shapes = shapes > (MASK_THRESHOLD if shapes.dtype.kind == "f" else 0)
        looks = None if embeddings is None else array(embeddings).astype(np.float32)
        return cls(shapes, array(scores).astype(np.float32), array(labels).astype(np.int64), looks)

    @classmethod
    def _of_segments(
        cls, segmentation: Any, segments: list[Mapping[str, Any]], size: Size | None
    ) -> Instances:
        shapes = no_masks(size)
        if segmentation is not None and segments:
            shapes = array(segmentation)
            if shapes.ndim == 2:
                shapes = np.stack([shapes == segment["id"] for segment in segments])
        return cls(
            shapes.astype(np.bool_),
            np.array([segment.get("score", 1.0) for segment in segments], np.float32),
            np.array([segment["label_id"] for segment in segments], np.int64),
        )


def no_masks(size: Size | None) -> npt.NDArray[np.bool_]:
    """Return no mask of a size; where none is known, the least one."""
    return np.zeros((0, *(size or (1, 1))), np.bool_)


def array(values: Any) -> npt.NDArray[Any]:
    """Return an array of what may be a tensor, on any device."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    return np.asarray(values)
