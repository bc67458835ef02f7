"""What all metrics are computed from: areas and intersections of the tracks of a video.

They are computed once, all pairs in all frames, and the masks are then forgotten.
Letters: D found tracks, N true ones, M either, T frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.evaluation.arrays import Bools, Counts, Doubles, Ints
from vidgap_vis.formats.results import Track
from vidgap_vis.native import extension


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
        shared: (T, D, N) int32, pixels that two tracks share in a frame.
    """

    video_id: int
    found: TrackArrays
    true: TrackArrays
    shared: Counts

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


def overlaps(video_id: int, found: Sequence[Track], true: Sequence[Track]) -> VideoOverlaps:
    """Compare all found with all true tracks of a video, in native code where it is there.

    Raises:
        ValueError: the tracks differ in their number of frames or the size of their masks.
        MaskError: a mask is malformed.
    """
    tracks = [*found, *true]
    num_frames, pixels = _common_size(tracks)
    native = extension()
    if native is not None and pixels <= native.MOST_PIXELS:
        areas, shared = _by_kernel(native, found, true, num_frames, pixels)
    else:
        areas, shared = _by_pycocotools(found, true, num_frames)
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
        for row, track in enumerate(tracks):
            areas[row, frame] = _area(track, frame)
        rows = np.flatnonzero(areas[: len(found), frame]).tolist()
        columns = np.flatnonzero(areas[len(found) :, frame]).tolist()
        if rows and columns:
            # With every truth called a crowd, pycocotools divides by the area of the prediction;
            # times that area is the intersection, an integer that rounding gives back exactly.
            shares = coco_mask.iou(
                [_as_coco(found[d], frame) for d in rows],
                [_as_coco(true[n], frame) for n in columns],
                [1] * len(columns),
            )
            shared[frame][np.ix_(rows, columns)] = np.rint(shares * areas[rows, frame, None])
    return areas, shared


def _area(track: Track, frame: int) -> int:
    mask = track.masks[frame]
    try:
        return 0 if mask is None else mask.area()
    except ValueError as error:
        raise MaskError(track, frame, str(error)) from None


def _as_coco(track: Track, frame: int) -> dict[str, object]:
    """Return a present mask, whose counts have been checked, as pycocotools takes it."""
    mask = track.masks[frame]
    assert mask is not None
    return {"size": list(mask.size), "counts": mask.counts}


def _refuse_malformed(track: Track, frame: int) -> None:
    """Raise what the reference says about a mask that the kernel did not take."""
    _area(track, frame)
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
