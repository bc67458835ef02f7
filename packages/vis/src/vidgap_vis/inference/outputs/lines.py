"""JSON lines: each frame as it comes, and where to go on if the run ends before the videos do."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pycocotools import mask as coco_mask

from vidgap_vis.classes import ClassList
from vidgap_vis.files import make_parent, naming_output, replacing
from vidgap_vis.inference.outputs.events import Finished, Saved, Shown
from vidgap_vis.inference.outputs.progress import Progress, as_tensors, state_path
from vidgap_vis.inference.outputs.sink import Sink, tracks_of
from vidgap_vis.inference.rounds import Task

DIGITS = 6


class LineSink(Sink):
    """Appends a line of JSON for each thing that happens; a line is whole once it is there.

    `{"type": "video", ...}` begins a video, `frame` has the tracks of a frame, `birth`, `death` and
    `retraction` say what became of a track, `end` ranks the tracks of a video.

    Args:
        path: the file; what it holds is replaced, or kept where a run goes on.
        score: tracks below it in a frame are left out there.
        classes: the model's.
        kind: of the run, which must be the same where it goes on.
        kept: what was done before; None: this is a new run.
    """

    def __init__(
        self,
        path: Path,
        score: float,
        classes: ClassList,
        kind: Mapping[str, Any],
        kept: Progress | None = None,
    ) -> None:
        super().__init__()
        self._path, self._score, self._classes = path, score, classes
        self._kind, self._before = kind, kept
        self.kept = kept is not None
        self._alive: dict[int, set[int]] = {}

    def open(self) -> None:
        make_parent(self._path)
        with naming_output(self._path):
            self._file = self._path.open("wb" if self._before is None else "r+b")
        self.close_at_end(self._file, self._path)
        if self._before is None:
            state_path(self._path).unlink(missing_ok=True)
        else:
            self._file.truncate(self._before.offset)
            self._file.seek(self._before.offset)
        self.written.append(self._path)

    def begin(self, task: Task) -> None:
        job, resumed = task.job, task.resumed
        self._alive[task.number] = set() if resumed is None else set(resumed.alive)
        if resumed is None:
            height, width = job.source.size
            fps = job.source.fps
            self._write(
                type="video",
                video=job.video_id,
                name=job.name,
                size=[height, width],
                fps=None if fps is None else round(float(fps), DIGITS),
            )

    def show(self, shown: Shown) -> None:
        task, result = shown.task, shown.result
        video, alive, shift = task.job.video_id, self._alive[task.number], task.job.source_frame
        found = [*tracks_of(result, self._score)]
        for track, *_ in found:
            if track not in alive:
                alive.add(track)
                self._write(type="birth", video=video, id=track, frame=shown.frame)
        self._write(
            type="frame",
            video=video,
            frame=shown.frame,
            time=None if shown.time is None else round(float(shown.time), DIGITS),
            tracks=[
                {
                    "id": track,
                    "category_id": self._classes[label].category_id,
                    "name": self._classes[label].name,
                    "score": score,
                    "bbox": coco_mask.toBbox(rle.to_dict()).tolist(),
                    "segmentation": rle.to_dict(),
                }
                for track, label, score, rle in found
            ],
        )
        for track, first, last in result.retracted:
            if track in alive:
                alive.discard(track)
                ends = {"first": shift(first), "last": shift(last)}
                self._write(type="retraction", video=video, id=track, **ends)
        for track in result.ended:
            if track in alive:
                alive.discard(track)
                self._write(type="death", video=video, id=track, frame=shown.frame)
        with naming_output(self._path):
            self._file.flush()

    def save(self, saved: Saved) -> None:
        task = saved.task
        progress = {
            "kind": dict(self._kind),
            "offset": self._file.tell(),
            "number": task.number,
            "num_frames": saved.num_frames,
            "alive": sorted(self._alive[task.number]),
            "state": as_tensors(saved.state),
        }
        data = io.BytesIO()
        torch.save(progress, data)
        os.fsync(self._file.fileno())
        with replacing(state_path(self._path)) as temporary:
            temporary.write_bytes(data.getvalue())

    def end(self, finished: Finished) -> None:
        task = finished.task
        del self._alive[task.number]
        ranked = [
            {
                "id": track,
                "category_id": self._classes[label].category_id,
                "name": self._classes[label].name,
                "score": score,
            }
            for track, label, score in finished.tracks
        ]
        num_frames = finished.num_frames
        self._write(type="end", video=task.job.video_id, num_frames=num_frames, tracks=ranked)
        self._file.flush()

    def done(self) -> None:
        """Take that all videos have ended: there is nowhere to go on from."""
        state_path(self._path).unlink(missing_ok=True)

    def _write(self, **line: object) -> None:
        with naming_output(self._path):
            self._file.write(json.dumps(line).encode() + b"\n")
