"""Track one video that ends, with a tracker that sees all of it before it shows a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.classes import ClassList
from vidgap_vis.inference.clip_results import clip_results, of_kept_classes, without_classes
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.inference.stream import AnyFrameT, as_pixels
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.trackers.offline import OfflineTracker


class TwoPasses:
    """Tracks one video in two passes over its frames; `VideoSegmenter.two_passes` makes it.

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

    @torch.inference_mode()
    def look(self, frames: Iterable[AnyFrameT]) -> int:
        """Take all frames of the video; return how many there are.

        Args:
            frames: as a `Stream` takes them.

        Raises:
            ValueError: a frame is none, or its size differs from the first one's.
        """
        state: TemporalState | None = None
        for group, _ in self._groups(frames):
            output, state = self._run(group, state)
            with self.step.autocast():
                self.tracker.step(output)
            self._num_frames += len(group)
        return self._num_frames

    def track(self, frames: Iterable[AnyFrameT]) -> Iterator[tuple[AnyFrameT, FrameResult]]:
        """Yield every frame with its result.

        Args:
            frames: those that `look` has taken, again.

        Raises:
            ValueError: they are more or fewer than those.
        """
        state: TemporalState | None = None
        num_frames = 0
        for group, given in self._groups(frames):
            num_frames += len(group)
            if num_frames > self._num_frames:
                break
            with torch.inference_mode():
                output, state = self._run(group, state)
                with self.step.autocast():
                    tracks = without_classes(self.tracker.masks(output), self.step)
                size = (group[0].shape[0], group[0].shape[1])
                results = clip_results(
                    output, tracks, self.tracker, size, self.classes, self.score_threshold
                )
                found = list(results)
            yield from zip(given, found, strict=True)
        if num_frames != self._num_frames:
            few = "fewer" if num_frames < self._num_frames else "more"
            raise ValueError(f"frames must be the {self._num_frames} of the first pass, got {few}")

    def finish(self) -> VideoTracks:
        """Rank the tracks; all frames must have been tracked, with a score threshold of 0."""
        return of_kept_classes(self.tracker.finish(), self.step)

    def _run(
        self, group: list[Tensor], state: TemporalState | None
    ) -> tuple[ClipOutput, TemporalState | None]:
        return self.step(group, state, with_head_inputs=True)

    def _groups(
        self, frames: Iterable[AnyFrameT]
    ) -> Iterator[tuple[list[Tensor], list[AnyFrameT]]]:
        """Yield up to `latency` frames at a time: as pixels, (H, W, 3), and as they were given."""
        size: tuple[int, int] | None = None
        pixels: list[Tensor] = []
        given: list[AnyFrameT] = []
        for frame in frames:
            pixels.append(as_pixels(frame))
            given.append(frame)
            now = (pixels[-1].shape[0], pixels[-1].shape[1])
            if size not in (None, now):
                raise ValueError(f"every frame of a video must be {size}, got {now}")
            size = now
            if len(pixels) == self.latency:
                yield pixels, given
                pixels, given = [], []
        if pixels:
            yield pixels, given
