"""What all metrics are computed from: areas and intersections of the tracks of a video.

They are computed once, all pairs in all frames, and the masks are then forgotten.
Letters: D found tracks, N true ones, M either, T frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.evaluation.arrays import Bools, Counts, Doubles, Ints
from vidgap_vis.formats.results import Track
from vidgap_vis.native import extension, obstacle

Backend: TypeAlias = Literal["auto", "native", "reference"]

_MOST_SHARED = 2**31 - 1
"""What 32 bits hold; frames of more pixels are compared with 64."""


class MaskError(ValueError):
    """A mask is malformed.

    Attributes:
        track: whose mask it is.
        frame: its index there.
    """

    def __init__(self, track: Track, frame: int, reason: str) -> None:
        super().__init__(f"video {track.video_id} frame {frame}: {reason}")
        self.track, self.frame, self.reason = track, frame, reason


@dataclass(frozen=True)
class TrackArrays:
    """Tracks without their masks.

    Attributes:
        labels: (M,) int64.
        scores: (M,) float64.
        is_crowd: (M,) bool.
        occlusion: (M,) float64, how much is hidden, 0..1; NaN where unknown.
        areas: (M, T) int64, pixels.
        first_alike: (M,) int64, the index of the first track with the same masks: a track may be
            listed under several classes.
    """

    labels: Ints
    scores: Doubles
    is_crowd: Bools
    occlusion: Doubles
    areas: Ints
    first_alike: Ints

    @classmethod
    def of(cls, tracks: Sequence[Track], areas: Ints) -> TrackArrays:
        """Take what is not in the masks."""
        hidden = [np.nan if track.occlusion is None else track.occlusion for track in tracks]
        return cls(
            np.array([track.label for track in tracks], dtype=np.int64),
            np.array([track.score for track in tracks], dtype=np.float64),
            np.array([track.is_crowd for track in tracks], dtype=bool),
            np.array(hidden, dtype=np.float64),
            areas,
            _first_alike(tracks, areas),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, keep: Bools) -> TrackArrays:
        """Return some tracks, (M,); of those with the same masks the first that is kept counts."""
        rows = np.flatnonzero(keep)
        firsts: dict[int, int] = {}
        old = self.first_alike[rows].tolist()
        alike = [firsts.setdefault(first, new) for new, first in enumerate(old)]
        return TrackArrays(
            self.labels[rows],
            self.scores[rows],
            self.is_crowd[rows],
            self.occlusion[rows],
            self.areas[rows],
            np.array(alike, dtype=np.int64),
        )

    @property
    def mean_areas(self) -> Doubles:
        """(M,), the mean over the frames that show a track; 0 where none does."""
        return self.areas.sum(axis=1) / np.maximum(np.count_nonzero(self.areas, axis=1), 1)


@dataclass(frozen=True)
class VideoOverlaps:
    """The tracks of a video and what they share.

    Attributes:
        video_id: the video.
        found: D predicted tracks.
        true: N true ones.
        shared: (T, D, N) int32, pixels that two tracks share in a frame; int64 where a frame has
            more than 32 bits can count.
    """

    video_id: int
    found: TrackArrays
    true: TrackArrays
    shared: Counts | Ints

    def track_ious(self) -> Doubles:
        """Return (D, N): intersections summed over the frames, over unions summed likewise.

        0 where both tracks are empty.
        """
        shared = self.shared.sum(axis=0, dtype=np.int64)
        union = self.found.areas.sum(axis=1)[:, None] + self.true.areas.sum(axis=1) - shared
        return shared / np.maximum(union, 1)

    def frame_ious(self) -> Doubles:
        """Return (T, D, N): the IoU in each frame; 0 where both masks are empty."""
        union = self.found.areas.T[:, :, None] + self.true.areas.T[:, None, :] - self.shared
        return self.shared / np.maximum(union, 1)


def overlaps(
    video_id: int,
    found: Sequence[Track],
    true: Sequence[Track],
    *,
    num_frames: int | None = None,
    backend: Backend = "auto",
) -> VideoOverlaps:
    """Compare all found with all true tracks of a video; by default natively, where that can be.

    Args:
        video_id: the video.
        found: D predicted tracks.
        true: N true ones.
        num_frames: T, for videos that may have no track; None: that of the tracks.
        backend: who computes.

    Raises:
        ValueError: the tracks differ in their number of frames or the size of their masks, or the
            backend asked for is not there.
        MaskError: a mask is malformed.
    """
    if backend == "native" and (why := obstacle()):
        raise ValueError(f"overlaps(backend='native'): {why}")
    tracks = [*found, *true]
    length, pixels = _common_size(tracks)
    if not tracks:
        length = num_frames or 0
    elif num_frames not in (None, length):
        raise ValueError(f"video {video_id}: tracks must have {num_frames} frames, got {length}")
    native = None if backend == "reference" else extension()
    areas: Ints
    shared: Counts | Ints
    if native is not None and pixels <= native.MOST_PIXELS:
        areas, shared = _by_kernel(native, found, true, length, pixels)
    elif pixels <= _MOST_SHARED:
        areas, shared = _by_pycocotools(found, true, length)
    else:
        areas, shared = _by_run_lengths(found, true, length)
    return VideoOverlaps(
        video_id,
        TrackArrays.of(found, areas[: len(found)]),
        TrackArrays.of(true, areas[len(found) :]),
        shared,
    )


def _first_alike(tracks: Sequence[Track], areas: Ints) -> Ints:
    """Find the first track of the same masks for each; only those of equal areas are compared."""
    firsts: defaultdict[bytes, list[int]] = defaultdict(list)
    alike = np.arange(len(tracks))
    for index, track in enumerate(tracks):
        candidates = firsts[areas[index].tobytes()]
        same = next((i for i in candidates if tracks[i].masks == track.masks), None)
        if same is None:
            candidates.append(index)
        else:
            alike[index] = same
    return alike


def _by_kernel(
    native: ModuleType, found: Sequence[Track], true: Sequence[Track], num_frames: int, pixels: int
) -> tuple[Ints, Counts]:
    areas = np.empty((len(found) + len(true), num_frames), np.int64)
    shared = np.empty((num_frames, len(found), len(true)), np.int32)
    true_areas = areas[len(found) :]
    texts = (
        [None if mask is None else mask.counts for track in tracks for mask in track.masks]
        for tracks in (found, true)
    )
    addresses = (array.ctypes.data for array in (areas, true_areas, shared))
    bad = native.overlaps(*texts, num_frames, pixels, *addresses)
    if bad >= 0:
        row, frame = divmod(bad, num_frames)
        _refuse_malformed([*found, *true][row], frame)
    return areas, shared


def _by_pycocotools(
    found: Sequence[Track], true: Sequence[Track], num_frames: int
) -> tuple[Ints, Counts]:
    """Compute the same frame by frame: the reference, and the way where nothing is compiled."""
    tracks = [*found, *true]
    areas = np.zeros((len(tracks), num_frames), np.int64)
    shared = np.zeros((num_frames, len(found), len(true)), np.int32)
    for frame in range(num_frames):
        masks = {}
        for row, track in enumerate(tracks):
            counts = _run_lengths(track, frame)
            areas[row, frame] = counts[1::2].sum()
            if areas[row, frame]:
                masks[row] = _as_coco(track, frame, counts)
        rows = [row for row in masks if row < len(found)]
        columns = [row - len(found) for row in masks if row >= len(found)]
        if rows and columns:
            # With every truth called a crowd, pycocotools divides by the area of the prediction;
            # times that area is the intersection, an integer that rounding gives back exactly.
            shares = coco_mask.iou(
                [masks[d] for d in rows],
                [masks[len(found) + n] for n in columns],
                [1] * len(columns),
            )
            shared[frame][np.ix_(rows, columns)] = np.rint(shares * areas[rows, frame, None])
    return areas, shared


def _as_coco(track: Track, frame: int, counts: Ints) -> dict[str, object]:
    """Return a mask of checked counts as pycocotools takes it.

    Its boxes, which decide whether it compares two masks, are wrong where runs are empty: such
    runs are left out.
    """
    mask = track.masks[frame]
    assert mask is not None
    rle: dict[str, object] = {"size": list(mask.size), "counts": mask.counts}
    if counts[1:].all():
        return rle
    runs = np.flatnonzero(counts)
    starts = np.flatnonzero(np.diff(runs % 2, prepend=-1))
    merged = np.add.reduceat(counts[runs], starts).tolist()
    return coco_mask.frPyObjects({**rle, "counts": [0] * int(runs[0] % 2) + merged}, *mask.size)


def _by_run_lengths(
    found: Sequence[Track], true: Sequence[Track], num_frames: int
) -> tuple[Ints, Ints]:
    """Compute the same where a frame has more pixels than pycocotools counts."""
    shape = num_frames, len(found), len(true)
    areas, shared = np.zeros((shape[1] + shape[2], num_frames), np.int64), np.zeros(shape, np.int64)
    for frame in range(num_frames):
        counts = [_run_lengths(track, frame) for track in [*found, *true]]
        areas[:, frame] = [lengths[1::2].sum() for lengths in counts]
        for d, n in np.ndindex(shape[1:]):
            shared[frame, d, n] = _shared_pixels(counts[d], counts[len(found) + n])
    return areas, shared


def _shared_pixels(*masks: Ints) -> int:
    """Return the intersection of two masks, given by their run lengths."""
    ends = [np.cumsum(counts) for counts in masks]
    cuts = np.union1d(*ends)
    # Between two cuts both masks have one value, that of the first run which ends there or behind.
    inside = np.logical_and(*(np.searchsorted(end, cuts) % 2 == 1 for end in ends))
    return int(np.diff(cuts, prepend=0)[inside].sum())


def _run_lengths(track: Track, frame: int) -> Ints:
    """Return the run lengths of a mask, none of an absent one."""
    mask = track.masks[frame]
    try:
        return np.zeros(0, np.int64) if mask is None else mask.run_lengths()
    except ValueError as error:
        raise MaskError(track, frame, str(error)) from None


def _refuse_malformed(track: Track, frame: int) -> None:
    """Raise what the reference says about a mask that the kernel did not take."""
    _run_lengths(track, frame)
    raise AssertionError(f"kernel and reference differ about frame {frame} of {track}")


def _common_size(tracks: Sequence[Track]) -> tuple[int, int]:
    """Return the number of frames and of pixels of the tracks of a video; 0 where none says it."""
    if not tracks:
        return 0, 0
    lengths = sorted({len(track.masks) for track in tracks})
    if len(lengths) > 1:
        raise ValueError(
            f"video {tracks[0].video_id}: tracks must have a mask or None for every frame, "
            f"got tracks of {lengths[0]} and of {lengths[-1]} frames"
        )
    sizes = sorted({mask.size for track in tracks for mask in track.masks if mask is not None})
    if len(sizes) > 1:
        raise ValueError(
            f"video {tracks[0].video_id}: masks must have one size, got {sizes[0]} and {sizes[-1]}"
        )
    return lengths[0], sizes[0][0] * sizes[0][1] if sizes else 0
