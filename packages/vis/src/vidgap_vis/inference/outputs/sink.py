"""What writes one kind of file of the videos that are tracked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vidgap_vis.files import naming_output
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.outputs.events import Finished, Saved, Shown
from vidgap_vis.inference.rounds import Task


class Sink:
    """Writes one kind of file; videos may advance together.

    A context manager. What belongs to a video appears when it ends, what belongs to all when the
    block is left; by an error, only what is whole stays.

    Attributes:
        written: the files, or folders of files, that appeared.
        kept: whether it has already what a run did before that goes on.
    """

    kept = False

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.stack = ExitStack()

    def __enter__(self) -> Sink:
        with ExitStack() as opened:
            opened.push(self.stack)
            self.open()
            opened.pop_all()  # the block has them now
        return self

    def open(self) -> None:
        """Open what belongs to all videos, within `stack`.

        Raises:
            InputError: it cannot be written.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def close_at_end(self, file: IO[Any], path: Path) -> None:
        """Close the file of an output when the block is left; what fails then names the output."""

        def close() -> None:
            with naming_output(path):
                file.close()

        self.stack.callback(close)

    def begin(self, task: Task) -> None:
        """Take a video, before its first frame."""

    def show(self, shown: Shown) -> None:
        """Take the tracks of a video's next frame.

        Raises:
            InputError: the file cannot be written.
        """

    def save(self, saved: Saved) -> None:
        """Take what is needed to go on from here."""

    def stopped(self) -> None:
        """Take that no more videos come, as the run was asked to stop."""

    def done(self) -> None:
        """Take that all videos have ended."""

    def end(self, finished: Finished) -> None:
        """Take a video's end.

        Raises:
            InputError: the file cannot be written.
        """


def tracks_of(result: FrameResult, score: float) -> Iterator[tuple[int, int, float, Rle]]:
    """Yield id, label, score and mask of the tracks with a pixel and a score of at least this."""
    rows = zip(
        *(result.track_ids.tolist(), result.labels.tolist(), result.scores.tolist(), result.rles),
        result.mask_scores.tolist(),
        strict=True,
    )
    for track, label, value, rle, mask_score in rows:
        if value >= score and mask_score > 0:  # an empty mask has a mask score of 0
            yield track, label, value, rle
