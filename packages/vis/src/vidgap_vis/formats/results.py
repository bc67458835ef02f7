"""Results in YouTube-VIS's format: read whole or video by video, with every fault named."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from types import ModuleType, TracebackType
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.errors import InputError
from vidgap_vis.formats.records import Record, brief, collection_paused, read_json
from vidgap_vis.formats.rle import Rle, Size, parse_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet, one_per_frame
from vidgap_vis.native import extension

_VIDEO_ID = re.compile(rb'"video_id"\s*:\s*(-?\d{1,18})(?![\d.eE])')

_BYTES_AT_ONCE = 2**22


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
    return [checked(track, reader.file) for track in reader.read_all()]


class ResultFile:
    """A results file that is read video by video, so that it may be larger than memory.

    An index of the entries is made first; the entries of a video are read and parsed when they are
    asked for, from any thread. Where the compiled extension is missing, or the file is anything
    but a well-formed list, it is read whole. Use it in a `with` block.

    Args:
        path: the results JSON.
        video_set: the videos that it is about.

    Raises:
        InputError: as `read_results`; about entries and masks when they are read.
    """

    def __init__(self, path: str | os.PathLike[str], video_set: VideoSet) -> None:
        self.path = Path(path)
        self._reader = _EntryReader(self.path, video_set)
        self._lock = threading.Lock()
        self._whole: dict[int, list[Track]] | None = None
        self._spans: dict[int, list[tuple[int, int, int]]] = {}
        self._file = _opened(self.path)
        try:
            if not self._index():
                self._read_whole()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def tracks(self, video_id: int) -> list[Track]:
        """Return the predictions for a video in the file's order; masks are checked when used."""
        if self._whole is not None:
            return self._whole.get(video_id, [])
        tracks = []
        for index, begin, end in self._spans.get(video_id, ()):
            entry = _entry(self._read(begin, end), self._reader.videos[video_id].size)
            if not isinstance(entry, dict) or entry.get("video_id") != video_id:
                # Broken JSON, or an entry without an id: the reader of whole files says what it is.
                self._read_whole()
                return self.tracks(video_id)
            tracks.append(self._reader.track(index, entry))
        return tracks

    def _index(self) -> bool:
        """Find the entries of each video; False where the file must be read whole."""
        native = extension()
        bounds = None if native is None else self._bounds(native)
        if native is None or bounds is None:
            return False
        spans = defaultdict(list)
        for index, (begin, end) in enumerate(zip(bounds[::2], bounds[1::2], strict=True)):
            video_id = _video_of(self._read(begin, end), native)
            if video_id is None or video_id not in self._reader.videos:
                return False
            spans[video_id].append((index, begin, end))
        self._spans = dict(spans)
        return True

    def _bounds(self, native: ModuleType) -> list[int] | None:
        """Find begin and end of each entry; None where the file is no list."""
        if self._file is None:
            return None
        scanner, bounds = native.ItemScanner(), []
        while piece := self._file.read(_BYTES_AT_ONCE):
            found = scanner.scan(piece)
            if found is None:
                return None
            bounds += found
        return bounds if scanner.closed else None

    def _read(self, begin: int, end: int) -> bytes:
        assert self._file is not None
        with self._lock:
            self._file.seek(begin)
            return self._file.read(end - begin)

    def _read_whole(self) -> None:
        with self._lock:
            if self._whole is None:
                whole = defaultdict(list)
                for track in self._reader.read_all():
                    whole[track.video_id].append(track)
                self._whole = dict(whole)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


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


def _entry(text: bytes, size: Size) -> object:
    """Parse an entry; None where it is broken JSON. Its masks of `size` may be `Rle`s already."""
    native = extension()
    reads = native is not None and size[0] * size[1] <= native.MOST_PIXELS
    plain = native.masks_of(text, *size) if native is not None and reads else None
    if plain is not None:
        counts, around = plain
        entry = _parsed(around)
        # Is the list that was taken out the one that a parser finds?
        once = around.count(b'"segmentations"') == 1 and b"\\" not in around
        if once and isinstance(entry, dict) and "segmentations" in entry:
            masks = [None if one is None else Rle(size, one) for one in counts]
            return entry | {"segmentations": masks}
    return _parsed(text)


def _opened(path: Path) -> BinaryIO | None:
    """Open a file to read anywhere in it; None where that cannot be, as in a pipe."""
    try:
        return path.open("rb") if path.is_file() else None
    except OSError:
        return None


def _video_of(text: bytes, native: ModuleType) -> int | None:
    """Find the video of an entry; None where it names none.

    Where "video_id" stands once, and no key can be that word in escapes, the number behind it is
    the one that a parser finds, if it finds any. All other entries are parsed.
    """
    found = _VIDEO_ID.search(text)
    if found is not None and text.count(b'"video_id"') == 1 and not native.has_unicode_escape(text):
        return int(found[1])
    entry = _parsed(text)
    video_id = entry.get("video_id") if isinstance(entry, dict) else None
    return video_id if type(video_id) is int else None


def _parsed(text: bytes) -> object:
    """Parse JSON in UTF-8; None where it is broken."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def checked(track: Track, file: Path) -> Track:
    """Return a track of a file; InputError where one of its masks is malformed."""
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
    if {*map(type, values)} <= {Rle, type(None)}:
        return cast(tuple[Rle | None, ...], tuple(values))  # read already
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
