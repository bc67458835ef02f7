"""Track one video of any length: frames in, tracks out, bounded state between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.classes import ClassList
from vidgap_vis.inference.clip_results import (
    check_predictions,
    clip_results,
    of_kept_classes,
    without_classes,
)
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.groups import AnyFrame, AnyFrameT, Group, Grouping, groups
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import ClipTracks, Tracker, VideoTracks, detections_of
from vidgap_vis.trackers.base import Need

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
        self._grouping = Grouping(latency, tracker.repeated)
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
        self._grouping.clear()
        self._ready.clear()

    def __call__(self, frame: AnyFrame) -> FrameResult | None:
        """Take the next frame; return the result of the frame `latency - 1` calls ago.

        Args:
            frame: RGB: an ndarray (H, W, 3) uint8, a PIL image, or a tensor (3, H, W) uint8.

        Raises:
            ValueError: the frame is none of these, its size differs from the first one's, the
                stream is closed, or the network predicts no numbers.
        """
        if self._closed:
            raise ValueError("the stream is closed; open another with VideoSegmenter.stream()")
        group = self._grouping.add(frame)
        if group is not None:
            self._advance(group)
        return self._ready.popleft() if self._ready else None

    def flush(self) -> list[FrameResult]:
        """Run the model on the waiting frames; return all outstanding results in order."""
        group = self._grouping.rest()
        if group is not None:
            self._advance(group)
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

    @property
    def with_head_inputs(self) -> bool:
        """Whether the tracker reads what heads read of the network's output."""
        return bool(self.tracker.needs - OF_DETECTIONS - OF_OUTPUT)

    def groups(
        self, frames: Iterable[AnyFrameT], after: tuple[Tensor, ...] | None = None
    ) -> Iterator[Group]:
        """Yield the frames of a video as the model sees them, for `take`.

        Args:
            frames: all of them, or those that are left.
            after: the frames before these that the next group begins with again, where the model
                has seen some.
        """
        return groups(frames, self.latency, self.tracker.repeated, after)

    @torch.inference_mode()
    def take(self, group: Group, output: ClipOutput) -> list[tuple[Any, FrameResult]]:
        """Return each new frame of a group with its result.

        The network may be steps ahead: this reads and changes the tracker alone.

        Args:
            group: the next one; all are given here, or all frames to the stream itself.
            output: of the network, for this group.
        """
        results = self._results(group, output, self._tracks(group, output))
        return list(zip(group.given, results, strict=True))

    @torch.inference_mode()
    def _advance(self, group: Group) -> None:
        """Run the model and the tracker over a group."""
        output, state = self.step(
            group.pixels,
            self._state,
            with_head_inputs=self.with_head_inputs,
            repeated_next=group.repeated_next,
        )
        tracks = self._tracks(group, output)
        self._state = state
        self._grouping.done(group)
        self._ready += self._results(group, output, tracks)

    def _tracks(self, group: Group, output: ClipOutput) -> ClipTracks:
        """Take a step of the tracker."""
        check_predictions(output)
        if self.tracker.needs - OF_DETECTIONS:
            with self.step.autocast():
                tracks = self.tracker.step(output, group.repeated)
        else:
            found = detections_of(output, self.step.class_weights, self.tracker.needs)
            tracks = self.tracker.step(found, group.repeated)
        return without_classes(tracks, self.step)

    def _results(
        self, group: Group, output: ClipOutput, tracks: ClipTracks
    ) -> Iterator[FrameResult]:
        return clip_results(
            output,
            tracks,
            self.tracker,
            group.size,
            self.classes,
            self.score_threshold,
            group.repeated,
        )
