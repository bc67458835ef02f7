"""What a run showed before it ended, from its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.formats.rle import Size, parse_rle
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.outputs.events import Ended, Event, Shown
from vidgap_vis.inference.outputs.progress import Progress
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import VideoTracks


def replayed(
    progress: Progress,
    task_of: Callable[[int], Task],
    classes: ClassList,
    *,
    every: int,
    pictures: bool,
) -> Iterator[Event]:
    """Yield what became of the videos, for the outputs that are made anew.

    Args:
        progress: of the run.
        task_of: returns the video of a number.
        classes: the model's.
        every: how many frames of the source make one of the run.
        pictures: whether the frames are wanted again.

    Raises:
        InputError: the lines are not those of such videos.
    """
    number, index, held = -1, 0, None
    shots: Iterator[Any] = iter(())
    try:
        for line in progress.lines():
            kind = line["type"]
            if held is not None and kind != "retraction":
                yield held
                held = None
            if kind == "video":
                number, index = number + 1, 0
                task = task_of(number)
                shots = task.job.source.shots()
            elif kind == "frame":
                shot = next(shots)
                result = result_of(line, index, task.job.source.size, classes)
                picture = shot.picture() if pictures else None
                held = Shown(task, line["frame"], shot.time, result, picture)
                index += 1
            elif kind == "retraction" and held is not None:
                first = (held.frame - line["first"]) // every
                last = (held.frame - line["last"]) // every
                span = (line["id"], index - 1 - first, index - 1 - last)
                spans = (*held.result.retracted, span)
                held = replace(held, result=replace(held.result, retracted=spans))
            elif kind == "end":
                yield Ended(task, ranked_of(line, classes))
    except (KeyError, TypeError, ValueError, StopIteration, UnboundLocalError) as error:
        raise InputError(progress.path, "", f"not the lines of these videos ({error})") from error
    if held is not None:
        yield held


def result_of(line: Mapping[str, Any], index: int, size: Size, classes: ClassList) -> FrameResult:
    """Return the tracks of a `frame` line; class scores are those of the listed classes alone."""
    tracks, labels = line["tracks"], {info.category_id: info.index for info in classes}
    found = np.array([labels[track["category_id"]] for track in tracks], np.int64)
    scores = np.array([track["score"] for track in tracks], np.float32)
    class_scores = np.zeros((len(tracks), len(classes)), np.float32)
    class_scores[np.arange(len(tracks)), found] = scores
    return FrameResult(
        frame_index=index,
        size=size,
        track_ids=np.array([track["id"] for track in tracks], np.int64),
        labels=found,
        scores=scores,
        rles=tuple(parse_rle(track["segmentation"], size) for track in tracks),
        class_scores=class_scores,
        mask_scores=np.ones(len(tracks), np.float32),
        classes=classes,
    )


def ranked_of(line: Mapping[str, Any], classes: ClassList) -> VideoTracks:
    """Return the ranked tracks of an `end` line."""
    tracks, labels = line["tracks"], {info.category_id: info.index for info in classes}
    return VideoTracks(
        np.array([track["id"] for track in tracks], np.int64),
        np.array([labels[track["category_id"]] for track in tracks], np.int64),
        np.array([track["score"] for track in tracks], np.float64),
    )
