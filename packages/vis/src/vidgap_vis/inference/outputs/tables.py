"""One table of the tracks of all videos."""

from __future__ import annotations

import csv
from pathlib import Path

from vidgap_vis.classes import ClassList
from vidgap_vis.files import naming_output, replacing
from vidgap_vis.formats.track_table import HEADER, track_rows
from vidgap_vis.inference.outputs.spooled import SpooledSink
from vidgap_vis.inference.rounds import Task


class TableSink(SpooledSink):
    """Writes a CSV with a row a track.

    Args:
        path: the file.
        score: tracks below it in a frame are left out there.
        classes: the model's.
    """

    def __init__(self, path: Path, score: float, classes: ClassList) -> None:
        super().__init__(path, score)
        self._path = path
        self._names = {info.index: info.name for info in classes}

    def open(self) -> None:
        super().open()
        temporary = self.stack.enter_context(replacing(self._path))
        # File names need not be UTF-8.
        self._file = temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self.close_at_end(self._file, self._path)
        self._rows = csv.writer(self._file)
        self._rows.writerow(HEADER)
        self.written.append(self._path)

    def write(self, task: Task) -> None:
        masks = self.spool.by_track(task.number)
        with naming_output(self._path):
            self._rows.writerows(track_rows(task.job.name, masks, self._names))
            self._file.flush()
