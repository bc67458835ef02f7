"""Overlays of frames: which parts are drawn, and where tracks have been."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from vidgap_vis.errors import check
from vidgap_vis.formats.images import Picture
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.outputs.events import Ended, Event, Shown
from vidgap_vis.video.boxed_masks import BoxedMask
from vidgap_vis.video.overlay import Point, display_scale, draw_tracks

TRAIL = 48
"""Frames for which a trail shows where a track has been."""


@dataclass(frozen=True)
class Draw:
    """What of the tracks is drawn.

    Attributes:
        masks: their pixels, with an outline.
        boxes: the boxes around them.
        trails: where the centres of the boxes have been.
        ids: their numbers.
        labels: their classes and scores.
    """

    usual: ClassVar[tuple[str, ...]] = ("masks", "ids", "labels")

    masks: bool = False
    boxes: bool = False
    trails: bool = False
    ids: bool = False
    labels: bool = False

    @classmethod
    def of(cls, names: Sequence[str]) -> Draw:
        """Return what is named; ValueError where there is no such thing, or nothing."""
        known = [field.name for field in fields(cls)]
        unknown = [name for name in names if name not in known]
        wanted = f"of {', '.join(known)}"
        check("draw", not unknown and len(names) > 0, wanted, ", ".join(unknown) or "nothing")
        return cls(**dict.fromkeys(names, True))

    def caption(self, name: str, track: int, score: float) -> str:
        """Return what is written beside a track."""
        parts = [name] * self.labels + [str(track)] * self.ids + [f"{score:.2f}"] * self.labels
        return " ".join(parts)


class Drawing:
    """Draws the overlays of frames; one thread calls it, with the frames of a video in order.

    Args:
        draw: what is drawn.
        score: tracks below it are not.
        min_short_edge: smaller frames are enlarged by a whole factor.
    """

    def __init__(self, draw: Draw, score: float, min_short_edge: int) -> None:
        self.draw = draw
        self.score = score
        self.min_short_edge = min_short_edge
        self._trails: dict[int, Trails] = {}

    def __call__(self, event: Event) -> Event:
        """Draw the tracks of a frame that is shown, if an overlay is wanted of it."""
        if isinstance(event, Ended):
            self._trails.pop(event.task.number, None)
        if not isinstance(event, Shown) or event.picture is None or event.task.job.overlay is None:
            return event
        result = event.result.above(self.score)
        trails: list[list[Point]] = []
        if self.draw.trails:
            trails = self._trails.setdefault(event.task.number, Trails()).add(result)
        scale = display_scale(result.size, self.min_short_edge)
        return replace(event, drawn=draw_result(event.picture, result, scale, self.draw, trails))


class Trails:
    """Where the tracks of a video have been in its last frames."""

    def __init__(self) -> None:
        self._centres: dict[int, deque[tuple[int, Point]]] = {}
        self._now = 0

    def add(self, result: FrameResult) -> list[list[Point]]:
        """Take a frame's tracks; return the trail of each, oldest point first."""
        self._now += 1
        for track, rle in zip(result.track_ids.tolist(), result.rles, strict=True):
            mask = BoxedMask.of(rle)
            if mask.area:
                left, top, right, bottom = mask.box
                centre = ((left + right) / 2, (top + bottom) / 2)
                self._centres.setdefault(track, deque()).append((self._now, centre))
        for track, points in [*self._centres.items()]:
            while points and points[0][0] <= self._now - TRAIL:
                points.popleft()
            if not points:
                del self._centres[track]
        return [
            [point for _, point in self._centres.get(track, ())]
            for track in result.track_ids.tolist()
        ]


def draw_result(
    frame: Picture,
    result: FrameResult,
    scale: int = 1,
    draw: Draw | None = None,
    trails: Sequence[Sequence[Point]] = (),
) -> Picture:
    """Draw the tracks of a frame, by default each with its class, id and score."""
    draw = draw or Draw.of(Draw.usual)
    rows = zip(result.names, result.track_ids.tolist(), result.scores.tolist(), strict=True)
    return draw_tracks(
        frame,
        result.rles,
        result.track_ids.tolist(),
        [draw.caption(*row) for row in rows],
        scale=scale,
        masks=draw.masks,
        boxes=draw.boxes,
        trails=trails,
    )
