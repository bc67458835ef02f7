"""Strips as figures: frames by truth and results, as the paper's Figs. 5 to 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidgap_vis.analysis.results import Analysed
from vidgap_vis.analysis.strips import Shape, StripFrame, StripMaker
from vidgap_vis.errors import ConfigError
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.youtube_vis import VideoSet
from vidgap_vis.video.overlay import display_scale, draw_tracks
from vidgap_vis.video.sheet import captioned, strip, write_sheet

NUM_FRAMES = 6
"""Of a strip."""

MOST = (240, 426)
"""(H, W) of a picture in it; smaller ones are enlarged by a whole factor."""

LONGEST = 640
"""Side of an enlarged picture."""

GREY = 96

Choice = Literal["worst", "best"]


def chosen_videos(
    results: Analysed, choice: Choice | Sequence[int], number: int
) -> list[Mapping[str, Any]]:
    """Return the videos that are chosen: the worst or the best of the results, or by id.

    Raises:
        ConfigError: there is no video of an id.
    """
    lines = results.data["videos"]
    if choice == "worst":
        return list(lines[:number])
    if choice == "best":
        # Among those that lose nothing, the ones with most to find come first.
        order = sorted(lines, key=lambda one: (one["lost"], one["switches"], -len(one["truths"])))
        return [line for line in order if line["truths"]][:number]
    known = {line["id"]: line for line in lines}
    for video_id in choice:
        if video_id not in known:
            raise ConfigError("", "--videos", f"wanted ids of the truth, which has no {video_id}")
    return [known[video_id] for video_id in choice]


def figure_path(folder: Path, line: Mapping[str, Any]) -> Path:
    """Return where the figure of a video goes."""
    return folder / f"video_{line['id']}.png"


def write_figures(
    folder: Path, truth: VideoSet, results: Sequence[Analysed], lines: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Write a PNG of each video: a row of frames for the truth, then one for each results.

    A colour is an identity: a track has that of the truth which it finds most often, so where a
    truth changes its colour from frame to frame, its identity was switched.

    Args:
        folder: where they go, `video_ID.png` each.
        truth: the videos; with a root of the images, else masks are drawn on grey.
        results: analysed; the first ones' worst moment is among the frames.
        lines: of the videos, from the first results' data.

    Returns:
        What could not be read, a line each.
    """
    maker = StripMaker(truth, results, MOST)
    faults = []
    for line in lines:
        frames = [maker.frame(line["id"], index) for index in frames_of(line)]
        faults += [frame.fault for frame in frames if frame.fault]
        groups = []
        for row, name in enumerate(["truth", *(one.name for one in results)]):
            pictures = strip([drawn_frame(frame, frame.rows[row]) for frame in frames])
            groups.append([captioned(name, pictures.shape[1]), pictures])
        numbers = ", ".join(str(frame.index) for frame in frames)
        title = captioned(f"{line['name']}: frames {numbers}", groups[0][1].shape[1])
        write_sheet(figure_path(folder, line), [[title], *groups])
    return faults


def frames_of(line: Mapping[str, Any]) -> list[int]:
    """Return the frames of a video's figure: its worst moment's, and those farthest from them."""
    every = np.arange(line["frames"])
    frames = [*dict.fromkeys(line["moments"][0]["frames"] if line["moments"] else [0])]
    while len(frames) < min(NUM_FRAMES, len(every)):
        away = np.abs(every[:, None] - frames).min(axis=1)
        frames.append(int(away.argmax()))
    return sorted(frames)


def drawn_frame(frame: StripFrame, shapes: Sequence[Shape]) -> Picture:
    """Return a frame with masks of one row, enlarged where it is small."""
    picture = frame.picture
    if picture is None:
        picture = np.full((*frame.size, 3), GREY, np.uint8)
    return draw_tracks(
        picture,
        [shape.mask for shape in shapes],
        [shape.colour for shape in shapes],
        [shape.name for shape in shapes],
        scale=min(display_scale(frame.size, MOST[0]), max(1, LONGEST // max(frame.size))),
    )
