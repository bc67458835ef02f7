"""Track one video of any length: frames in, tracks out, bounded state between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.classes import ClassList
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.masks import finish_masks
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import ClipTracks, Tracker, VideoTracks, detections_of
from vidgap_vis.trackers.base import Need

AnyFrame = npt.NDArray[np.uint8] | Image.Image | Tensor
AnyFrameT = TypeVar("AnyFrameT", npt.NDArray[np.uint8], Image.Image, Tensor)

OF_DETECTIONS: frozenset[Need] = frozenset({"boxes", "class_logits"})
"""What a tracker may read of detections besides class probabilities, embeddings and masks."""


class Stream:
    """Tracks one video frame by frame; `VideoSegmenter.stream` makes it.

    A context manager; leaving it frees the state.

    Calling it with a frame returns the result of the frame `latency - 1` calls ago: None during
    the first `latency - 1` calls, the frame's own result with a latency of 1. `flush` returns
    the outstanding results, and `finish` ranks the tracks of the video.

    Args:
        step: the model.
        tracker: a new one.
        classes: what the model's labels mean.
        latency: frames that the model sees at once.
        score_threshold: results leave out tracks whose score is below it.
    """

    def __init__(
        self,
        step: ModelStep,
        tracker: Tracker,
        classes: ClassList,
        latency: int,
        score_threshold: float,
    ) -> None:
        if latency < 1:
            raise ValueError(f"latency must be at least 1 frame, got {latency}")
        if tracker.offline:
            raise ValueError("tracker must give masks as frames come; it wants the whole video")
        self.step = step
        self.tracker = tracker
        self.classes = classes
        self.latency = latency
        self.score_threshold = score_threshold
        self._state: TemporalState | None = None
        self._size: tuple[int, int] | None = None
        self._waiting: list[Tensor] = []  # frames not yet given to the model, (H, W, 3)
        self._ready: deque[FrameResult] = deque()
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the state and all that was not flushed."""
        self._closed = True
        self._state = None
        self._waiting.clear()
        self._ready.clear()

    def __call__(self, frame: AnyFrame) -> FrameResult | None:
        """Take the next frame; return the result of the frame `latency - 1` calls ago.

        Args:
            frame: RGB: an ndarray (H, W, 3) uint8, a PIL image, or a tensor (3, H, W) uint8.

        Raises:
            ValueError: the frame is none of these, its size differs from the first one's, or the
                stream is closed.
        """
        if self._closed:
            raise ValueError("the stream is closed; open another with VideoSegmenter.stream()")
        pixels = as_pixels(frame)
        size = (pixels.shape[0], pixels.shape[1])
        if self._size not in (None, size):
            raise ValueError(f"every frame of a stream must be {self._size}, got {size}")
        self._size = size
        self._waiting.append(pixels)
        if len(self._waiting) == self.latency:
            self._advance(size)
        return self._ready.popleft() if self._ready else None

    def flush(self) -> list[FrameResult]:
        """Run the model on the waiting frames; return all outstanding results in order."""
        if self._waiting and self._size is not None:
            self._advance(self._size)
        results = list(self._ready)
        self._ready.clear()
        return results

    def track(self, frames: Iterable[AnyFrameT]) -> Iterator[tuple[AnyFrameT, FrameResult]]:
        """Yield every frame of a video with its result; holds `latency` frames at most."""
        pending: deque[AnyFrameT] = deque()
        for frame in frames:
            pending.append(frame)
            result = self(frame)
            if result is not None:
                yield pending.popleft(), result
        for result in self.flush():
            yield pending.popleft(), result

    def finish(self) -> VideoTracks:
        """Rank the tracks of the frames that the model has seen; `flush` before.

        Only masks that were returned in results count, so the score threshold should be 0.
        """
        ranked = self.tracker.finish()
        kept = np.flatnonzero(self.step.class_weights.cpu().numpy()[ranked.labels])
        return VideoTracks(ranked.ids[kept], ranked.labels[kept], ranked.scores[kept])

    @torch.inference_mode()
    def _advance(self, size: tuple[int, int]) -> None:
        """Run the model and the tracker over the waiting frames."""
        # A frame at which a step fails is not given to the next one.
        frames, self._waiting = self._waiting, []
        reads_heads = bool(self.tracker.needs - OF_DETECTIONS)
        output, self._state = self.step(frames, self._state, with_head_inputs=reads_heads)
        if reads_heads:
            tracks = self.tracker.step(output)
            kept = self.step.class_weights.cpu().numpy().astype(np.float32)
            tracks = replace(tracks, class_scores=tracks.class_scores * kept)
        else:
            weights = self.step.class_weights
            tracks = self.tracker.step(detections_of(output, weights, self.tracker.needs))
        queries = torch.from_numpy(tracks.queries).to(output.mask_logits.device)  # (N, T)
        for time in range(len(frames)):
            self._ready.append(self._result(output, tracks, queries[:, time], time, size))

    def _result(
        self,
        output: ClipOutput,
        tracks: ClipTracks,
        queries: Tensor,
        time: int,
        size: tuple[int, int],
    ) -> FrameResult:
        """Make the masks of frame `time` of a step; `queries` (N,) is its column, on the device."""
        rows = tracks.visible(time)
        # A score is at most the best class score.
        rows = rows[tracks.class_scores[rows, time].max(axis=1) >= self.score_threshold]
        if tracks.mask_logits is not None:
            logits = tracks.mask_logits[rows, time]
        else:
            logits = output.mask_logits[0, queries[rows], time]  # (N, h, w)
        masks = finish_masks(output, logits, size, tracks.mask_resize)
        self.tracker.score_masks(tracks.ids[rows], masks.scores, masks.areas)
        result = FrameResult.of(tracks, time, rows, size, masks, self.classes)
        return result.above(self.score_threshold)


def as_pixels(frame: AnyFrame) -> Tensor:
    """Return a copy of a frame as (H, W, 3) uint8, on the device where it is.

    Raises:
        ValueError: it is not an ndarray (H, W, 3) uint8, a PIL image or a tensor (3, H, W) uint8.
    """
    if isinstance(frame, Image.Image):
        frame = np.array(frame.convert("RGB"))
    if isinstance(frame, np.ndarray):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        return torch.from_numpy(np.array(frame))  # a copy: the caller's may change
    if isinstance(frame, Tensor):
        if frame.ndim != 3 or frame.shape[0] != 3 or frame.dtype != torch.uint8:
            raise ValueError(
                f"frame must be (3, H, W) uint8, got {tuple(frame.shape)} {frame.dtype}"
            )
        return frame.permute(1, 2, 0).clone()
    raise ValueError(
        f"frame must be an ndarray, a PIL image or a tensor, got {type(frame).__name__}"
    )
