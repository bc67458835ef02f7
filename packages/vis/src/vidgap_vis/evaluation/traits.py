"""What makes truths hard: how large, long, fast and hidden they are, and who looks like them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.evaluation.arrays import Doubles
from vidgap_vis.evaluation.evaluation import true_tracks
from vidgap_vis.evaluation.strata import AREA_RANGES
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet

NEAR = 2.0
"""Sizes (square roots of areas) between the centres of look-alikes that are near each other."""


@dataclass(frozen=True)
class Traits:
    """Of a truth.

    Attributes:
        area: the mean over the frames that show it, in pixels.
        occlusion: how much of it is hidden, 0..1 as OVIS scores it; None: not known.
        length: how many frames show it.
        speed: how far the centre of its box goes from one frame to the next that shows it, in its
            own sizes: the median; None where no two frames follow each other.
        look_alikes: other truths of its class in the video.
        crossing: how near a look-alike's centre comes in a frame, in the size of the larger; 0
            where their boxes share a pixel; None: there is none in any frame.
    """

    area: float
    occlusion: float | None
    length: int
    speed: float | None
    look_alikes: int
    crossing: float | None


OCCLUSIONS = {"light": (0, 0.25), "medium": (0.25, 0.5), "heavy": (0.5, np.inf)}
"""OVIS's ranges, of which a truth is in one here."""

Bins = tuple[tuple[str, Callable[[Traits], bool]], ...]


def _between(name: str, low: float, high: float) -> Callable[[Traits], bool]:
    """Return whether a trait is known and in [low, high)."""

    def fits(low: float, high: float, traits: Traits) -> bool:
        value = getattr(traits, name)
        return value is not None and low <= value < high

    return partial(fits, low, high)


SPLITS: dict[str, Bins] = {
    "size": tuple((one.name, _between("area", *one.areas)) for one in AREA_RANGES[1:]),
    "occlusion": (
        ("unknown", lambda traits: traits.occlusion is None),
        *((name, _between("occlusion", *bounds)) for name, bounds in OCCLUSIONS.items()),
    ),
    "frames": (
        ("up to 10", _between("length", 0, 11)),
        ("11 to 30", _between("length", 11, 31)),
        ("more", _between("length", 31, np.inf)),
    ),
    "speed, sizes a frame": (
        ("unknown", lambda traits: traits.speed is None),
        ("below 0.05", _between("speed", 0, 0.05)),
        ("0.05 to 0.2", _between("speed", 0.05, 0.2)),
        ("more", _between("speed", 0.2, np.inf)),
    ),
    "look-alikes": (
        ("none", _between("look_alikes", 0, 1)),
        ("1", _between("look_alikes", 1, 2)),
        ("2 or 3", _between("look_alikes", 2, 4)),
        ("more", _between("look_alikes", 4, np.inf)),
    ),
    "nearest look-alike": (
        ("none", lambda traits: traits.crossing is None),
        ("crosses it", lambda traits: traits.crossing == 0),
        ("near", lambda traits: traits.crossing is not None and 0 < traits.crossing < NEAR),
        ("far", _between("crossing", NEAR, np.inf)),
    ),
}
"""Groups of truths, by trait; a truth is in one of each."""


def traits_of(truth: VideoSet, video: VideoInfo) -> list[Traits]:
    """Return the traits of a video's instances, in the order of the file.

    Raises:
        InputError: a mask is malformed.
    """
    tracks = [track for track in true_tracks(truth, video) if not track.is_crowd]
    boxes = [_boxes(track) for track in tracks]
    return [_traits(tracks, boxes, index) for index in range(len(tracks))]


def _boxes(track: Track) -> Doubles:
    """Return the boxes of a track, (T, 4) x, y, width and height; NaN where it is absent."""
    boxes = np.full((len(track.masks), 4), np.nan)
    shown = np.flatnonzero(track.areas)
    masks = [mask for frame in shown.tolist() if (mask := track.masks[frame]) is not None]
    if masks:
        boxes[shown] = coco_mask.toBbox([mask.to_dict() for mask in masks])
    return boxes


def _traits(tracks: list[Track], boxes: list[Doubles], index: int) -> Traits:
    track, own = tracks[index], boxes[index]
    centres = own[:, :2] + own[:, 2:] / 2
    sizes = np.sqrt(np.maximum(track.areas, 1))
    ways = np.linalg.norm(np.diff(centres, axis=0), axis=1) / sizes[1:]
    ways = ways[~np.isnan(ways)]
    alike = [k for k, one in enumerate(tracks) if k != index and one.label == track.label]
    nearest = [
        _nearness(own, boxes[k], sizes, np.sqrt(np.maximum(tracks[k].areas, 1))) for k in alike
    ]
    known = [value for value in nearest if value is not None]
    return Traits(
        area=track.area,
        occlusion=track.occlusion,
        length=int(np.count_nonzero(track.areas)),
        speed=float(np.median(ways)) if len(ways) else None,
        look_alikes=len(alike),
        crossing=min(known, default=None),
    )


def _nearness(own: Doubles, other: Doubles, sizes: Doubles, others: Doubles) -> float | None:
    """Return how near two tracks come; arguments by frame."""
    both = ~np.isnan(own[:, 0]) & ~np.isnan(other[:, 0])
    if not both.any():
        return None
    one, two = own[both], other[both]
    low = np.maximum(one[:, :2], two[:, :2])
    high = np.minimum(one[:, :2] + one[:, 2:], two[:, :2] + two[:, 2:])
    if (low < high).all(axis=1).any():
        return 0.0
    apart = np.linalg.norm(one[:, :2] + one[:, 2:] / 2 - two[:, :2] - two[:, 2:] / 2, axis=1)
    return float((apart / np.maximum(sizes[both], others[both])).min())
