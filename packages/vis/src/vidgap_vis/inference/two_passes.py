"""Track one video that ends, with a tracker that sees all of it before it shows a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

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
from vidgap_vis.inference.groups import AnyFrameT, Group, groups
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.trackers.offline import OfflineTracker


class TwoPasses:
    """Tracks one video in two passes over its frames; `VideoSegmenter.open` makes it.

    `look` takes all frames and keeps what the tracker needs of them; `track` takes the same frames
    once more and yields their results; `finish` ranks the tracks. The network runs twice, and no
    more masks are held than those of `latency` frames.

    Args:
        step: the model.
        tracker: a new one.
        classes: what the model's labels mean.
        latency: frames that the model sees at once.
        score_threshold: results leave out tracks whose score is below it.
    """

    with_head_inputs = True
    """Whether the tracker reads what heads read of the network's output."""

    def __init__(
        self,
        step: ModelStep,
        tracker: OfflineTracker,
        classes: ClassList,
        latency: int,
        score_threshold: float,
    ) -> None:
        if latency < 1:
            raise ValueError(f"latency must be at least 1 frame, got {latency}")
        self.step = step
        self.tracker = tracker
        self.classes = classes
        self.latency = latency
        self.score_threshold = score_threshold
        self._num_frames = 0

    def look(self, frames: Iterable[AnyFrameT]) -> int:
        """Take all frames of the video; return how many there are.

        Args:
            frames: as a `Stream` takes them.

        Raises:
            ValueError: a frame is none, or its size differs from the first one's.
        """
        for group, output in self._outputs(self._first(frames)):
            self.take(group, output)
            self._num_frames += len(group.given)
        return self._num_frames

    def track(self, frames: Iterable[AnyFrameT]) -> Iterator[tuple[AnyFrameT, FrameResult]]:
        """Yield every frame with its result.

        Args:
            frames: those that `look` has taken, again.

        Raises:
            ValueError: they are more or fewer than those.
        """
        for group, output in self._outputs(self._second(frames, self._num_frames)):
            yield from self.take(group, output)

    def groups(self, frames: Iterable[AnyFrameT]) -> Iterator[Group]:
        """Yield the frames of both passes as the model sees them, for `take`.

        Args:
            frames: something that can be gone through twice.

        Raises:
            ValueError: as `look` and `track`.
        """
        num_frames = 0
        for group in self._first(frames):
            num_frames += len(group.given)
            yield group
            del group  # nothing is held while the next frames come
        yield from self._second(frames, num_frames)

    @torch.inference_mode()
    def take(self, group: Group, output: ClipOutput) -> list[tuple[Any, FrameResult]]:
        """Return each frame of a group with its result; none in the first pass.

        The network may be steps ahead: this reads and changes the tracker alone.

        Args:
            group: the next one.
            output: of the network, for this group.
        """
        check_predictions(output)
        if group.look:
            with self.step.autocast():
                self.tracker.step(output)
            return []
        with self.step.autocast():
            tracks = without_classes(self.tracker.masks(output), self.step)
        results = clip_results(
            output, tracks, self.tracker, group.size, self.classes, self.score_threshold
        )
        return list(zip(group.given, results, strict=True))

    def finish(self) -> VideoTracks:
        """Rank the tracks; all frames must have been tracked, with a score threshold of 0."""
        return of_kept_classes(self.tracker.finish(), self.step)

    def _outputs(self, given: Iterable[Group]) -> Iterator[tuple[Group, ClipOutput]]:
        """Run the model over the groups of a pass."""
        state: TemporalState | None = None
        for group in given:
            output, state = self.step(group.pixels, state, with_head_inputs=True)
            yield group, output

    def _first(self, frames: Iterable[AnyFrameT]) -> Iterator[Group]:
        return (replace(group, look=True) for group in groups(frames, self.latency))

    def _second(self, frames: Iterable[AnyFrameT], num_frames: int) -> Iterator[Group]:
        """Yield the groups of the second pass, of as many frames as the first."""
        left = num_frames
        for group in groups(frames, self.latency):
            left -= len(group.given)
            if left < 0:
                break
            yield group
            del group  # nothing is held while the next frames come
        if left:
            few = "fewer" if left > 0 else "more"
            raise ValueError(f"frames must be the {num_frames} of the first pass, got {few}")
