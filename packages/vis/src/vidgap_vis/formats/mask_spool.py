"""Masks of videos of any length, on disk beside an output until a video ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vidgap_vis.errors import InputError
from vidgap_vis.files import make_parent, temporary_sibling
from vidgap_vis.formats.rle import Rle, Size

_SCHEMA = """
    PRAGMA journal_mode = OFF;  -- the file is thrown away when anything fails
    PRAGMA synchronous = OFF;
    CREATE TABLE masks (
        video INTEGER, track INTEGER, frame INTEGER, label INTEGER, score REAL, time REAL,
        height INTEGER, width INTEGER, counts TEXT,
        PRIMARY KEY (video, track, frame)
    ) WITHOUT ROWID;
"""

_COLUMNS = "track, frame, label, score, time, height, width, counts"


@dataclass(frozen=True)
class SpooledMask:
    """A track in a frame, which is shown at a time in seconds, where that is known."""

    track: int
    frame: int
    label: int
    score: float
    time: float | None
    mask: Rle


class MaskSpool:
    """Keeps masks on disk as they come, and hands them out by track or by frame.

    A context manager; leaving it removes the file.

    Args:
        target: the output that they are for; an error names it, and the file lies beside it, or in
            it where it is a folder.
        masks_per_transaction: how many masks go to disk at once.
    """

    def __init__(self, target: Path, *, masks_per_transaction: int = 1024) -> None:
        self.target = target
        self._masks_per_transaction = masks_per_transaction
        self._num_pending = 0

    def __enter__(self) -> MaskSpool:
        make_parent(self.target)  # an error is to name the output
        folder = self.target if self.target.is_dir() else self.target.parent
        self._file = temporary_sibling(folder / "masks.spool")
        try:
            self._database = sqlite3.connect(self._file, isolation_level=None)
            self._database.executescript(_SCHEMA)
            self._database.execute("BEGIN")
        except sqlite3.OperationalError as error:
            self._file.unlink(missing_ok=True)
            raise InputError(self.target, "", f"cannot be written ({error})") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()
        self._file.unlink(missing_ok=True)
        if isinstance(error, sqlite3.OperationalError):  # a full disk, most likely
            raise InputError(self.target, "", f"cannot be written ({error})") from error

    def add(
        self,
        video: int,
        frame: int,
        track: int,
        mask: Rle,
        *,
        label: int = 0,
        score: float = 0.0,
        time: float | None = None,
    ) -> None:
        """Take a track's mask in one frame; frames and videos may come in any order.

        Raises:
            ValueError: the frame is negative, or the track has a mask there.
        """
        if frame < 0:
            raise ValueError(f"frame_index must be at least 0, got {frame}")
        row = (video, track, frame, label, score, time, *mask.size, mask.counts)
        try:
            self._database.execute("INSERT INTO masks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise ValueError(
                f"track {track} has a mask in frame {frame} of video {video} already"
            ) from None
        self._num_pending += 1
        if self._num_pending >= self._masks_per_transaction:
            self._commit()

    def retract(self, video: int, track: int, first: int, last: int) -> None:
        """Take back a track's masks in frames `first` to `last`, both included."""
        where = "WHERE video = ? AND track = ? AND frame BETWEEN ? AND ?"
        self._database.execute(f"DELETE FROM masks {where}", (video, track, first, last))

    def track(self, video: int, track: int) -> Iterator[SpooledMask]:
        """Yield a track's masks, frame by frame."""
        yield from self._rows("video = ? AND track = ? ORDER BY frame", video, track)

    def by_track(self, video: int) -> Iterator[SpooledMask]:
        """Yield a video's masks: one track's after the other's, frame by frame."""
        yield from self._rows("video = ? ORDER BY track, frame", video)

    def by_frame(self, video: int) -> Iterator[SpooledMask]:
        """Yield a video's masks: one frame's after the other's, best score first."""
        yield from self._rows("video = ? ORDER BY frame, score DESC, track", video)

    def last_frame(self, video: int) -> int | None:
        """Return a video's last frame with a mask; None: there is none."""
        found = self._database.execute("SELECT MAX(frame) FROM masks WHERE video = ?", (video,))
        last: int | None = found.fetchone()[0]
        return last

    def sizes(self, video: int) -> list[Size]:
        """Return the sizes of a video's masks."""
        select = "SELECT DISTINCT height, width FROM masks WHERE video = ?"
        return self._database.execute(select, (video,)).fetchall()

    def any_video(self) -> int | None:
        """Return a video that has masks here; None: there is none."""
        row = self._database.execute("SELECT video FROM masks LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def drop(self, video: int) -> None:
        """Forget a video's masks."""
        self._database.execute("DELETE FROM masks WHERE video = ?", (video,))
        self._commit()

    def _rows(self, which: str, *values: int) -> Iterator[SpooledMask]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM masks WHERE {which}", values)
        for track, frame, label, score, time, height, width, counts in rows:
            yield SpooledMask(track, frame, label, score, time, Rle((height, width), counts))

    def _commit(self) -> None:
        self._database.execute("COMMIT")
        self._database.execute("BEGIN")
        self._num_pending = 0
