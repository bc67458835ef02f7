"""The tracks of one frame, as a stream returns them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from vidgap_vis.classes import ClassList
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.masks import FrameMasks
from vidgap_vis.trackers import ClipTracks
from vidgap_vis.trackers.base import Span


@dataclass(frozen=True)
class FrameResult:
    """The tracks that are visible in one frame, smallest id first.

    Attributes:
        frame_index: 0 for the stream's first frame.
        size: (H, W) of the frame, and of the masks.
        track_ids: (N,) int64, 1, 2, ...
        labels: (N,) int64, the class with the best average over the track's frames so far.
        scores: (N,) float32, that average times this frame's mask score.
        rles: the N masks.
        class_scores: (N, K) float32, the averages themselves.
        mask_scores: (N,) float32, mean mask probability over each mask's pixels in this frame.
        classes: the model's classes.
        retracted: (id, first frame, last frame) of what earlier steps had and is taken back; it
            comes with a step's first frame, as the step may list the track anew.
        ended: tracks that will not be seen again.
    """

    frame_index: int
    size: tuple[int, int]
    track_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    rles: tuple[Rle, ...]
    class_scores: npt.NDArray[np.float32]
    mask_scores: npt.NDArray[np.float32]
    classes: ClassList
    retracted: tuple[Span, ...] = ()
    ended: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        num = len(self.track_ids)
        arrays = (self.labels, self.scores, self.class_scores, self.mask_scores)
        lengths = [*(len(array) for array in arrays), len(self.rles)]
        if any(length != num for length in lengths):
            raise ValueError(f"every field must hold {num} tracks, got {lengths}")

    @classmethod
    def of(
        cls,
        tracks: ClipTracks,
        time: int,
        rows: npt.NDArray[np.int64],
        size: tuple[int, int],
        masks: FrameMasks,
        classes: ClassList,
    ) -> FrameResult:
        """Combine the tracks of a frame with their masks.

        Args:
            tracks: of the step that the frame is in.
            time: its index there, 0..T-1.
            rows: (N,), which of the step's tracks.
            size: (H, W) of the frame.
            masks: of these N tracks.
            classes: the model's.
        """
        class_scores = tracks.class_scores[rows, time].reshape(len(rows), len(classes))
        last = time == tracks.queries.shape[1] - 1
        return cls(
            frame_index=tracks.first_frame + time,
            size=size,
            track_ids=tracks.ids[rows],
            labels=class_scores.argmax(axis=1).astype(np.int64),
            scores=class_scores.max(axis=1) * masks.scores,
            rles=masks.rles,
            class_scores=class_scores,
            mask_scores=masks.scores,
            classes=classes,
            retracted=tracks.retracted if time == 0 else (),
            ended=tracks.ended if last else (),
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def names(self) -> tuple[str, ...]:
        """The class name of each track."""
        return tuple(self.classes[label].name for label in self.labels)

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """The masks, (N, H, W) bool; decoded from `rles` every time they are asked for."""
        masks = np.zeros((len(self), *self.size), np.bool_)
        for mask, rle in zip(masks, self.rles, strict=True):
            mask[:] = rle.decode()
        return masks

    def above(self, score: float) -> FrameResult:
        """Return the tracks whose score is at least this."""
        keep = np.flatnonzero(self.scores >= score)
        return replace(
            self,
            track_ids=self.track_ids[keep],
            labels=self.labels[keep],
            scores=self.scores[keep],
            rles=tuple(self.rles[index] for index in keep),
            class_scores=self.class_scores[keep],
            mask_scores=self.mask_scores[keep],
        )

    def to_supervision(self) -> Any:
        """Return the same as `supervision.Detections`, whose annotators draw it.

        Raises:
            ImportError: supervision is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ImportError as error:
            raise ImportError(
                "to_supervision() needs the package supervision: pip install 'vidgap-vis[viz]'"
            ) from error
        boxes = np.zeros((0, 4), np.float32)
        if self.rles:
            boxes = coco_mask.toBbox([rle.to_dict() for rle in self.rles]).astype(
                np.float32
            )  # x, y, width, height
            boxes[:, 2:] += boxes[:, :2]
        return supervision.Detections(
            xyxy=boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            tracker_id=self.track_ids,
            data={"class_name": np.array(self.names, dtype=str)},
        )
