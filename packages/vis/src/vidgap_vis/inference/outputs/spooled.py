"""What outputs that are sorted by frame or by track have in common: masks on disk until the end."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from vidgap_vis.formats.mask_spool import MaskSpool
from vidgap_vis.inference.outputs.events import Finished, Shown
from vidgap_vis.inference.outputs.sink import Sink, tracks_of
from vidgap_vis.inference.rounds import Task


class SpooledSink(Sink):
    """Keeps the tracks of each frame on disk until their video ends.

    Frames have their sources' numbers, tracks their ids, and labels are the model's.

    Args:
        beside: the output.
        score: tracks below it in a frame are left out there.
    """

    def __init__(self, beside: Path, score: float) -> None:
        super().__init__()
        self.spool = MaskSpool(beside)
        self._score = score

    def open(self) -> None:
        self.stack.enter_context(self.spool)

    def show(self, shown: Shown) -> None:
        time = None if shown.time is None else float(shown.time)
        number, shift = shown.task.number, shown.task.job.source_frame
        for track, label, score, rle in tracks_of(shown.result, self._score):
            self.spool.add(number, shown.frame, track, rle, label=label, score=score, time=time)
        for track, first, last in shown.result.retracted:
            self.spool.retract(number, track, shift(first), shift(last))

    def end(self, finished: Finished) -> None:
        self.write(finished.task)
        self.spool.drop(finished.task.number)

    @abstractmethod
    def write(self, task: Task) -> None:
        """Write what `spool` has of a video."""
