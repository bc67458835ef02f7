"""Results in YouTube-VIS's format, written as they come: any length in constant memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from vidgap_vis.files import naming_output, replacing
from vidgap_vis.formats.mask_spool import MaskSpool
from vidgap_vis.formats.rle import Rle


@dataclass(frozen=True)
class ResultEntry:
    """An entry to write: a track, listed under one category.

    Attributes:
        track_id: as in `ResultWriter.add`.
        category_id: the data set's own id.
        score: in [0, 1].
    """

    track_id: int
    category_id: int
    score: float


class ResultWriter:
    """Writes a results file of any size in constant memory.

    Masks go to a database beside the target as they come, frame by frame; when a video is finished
    its tracks are copied from there into the JSON, one mask after another. Leaving the `with` block
    puts the file in place; an error in the block, Ctrl-C too, leaves nothing behind.

    Args:
        path: the results JSON to write.
        masks_per_transaction: how many masks go to disk at once.
    """

    def __init__(self, path: str | os.PathLike[str], *, masks_per_transaction: int = 1024) -> None:
        self.path = Path(path)
        self._spool = MaskSpool(self.path, masks_per_transaction=masks_per_transaction)
        self._finished: set[int] = set()
        self._num_entries = 0

    def __enter__(self) -> ResultWriter:
        with ExitStack() as stack:
            target = stack.enter_context(replacing(self.path))
            self._json: IO[str] = stack.enter_context(target.open("w", encoding="utf-8"))
            stack.enter_context(self._spool)
            self._json.write("[")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with naming_output(self.path):
            if kind is None:
                with self._stack:
                    self._finish()
            else:
                self._stack.__exit__(kind, error, traceback)

    def _finish(self) -> None:
        video = self._spool.any_video()
        if video is not None:
            raise ValueError(f"video {video} has masks but was not finished")
        self._json.write("\n]\n")

    def add(self, video_id: int, frame_index: int, track_id: int, mask: Rle) -> None:
        """Take a track's mask in one frame; frames and videos may come in any order.

        Raises:
            ValueError: the video is finished, the frame is negative, or the track has a mask there.
        """
        self._check_open(video_id)
        self._spool.add(video_id, frame_index, track_id, mask)

    def retract(self, video_id: int, track_id: int, first: int, last: int) -> None:
        """Take back a track's masks in frames `first` to `last`, both included."""
        self._check_open(video_id)
        self._spool.retract(video_id, track_id, first, last)

    def finish_video(self, video_id: int, num_frames: int, tracks: Sequence[ResultEntry]) -> None:
        """Write a video's entries, in the order of `tracks`.

        Args:
            video_id: with or without masks.
            num_frames: length of every entry's `segmentations`.
            tracks: a track may be listed for several categories. One without a mask gives no
                entry; masks of tracks that are not listed are dropped.

        Raises:
            ValueError: the video is finished already, a mask lies in a later frame, the masks are
                of several sizes, or a score is not in [0, 1].
        """
        self._check_open(video_id)
        self._check_masks(video_id, num_frames)
        for track in tracks:
            if not 0 <= track.score <= 1:
                raise ValueError(
                    f"score must be in [0, 1], got {track.score} of track {track.track_id}"
                )
            with naming_output(self.path):
                self._write_entry(video_id, num_frames, track)
        self._spool.drop(video_id)
        self._finished.add(video_id)

    def _check_open(self, video_id: int) -> None:
        if video_id in self._finished:
            raise ValueError(f"video {video_id} is finished already")

    def _check_masks(self, video_id: int, num_frames: int) -> None:
        last = self._spool.last_frame(video_id)
        if last is not None and last >= num_frames:
            raise ValueError(
                f"video {video_id} must have masks in frames 0..{num_frames - 1}, got frame {last}"
            )
        sizes = self._spool.sizes(video_id)
        if len(sizes) > 1:
            raise ValueError(f"the masks of video {video_id} must be of one size, got {sizes}")

    def _write_entry(self, video_id: int, num_frames: int, track: ResultEntry) -> None:
        frames = self._entry_frames(video_id, track.track_id, num_frames)
        first = next(frames, None)
        if first is None:
            return
        head = {
            "video_id": video_id,
            "category_id": track.category_id,
            "score": float(track.score),
        }
        self._json.write(",\n" if self._num_entries else "\n")
        self._json.write(f'{json.dumps(head)[:-1]}, "segmentations": [{first}')
        for text in frames:
            self._json.write(f", {text}")
        self._json.write("]}")
        self._num_entries += 1

    def _entry_frames(self, video_id: int, track_id: int, num_frames: int) -> Iterator[str]:
        """Yield the JSON of each frame's mask or null; nothing where the track has no mask."""
        following = 0
        for row in self._spool.track(video_id, track_id):
            yield from ["null"] * (row.frame - following)
            yield json.dumps({"size": [*row.mask.size], "counts": row.mask.counts})
            following = row.frame + 1
        if following:
            yield from ["null"] * (num_frames - following)
