"""Frames of a video with what is true and what was found, small enough to show side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vidgap_vis.analysis.results import Analysed
from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle, Size, as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet


@dataclass(frozen=True)
class Shape:
    """A mask in a picture.

    Attributes:
        colour: number of its colour; a truth and the track that finds it most have the same.
        name: what it is.
        mask: of the picture's size.
    """

    colour: int
    name: str
    mask: Rle


@dataclass(frozen=True)
class StripFrame:
    """A frame, reduced.

    Attributes:
        index: in its video.
        size: (H, W) of the picture.
        picture: RGB; None where it cannot be read.
        fault: why it cannot; "": it can.
        rows: the masks of the truth, then of each results.
    """

    index: int
    size: Size
    picture: Picture | None
    fault: str
    rows: list[list[Shape]]


class StripMaker:
    """Cuts strips of frames.

    Args:
        truth: the videos; without a root of the images, strips have masks alone.
        results: what is shown below the truth, a row each.
        most: (H, W) that a picture may have; larger ones are reduced.
    """

    def __init__(self, truth: VideoSet, results: Sequence[Analysed], most: Size) -> None:
        self.truth = truth
        self.results = results
        self.most = most
        self._videos = {video.id: video for video in truth.videos}
        self._lines = [{one["id"]: one for one in each.data["videos"]} for each in results]

    def frame(self, video_id: int, index: int) -> StripFrame:
        """Return a frame of a video."""
        video = self._videos[video_id]
        size = reduced_size(video.size, self.most)
        picture, fault = self._picture(video, index, size)
        rows = [self._truths(video, index, size)]
        for each, lines in zip(self.results, self._lines, strict=True):
            rows.append(_tracks(each.tracks(video_id), lines[video_id]["tracks"], index, size))
        return StripFrame(index, size, picture, fault, rows)

    def _picture(self, video: VideoInfo, index: int, size: Size) -> tuple[Picture | None, str]:
        if self.truth.root is None:
            return None, ""
        try:
            picture = self.truth.read_frame(video, index)
        except InputError as error:
            return None, str(error)
        if size != video.size:
            picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        return picture, ""

    def _truths(self, video: VideoInfo, index: int, size: Size) -> list[Shape]:
        names = self.truth.classes
        shapes = []
        for colour, instance in enumerate((*video.instances, *video.crowds)):
            mask = as_rle(instance.segmentations[index])
            if mask is not None and mask.area():
                crowd = "crowd of " if colour >= len(video.instances) else ""
                name = f"{crowd}{names[instance.label].name} {instance.id}"
                shapes.append(Shape(colour, name, reduced_mask(mask, size)))
        return shapes


def reduced_size(size: Size, most: Size) -> Size:
    """Return (H, W) of a picture, reduced as a whole so that no side is longer than `most`."""
    scale = min(1.0, *(limit / side for limit, side in zip(most, size, strict=True)))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def _tracks(
    tracks: Sequence[Track], lanes: Sequence[Mapping[str, Any]], index: int, size: Size
) -> list[Shape]:
    """Return the masks of the listed tracks in a frame; the same masks once."""
    shapes: dict[int, Shape] = {}
    for lane in lanes:
        mask = tracks[lane["track"]].masks[index]
        if lane["drawn_as"] not in shapes and mask is not None and mask.area():
            name = f"{lane['name']}, track {lane['drawn_as']}"
            shapes[lane["drawn_as"]] = Shape(lane["colour"], name, reduced_mask(mask, size))
    return [*shapes.values()]


def reduced_mask(mask: Rle, size: Size) -> Rle:
    """Return a mask at (H, W), no larger than its own, with a pixel at least if it has one."""
    if mask.size == size:
        return mask
    pixels = np.ascontiguousarray(mask.decode()).astype(np.uint8) * 255
    small = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    if pixels.any() and not small.any():  # what is smallest keeps a pixel
        row, column = (int(pixel.mean()) for pixel in np.nonzero(pixels))
        small[row * size[0] // mask.size[0], column * size[1] // mask.size[1]] = 255
    return Rle.encode(small >= min(128, max(1, int(small.max()))))  # and what is small
