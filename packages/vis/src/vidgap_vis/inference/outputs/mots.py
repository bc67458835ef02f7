"""MOTS text files, one a video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidgap_vis.classes import ClassList
from vidgap_vis.files import naming_output, replacing
from vidgap_vis.formats.mots import mots_lines
from vidgap_vis.inference.outputs.spooled import SpooledSink
from vidgap_vis.inference.rounds import Task


class MotsSink(SpooledSink):
    """Writes a text file of each video, when it ends.

    Args:
        path: the file, or the folder of the files that jobs name.
        score: tracks below it in a frame are left out there.
        classes: the model's; a line has a class's category id.
    """

    def __init__(self, path: Path, score: float, classes: ClassList) -> None:
        super().__init__(path, score)
        self._ids = [info.category_id for info in classes]

    def write(self, task: Task) -> None:
        path = task.job.mots
        assert path is not None
        with (
            naming_output(path),
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            masks = (
                replace(row, label=self._ids[row.label]) for row in self.spool.by_frame(task.number)
            )
            for line in mots_lines(masks):
                file.write(f"{line}\n")
        self.written.append(path)
