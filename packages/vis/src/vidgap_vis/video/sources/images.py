"""Frames that are image files."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from vidgap_vis.formats.images import Picture, decode_file
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet
from vidgap_vis.video.sources.base import FrameSource, Shot, check_size

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class ImageFolder(FrameSource):
    """Frames that are image files, in the order given.

    Args:
        path: the folder.
        files: the frames' files, at least one.

    Raises:
        InputError: the first frame does not decode.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = tuple(files)
        height, width, _ = decode_file(self.files[0]).shape
        self.size = (height, width)
        self.num_frames = len(self.files)

    def shots(self) -> Generator[Shot]:
        """Yield the images; one that does not decode, or has another size, raises InputError."""
        for index, file in enumerate(self.files):
            yield Shot(index, None, partial(self._picture, file))

    def _picture(self, file: Path) -> Picture:
        picture = decode_file(file)
        check_size(picture, self.size, file, "")
        return picture


class DatasetVideo(FrameSource):
    """Frames of a video that a YouTube-VIS file lists."""

    def __init__(self, videos: VideoSet, video: VideoInfo) -> None:
        self.videos = videos
        self.video = video
        self.path = videos.path
        self.size = video.size
        self.num_frames = len(video)

    def shots(self) -> Generator[Shot]:
        """Yield the images; one that does not decode, or has another size, raises InputError."""
        for index in range(len(self.video)):
            yield Shot(index, None, partial(self.videos.read_frame, self.video, index))


def natural_key(path: Path) -> list[list[tuple[int, str]]]:
    """Return a sorting key by which frame2.jpg comes before frame10.jpg, folder by folder."""
    names = [re.split(r"(\d+)", name) for name in path.parts]
    return [[(int(part), "") if part.isdecimal() else (-1, part) for part in n] for n in names]
