"""Overlay videos, one a video."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction

from vidgap_vis.inference.outputs.events import Finished, Shown
from vidgap_vis.inference.outputs.sink import Sink
from vidgap_vis.inference.rounds import Task
from vidgap_vis.video.overlay import display_scale
from vidgap_vis.video.write import OverlayWriter


class OverlaySink(Sink):
    """Writes the overlays that jobs name, each frame at its source's time.

    Args:
        fps: frames a second of an overlay whose video does not say.
        min_short_edge: smaller frames are enlarged by a whole factor.
    """

    def __init__(self, fps: float, min_short_edge: int) -> None:
        super().__init__()
        self._fps = Fraction(fps)
        self._min_short_edge = min_short_edge
        self._open: dict[int, tuple[ExitStack, OverlayWriter]] = {}

    def _begin(self, task: Task) -> None:
        job = task.job
        assert job.overlay is not None
        scale = display_scale(job.source.size, self._min_short_edge)
        height, width = job.source.size
        size = (scale * height, scale * width)
        stack = ExitStack()
        self.stack.push(stack)
        writer = stack.enter_context(OverlayWriter(job.overlay, job.source.fps or self._fps, size))
        self._open[task.number] = stack, writer

    def show(self, shown: Shown) -> None:
        if shown.drawn is not None:
            if shown.task.number not in self._open:
                self._begin(shown.task)
            _, writer = self._open[shown.task.number]
            writer.write(shown.drawn, shown.time)

    def end(self, finished: Finished) -> None:
        number = finished.task.number
        if number in self._open:
            stack, writer = self._open.pop(number)
            stack.close()
            self.written.append(writer.path)
