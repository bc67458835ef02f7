"""What `predict` writes: an overlay a video and one results file, in the thread that opens them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

from tqdm import tqdm

from vidgap_vis.classes import ClassList
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.result_writer import ResultEntry, ResultWriter
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.video.overlay import display_scale
from vidgap_vis.video.write import OverlayWriter


@dataclass(frozen=True)
class Looked:
    """So many frames of a video have been seen in the first of two passes."""

    task: Task
    num_frames: int


@dataclass(frozen=True)
class Shown:
    """The tracks of a frame. `picture` is the frame, or its overlay; None: no overlay is wanted."""

    task: Task
    picture: Picture | None
    result: FrameResult


@dataclass(frozen=True)
class Ended:
    """A video has ended: its tracks, ranked."""

    task: Task
    tracks: VideoTracks


Event = Looked | Shown | Ended
"""What becomes of a video; those of one video come in order."""


@dataclass
class _Begun:
    """A video that has begun and not ended; leaving the stack keeps or drops its overlay."""

    stack: ExitStack
    overlay: OverlayWriter | None
    num_frames: int = 0
    looks: tqdm | None = None


class Outputs:
    """Writes what becomes of videos.

    A context manager. An overlay appears when its video ends; leaving the block by an error leaves
    nothing of those whose videos have not.

    Args:
        writer: of the results file, which lists videos by their number, however they end; or None.
        bar: counts frames.
        num_videos: of all.
        classes: the model's.
        fps: frames a second of an overlay whose video does not say.
        min_short_edge: smaller frames are enlarged for the overlay by a whole factor.

    Attributes:
        num_frames: shown so far.
    """

    def __init__(
        self,
        writer: ResultWriter | None,
        bar: tqdm,
        num_videos: int,
        classes: ClassList,
        *,
        fps: float,
        min_short_edge: int,
    ) -> None:
        self.num_frames = 0
        self._writer = writer
        self._bar = bar
        self._num_videos = num_videos
        self._classes = classes
        self._fps = Fraction(fps)
        self._min_short_edge = min_short_edge
        self._stack = ExitStack()
        self._begun: dict[int, _Begun] = {}
        self._ended: dict[int, tuple[int, int, list[ResultEntry]]] = {}  # of `finish_video`
        self._next = 0  # the number of the video that the results file lists next

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def take(self, event: Event) -> None:
        """Write what has become of a video.

        Raises:
            InputError: an overlay cannot be written.
        """
        begun = self._begun.get(event.task.number) or self._begin(event.task)
        if isinstance(event, Looked):
            self._look(begun, event.num_frames)
            return
        if begun.looks is not None:
            begun.looks.close()
        if isinstance(event, Shown):
            self._show(begun, event)
        else:
            self._end(begun, event)

    def _begin(self, task: Task) -> _Begun:
        self._bar.set_description(f"video {task.number + 1}/{self._num_videos}")
        stack, overlay, job = ExitStack(), None, task.job
        self._stack.push(stack)
        if job.overlay is not None:
            scale = display_scale(job.source.size, self._min_short_edge)
            height, width = job.source.size
            fps = job.source.fps or self._fps
            writer = OverlayWriter(job.overlay, fps, (scale * height, scale * width))
            overlay = stack.enter_context(writer)
        begun = self._begun[task.number] = _Begun(stack, overlay)
        return begun

    def _look(self, begun: _Begun, num_frames: int) -> None:
        if begun.looks is None:
            off = self._bar.disable
            begun.looks = tqdm(desc="first pass", unit="frame", disable=off, leave=False)
            begun.stack.callback(begun.looks.close)
        begun.looks.update(num_frames)

    def _show(self, begun: _Begun, event: Shown) -> None:
        if self._writer is not None:
            record(self._writer, event.task.job.video_id, event.result)
        if begun.overlay is not None and event.picture is not None:
            begun.overlay.write(event.picture)
        begun.num_frames += 1
        self.num_frames += 1
        self._bar.update()

    def _end(self, begun: _Begun, event: Ended) -> None:
        number, job = event.task.number, event.task.job
        begun.stack.close()
        del self._begun[number]
        entries = [
            ResultEntry(id_, self._classes[label].category_id, score)
            for id_, label, score in event.tracks
        ]
        self._ended[number] = (job.video_id, begun.num_frames, entries)
        while self._next in self._ended:
            ended = self._ended.pop(self._next)
            self._next += 1
            if self._writer is not None:
                self._writer.finish_video(*ended)


def record(writer: ResultWriter, video_id: int, result: FrameResult) -> None:
    """Write the masks of a frame to disk."""
    for track_id, rle, score in zip(
        result.track_ids.tolist(), result.rles, result.mask_scores, strict=True
    ):
        if score > 0:  # an empty mask, which the files write as null, has none
            writer.add(video_id, result.frame_index, track_id, rle)
    for span in result.retracted:
        writer.retract(video_id, *span)
