"""Strips of moments as data of the page: JPEGs and run lengths, the worst videos' first."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import cv2

from vidgap_vis.analysis.page.scripts import as_script
from vidgap_vis.analysis.results import Analysed
from vidgap_vis.analysis.strips import StripFrame, StripMaker
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.youtube_vis import VideoSet

MOST = (180, 320)
"""(H, W) of a picture in the page."""

QUALITY = 60
"""Of its JPEG."""


MomentKey = tuple[int, int, int]
"""Video id, index of the results, number of the moment."""


class Strips:
    """The strips that fit into a page.

    Attributes:
        scripts: their data, by number.
        numbers: of the strips, by moment.
        left_out: how many did not fit.
        faults: what could not be read, a line each.

    Args:
        truth: the videos.
        results: analysed.
        room: bytes that all scripts may have.
        wanted: ids of the videos.
    """

    def __init__(
        self,
        truth: VideoSet,
        results: Sequence[Analysed],
        room: int,
        wanted: Collection[int],
    ) -> None:
        self.scripts: list[str] = []
        self.numbers: dict[MomentKey, int] = {}
        self.left_out = 0
        self.faults: dict[str, None] = {}
        maker = StripMaker(truth, results, MOST)
        for key, moment in _moments(results):
            if self.left_out or key[0] not in wanted:
                self.left_out += 1
                continue
            frames = [maker.frame(key[0], index) for index in moment["frames"]]
            script = as_script(f"strip-{len(self.scripts)}", _as_json(frames))
            room -= len(script)
            if room < 0:
                self.left_out += 1
                continue
            self.numbers[key] = len(self.scripts)
            self.scripts.append(script)
            self.faults |= dict.fromkeys(frame.fault for frame in frames if frame.fault)


def _moments(results: Sequence[Analysed]) -> Iterator[tuple[MomentKey, Mapping[str, Any]]]:
    """Yield the moments, those of the worst videos first."""
    by_id = [{line["id"]: line for line in one.data["videos"]} for one in results]
    for video_id in by_id[0]:
        for which, lines in enumerate(by_id):
            for number, moment in enumerate(lines[video_id]["moments"]):
                yield (video_id, which, number), moment


def _as_json(frames: Sequence[StripFrame]) -> dict[str, Any]:
    return {
        "size": list(frames[0].size),
        "frames": [
            {
                "index": frame.index,
                "jpeg": None if frame.picture is None else _jpeg(frame.picture),
                "fault": frame.fault,
                "rows": [
                    [[shape.colour, shape.name, shape.mask.counts] for shape in row]
                    for row in frame.rows
                ],
            }
            for frame in frames
        ],
    }


def _jpeg(picture: Picture) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return b64encode(data.tobytes()).decode("ascii")
