"""Track one video of any length: frames in, tracks out, bounded state between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.classes import ClassList
from vidgap_vis.inference.clip_results import clip_results, of_kept_classes, without_classes
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import Tracker, VideoTracks, detections_of
from vidgap_vis.trackers.base import Need

AnyFrame = npt.NDArray[np.uint8] | Image.Image | Tensor
AnyFrameT = TypeVar("AnyFrameT", npt.NDArray[np.uint8], Image.Image, Tensor)

OF_DETECTIONS: frozenset[Need] = frozenset({"boxes", "class_logits"})
"""What a tracker may read of detections besides class probabilities, embeddings and masks."""

OF_OUTPUT: frozenset[Need] = frozenset({"mask_logits"})
"""What it may read of any network's output besides."""


class Stream:
    """Tracks one video frame by frame; `VideoSegmenter.stream` makes it.

    A context manager; leaving it frees the state.

    Calling it with a frame returns the result of the frame `latency - 1` calls ago: None during
    the first `latency - 1` calls, the frame's own result with a latency of 1. `flush` returns
    the outstanding results, and `finish` ranks the tracks of the video.

    Where the tracker links clips by frames that they share, the last frames of a clip are kept, and
    the model sees them again as the first of the next one. They are returned once, and they do not
    advance the temporal module's state twice.

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
            raise ValueError(
                "tracker must give masks as frames come; it wants the whole video before, which a "
                "stream, as of a camera, never has (VideoSegmenter.track takes a video that ends)"
            )
        if latency % tracker.clip_frames:
            raise ValueError(
                f"latency must be a multiple of the tracker's clips of {tracker.clip_frames} "
                f"frames, got {latency}"
            )
        if tracker.repeated and latency != tracker.clip_frames:
            raise ValueError(
                f"latency must be the tracker's clip_frames ({tracker.clip_frames}), as queries "
                f"are instances of a whole clip, got {latency}"
            )
        self.step = step
        self.tracker = tracker
        self.classes = classes
        self.latency = latency
        self.score_threshold = score_threshold
        self._state: TemporalState | None = None
        self._size: tuple[int, int] | None = None
        self._waiting: list[Tensor] = []  # frames not yet given to the model, (H, W, 3)
        self._shared: list[Tensor] = []  # the last ones that it has seen, to be repeated
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
        self._shared.clear()
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
        if len(self._shared) + len(self._waiting) == self.latency:
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
        return of_kept_classes(self.tracker.finish(), self.step)

    @torch.inference_mode()
    def _advance(self, size: tuple[int, int]) -> None:
        """Run the model and the tracker over the waiting frames, after those that are shared."""
        # A frame at which a step fails is not given to the next one.
        frames, self._waiting = [*self._shared, *self._waiting], []
        repeated, repeated_next = len(self._shared), min(self.tracker.repeated, len(frames))
        reads = self.tracker.needs - OF_DETECTIONS
        output, state = self.step(
            frames,
            self._state,
            with_head_inputs=bool(reads - OF_OUTPUT),
            repeated_next=repeated_next,
        )
        if reads:
            with self.step.autocast():
                tracks = without_classes(self.tracker.step(output, repeated), self.step)
        else:
            weights = self.step.class_weights
            found = detections_of(output, weights, self.tracker.needs)
            tracks = self.tracker.step(found, repeated)
        self._state, self._shared = state, frames[len(frames) - repeated_next :]
        self._ready += clip_results(
            output, tracks, self.tracker, size, self.classes, self.score_threshold, repeated
        )


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
