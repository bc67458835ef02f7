"""What becomes of a video while it is tracked."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vidgap_vis.formats.images import Picture
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import VideoTracks


@dataclass(frozen=True)
class Looked:
    """So many frames of a video have been seen in the first of two passes."""

    task: Task
    num_frames: int


@dataclass(frozen=True)
class Shown:
    """The tracks of a frame.

    Attributes:
        task: the video.
        frame: the frame's number in its source.
        time: its time there, in seconds; None: not known.
        result: its tracks.
        picture: the frame itself, where an output wants it.
        drawn: its overlay, where one is wanted.
    """

    task: Task
    frame: int
    time: Fraction | None
    result: FrameResult
    picture: Picture | None = None
    drawn: Picture | None = None


@dataclass(frozen=True)
class Saved:
    """All that is needed to go on after the frames of a video that were shown.

    Attributes:
        task: the video.
        num_frames: how many these are.
        state: tensors, arrays and numbers by name, nested.
    """

    task: Task
    num_frames: int
    state: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A video has ended: its tracks, ranked."""

    task: Task
    tracks: VideoTracks


@dataclass(frozen=True)
class Finished:
    """A video at the end of its outputs.

    Attributes:
        task: the video.
        num_frames: how many frames were shown.
        tracks: ranked.
    """

    task: Task
    num_frames: int
    tracks: VideoTracks


Event = Looked | Shown | Saved | Ended
"""What becomes of a video; those of one video come in order."""
