"""One results file in YouTube-VIS's format, of all videos in their order."""

from __future__ import annotations

from pathlib import Path

from vidgap_vis.classes import ClassList
from vidgap_vis.formats.result_writer import ResultEntry, ResultWriter
from vidgap_vis.inference.outputs.events import Finished, Shown
from vidgap_vis.inference.outputs.sink import Sink, tracks_of


class ResultSink(Sink):
    """Writes a results file: the best tracks of each video, whatever the least score shown.

    Args:
        path: the file.
        classes: the model's.
    """

    def __init__(self, path: Path, classes: ClassList) -> None:
        super().__init__()
        self._classes = classes
        self._writer = ResultWriter(path)
        self._ended: dict[int, tuple[int, int, list[ResultEntry]]] = {}  # of `finish_video`
        self._next = 0  # the number of the video that the file lists next

    def open(self) -> None:
        self.stack.enter_context(self._writer)
        self.written.append(self._writer.path)

    def show(self, shown: Shown) -> None:
        video_id, result = shown.task.job.video_id, shown.result
        for track, _, _, rle in tracks_of(result, 0.0):
            self._writer.add(video_id, result.frame_index, track, rle)
        for span in result.retracted:
            self._writer.retract(video_id, *span)

    def end(self, finished: Finished) -> None:
        entries = [
            ResultEntry(id_, self._classes[label].category_id, score)
            for id_, label, score in finished.tracks
        ]
        task = finished.task
        self._ended[task.number] = (task.job.video_id, finished.num_frames, entries)
        self._list()

    def stopped(self) -> None:
        for number in sorted(self._ended):  # of a round, a later video may have ended before
            self._next = number
            self._list()

    def _list(self) -> None:
        while self._next in self._ended:
            self._writer.finish_video(*self._ended.pop(self._next))
            self._next += 1
