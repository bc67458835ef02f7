"""All that a run writes, in the thread that opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vidgap_vis.inference.outputs.events import Event, Finished, Looked, Saved, Shown
from vidgap_vis.inference.outputs.sink import Sink
from vidgap_vis.inference.rounds import Task
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.trackers import VideoTracks


@dataclass
class _Begun:
    """A video that has begun and not ended."""

    task: Task
    num_frames: int = 0
    looks: tqdm | None = None


class Outputs:
    """Hands what becomes of videos to the sinks, and counts frames.

    Args:
        sinks: what writes, each within its `with` block.
        bar: counts frames.
        num_videos: of all.

    Attributes:
        num_frames: shown so far.
    """

    def __init__(self, sinks: Sequence[Sink], bar: tqdm, num_videos: int) -> None:
        self.sinks = tuple(sinks)
        self.num_frames = 0
        self._bar = bar
        self._num_videos = num_videos
        self._begun: dict[int, _Begun] = {}

    @property
    def written(self) -> list[Path]:
        """The files and folders that appeared."""
        return [path for sink in self.sinks for path in sink.written]

    def take(self, event: Event, *, again: bool = False) -> None:
        """Write what has become of a video.

        Args:
            event: the next one.
            again: whether a run did it before, so that some outputs have it already.

        Raises:
            InputError: an output cannot be written.
        """
        sinks = [sink for sink in self.sinks if not (again and sink.kept)]
        begun = self._begun.get(event.task.number)
        if begun is None:
            resumes = event.task.resumed is not None
            begun = self._begin(event.task, self.sinks if resumes else sinks)
            if event.task.resumed is not None and not again:
                begun.num_frames = event.task.resumed.num_frames
        if isinstance(event, Looked):
            self._look(begun, event.num_frames)
            return
        if begun.looks is not None:
            begun.looks.close()
        if isinstance(event, Shown):
            self._show(begun, event, sinks)
            self.num_frames += not again
        elif isinstance(event, Saved):
            for sink in sinks:
                sink.save(event)
        else:
            self._end(begun, event.tracks, sinks)

    def done(self) -> None:
        """Take that all videos have ended."""
        for sink in self.sinks:
            sink.done()

    def end_early(self, top_k: int, min_score: float) -> None:
        """End the videos that have begun, with what was shown of them.

        No other thread may use their trackers any more.
        """
        for begun in [*self._begun.values()]:
            none = np.zeros(0, np.int64)
            tracks = VideoTracks(none, none, np.zeros(0))
            if begun.num_frames and not isinstance(begun.task.video, TwoPasses):
                tracks = begun.task.video.finish().best(top_k, min_score)
            self._end(begun, tracks, self.sinks)
        for sink in self.sinks:
            sink.stopped()

    def _begin(self, task: Task, sinks: Sequence[Sink]) -> _Begun:
        self._bar.set_description(f"video {task.number + 1}/{self._num_videos}")
        for sink in sinks:
            sink.begin(task)
        begun = self._begun[task.number] = _Begun(task)
        return begun

    def _look(self, begun: _Begun, num_frames: int) -> None:
        if begun.looks is None:
            off = self._bar.disable
            begun.looks = tqdm(desc="first pass", unit="frame", disable=off, leave=False)
        begun.looks.update(num_frames)

    def _show(self, begun: _Begun, shown: Shown, sinks: Sequence[Sink]) -> None:
        for sink in sinks:
            sink.show(shown)
        begun.num_frames += 1
        self._bar.update()

    def _end(self, begun: _Begun, tracks: VideoTracks, sinks: Sequence[Sink]) -> None:
        del self._begun[begun.task.number]
        for sink in sinks:
            sink.end(Finished(begun.task, begun.num_frames, tracks))
