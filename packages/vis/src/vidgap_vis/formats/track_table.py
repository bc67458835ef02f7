"""Tracks as a table for people without Python: a CSV with a row a track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from pycocotools import mask as coco_mask

from vidgap_vis.formats.mask_spool import SpooledMask

HEADER = (
    *("video", "id", "class", "first_frame", "last_frame", "first_second", "last_second"),
    *("num_frames", "mean_score", "path"),
)
"""The columns: frames as the source counts them, from 0; seconds where it has times; `path` is
`frame:x:y` of the centre of the track's box in each frame, in pixels, apart by spaces."""

Row = tuple[str, int, str, int, int, str, str, int, str, str]


def track_rows(video: str, masks: Iterable[SpooledMask], names: Mapping[int, str]) -> Iterator[Row]:
    """Yield the rows of a video.

    Args:
        video: its name.
        masks: one track's after the other's, frame by frame.
        names: of the classes, by `label`; a track has that of its last frame.
    """
    for track, rows in groupby(masks, key=lambda row: row.track):
        path, total, first, last = [], 0.0, None, None
        for last in rows:
            first = first or last
            path.append(centre(last))
            total += last.score
        assert first is not None
        assert last is not None
        yield (
            *(video, track, names[last.label], first.frame, last.frame),
            *(seconds(first), seconds(last), len(path), f"{total / len(path):.4f}"),
            " ".join(path),
        )


def centre(row: SpooledMask) -> str:
    """Return `frame:x:y` of the centre of a mask's box."""
    left, top, width, height = coco_mask.toBbox(row.mask.to_dict()).tolist()
    return f"{row.frame}:{left + width / 2:.1f}:{top + height / 2:.1f}"


def seconds(row: SpooledMask) -> str:
    """Return when a frame is shown; empty where that is not known."""
    return "" if row.time is None else f"{row.time:.3f}"
