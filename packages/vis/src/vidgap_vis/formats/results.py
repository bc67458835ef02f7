"""Results in YouTube-VIS's format: read whole or video by video, with every fault named."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.errors import InputError
from vidgap_vis.formats.records import Record, brief, collection_paused, read_json
from vidgap_vis.formats.rle import Rle, Size, parse_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet, one_per_frame
from vidgap_vis.native import extension

_VIDEO_ID = re.compile(rb'"video_id"\s*:\s*(-?\d{1,18})')


@dataclass(frozen=True)
class Track:
    """One instance of a video, true or predicted.

    Attributes:
        video_id: the video it is in.
        label: its class.
        masks: one for each frame of the video, None where it is absent.
        score: how sure a prediction is; any finite number, more is surer.
        is_crowd: a truth that stands for many instances; neither finding nor missing it counts.
        occlusion: how much of a truth is hidden, 0..1 as OVIS scores it; None where unknown.
        source: the item of the file that it was read from, for messages.
    """

    video_id: int
    label: int
    masks: tuple[Rle | None, ...]
    score: float = 1.0
    is_crowd: bool = False
    occlusion: float | None = None
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not isfinite(self.score):
            raise ValueError(f"score must be finite, got {self.score} in video {self.video_id}")

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Pixels in each frame, (T,) float64; ValueError where an RLE's counts are broken."""
        areas = np.zeros(len(self.masks))
        for frame, mask in enumerate(self.masks):
            try:
                areas[frame] = 0 if mask is None else mask.area()
            except ValueError as error:
                raise ValueError(f"video {self.video_id} frame {frame}: {error}") from None
        return areas

    @property
    def area(self) -> float:
        """Its size in pixels: the mean over the frames that show it."""
        return float(self.areas.sum() / max(np.count_nonzero(self.areas), 1))


def read_results(path: str | os.PathLike[str], video_set: VideoSet) -> list[Track]:
    """Read a results file and check it against the videos that it is about, masks and all.

    Raises:
        InputError: broken JSON, an unknown video or category, a list of another length than the
            video, a score outside [0, 1], or a mask that is malformed or of another size.
    """
    reader = _EntryReader(Path(path), video_set)
    return [_checked(track, reader.file) for track in reader.read_all()]


class ResultFile:
    """A results file that is read video by video, so that it may be larger than memory.

    An index of the entries is made first; the entries of a video are parsed when they are asked
    for, from any thread. Where the compiled extension is missing, or the file is anything but a
    well-formed list, it is read whole. Use it in a `with` block.

    Args:
        path: the results JSON.
        video_set: the videos that it is about.

    Raises:
        InputError: as `read_results`; about entries and masks when they are read.
    """

    def __init__(self, path: str | os.PathLike[str], video_set: VideoSet) -> None:
        self.path = Path(path)
        self._reader = _EntryReader(self.path, video_set)
        self._whole: dict[int, list[Track]] | None = None
        self._spans: dict[int, list[tuple[int, int, int]]] = {}
        self._text = _mapped(self.path)
        if not self._index():
            self._read_whole()

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._text is not None:
            self._text.close()

    def tracks(self, video_id: int) -> list[Track]:
        """Return the predictions for a video in the file's order; masks are checked when used."""
        if self._whole is not None:
            return self._whole.get(video_id, [])
        assert self._text is not None
        tracks = []
        for index, begin, end in self._spans.get(video_id, ()):
            try:
                entry = json.loads(self._text[begin:end])
            except (ValueError, RecursionError):
                entry = None
            # The index took the first "video_id" that stands in the entry: hold it against the
            # one that a parser finds. What is odd here is said by the reader of whole files.
            if not isinstance(entry, dict) or entry.get("video_id") != video_id:
                self._read_whole()
                return self.tracks(video_id)
            tracks.append(self._reader.track(index, entry))
        return tracks

    def _index(self) -> bool:
        """Find the entries of each video; False where the file must be read whole."""
        native = extension()
        if native is None or self._text is None:
            return False
        bounds = native.items(self._text)
        if bounds is None:
            return False
        spans = defaultdict(list)
        for index, (begin, end) in enumerate(zip(bounds[::2], bounds[1::2], strict=True)):
            found = _VIDEO_ID.search(self._text, begin, end)
            if found is None or int(found[1]) not in self._reader.videos:
                return False
            spans[int(found[1])].append((index, begin, end))
        self._spans = dict(spans)
        return True

    def _read_whole(self) -> None:
        whole = defaultdict(list)
        for track in self._reader.read_all():
            whole[track.video_id].append(track)
        self._whole = dict(whole)


class _EntryReader:
    """Turns the entries of a results file into tracks, whose masks are yet to be checked."""

    def __init__(self, file: Path, video_set: VideoSet) -> None:
        self.file = file
        self.videos = {video.id: video for video in video_set.videos}
        self._labels = {entry.category_id: entry.index for entry in video_set.classes}
        self._truth = video_set.path

    @collection_paused()
    def read_all(self) -> list[Track]:
        entries = read_json(self.file)
        if not isinstance(entries, list):
            raise InputError(self.file, "", f"results must be a JSON list, got {brief(entries)}")
        return [self.track(index, entry) for index, entry in enumerate(entries)]

    def track(self, index: int, entry: object) -> Track:
        source = f"[{index}]"
        if not isinstance(entry, dict):
            raise InputError(self.file, source, f"must be an object, got {brief(entry)}")
        record = Record(self.file, source, entry)
        video_id = record.reference("video_id", self.videos, f"videos in {self._truth}")
        category_id = record.reference("category_id", self._labels, f"categories in {self._truth}")
        score, masks = _read_score(record), _read_masks(record, self.videos[video_id])
        return Track(video_id, self._labels[category_id], masks, score, source=source)


def _mapped(path: Path) -> mmap.mmap | None:
    """Map a file into memory; None where there is nothing to map, as in an empty or missing one."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None


def _checked(track: Track, file: Path) -> Track:
    for frame, mask in enumerate(track.masks):
        try:
            if mask is not None:
                mask.checked()
        except ValueError as error:
            raise InputError(file, track.source, f"segmentations[{frame}]: {error}") from None
    return track


def _read_score(record: Record) -> float:
    score = record.value("score")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
        raise record.error(f"score must be a number in [0, 1], got {brief(score)}")
    return float(score)


def _read_masks(record: Record, video: VideoInfo) -> tuple[Rle | None, ...]:
    values = one_per_frame(record, "segmentations", record.items("segmentations"), video)
    return tuple(
        None if value is None else _read_mask(record, frame, value, video.size)
        for frame, value in enumerate(values)
    )


def _read_mask(record: Record, frame: int, value: object, size: Size) -> Rle:
    if not isinstance(value, dict):
        raise record.error(f"segmentations[{frame}] must be an RLE or null, got {brief(value)}")
    try:
        return parse_rle(value, size)
    except ValueError as error:
        raise record.error(f"segmentations[{frame}]: {error}") from None
