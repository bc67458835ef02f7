"""The contact sheet: truth above prediction, a few frames of a few clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.formats import VideoInfo, VideoSet
from vidgap_vis.formats.images import Picture
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.trackers.detections import Bools, mask_iou
from vidgap_vis.video.overlay import draw_tracks
from vidgap_vis.video.read import DatasetVideo
from vidgap_vis.video.sheet import strip, write_sheet

MIN_SCORE = 0.3
NUM_VIDEOS, NUM_FRAMES = 4, 6
SCALE = 2
"""By which frames are enlarged."""
SWITCH = "!"
MIN_IOU = 0.5
"""Of a track that shows an instance."""


def write_contact_sheet(
    path: Path, videos: VideoSet, segmenter: VideoSegmenter, latency: int
) -> None:
    """Write a PNG: for each video a row of truth and a row of tracks, one colour per identity.

    Args:
        path: the file.
        videos: with truth; the first ones are shown, however well they were tracked.
        segmenter: what tracks them.
        latency: frames that the model sees at once.
    """
    rows = []
    for video in videos.videos[:NUM_VIDEOS]:
        shown = np.linspace(0, len(video) - 1, min(NUM_FRAMES, len(video))).round().astype(int)
        rows.append(
            [
                strip(draw_truth(videos, video, shown.tolist())),
                strip(draw_prediction(videos, video, shown.tolist(), segmenter, latency)),
            ]
        )
    write_sheet(path, rows)


def draw_truth(videos: VideoSet, video: VideoInfo, shown: Sequence[int]) -> list[Picture]:
    """Draw the true instances on some frames."""
    masks = videos.read_masks(video, video.instances, shown)
    numbers = list(range(1, len(masks) + 1))
    return [
        draw_tracks(
            videos.read_frame(video, frame),
            masks[:, column],
            numbers,
            [str(number) for number in numbers],
            scale=SCALE,
        )
        for column, frame in enumerate(shown)
    ]


def draw_prediction(
    videos: VideoSet,
    video: VideoInfo,
    shown: Sequence[int],
    segmenter: VideoSegmenter,
    latency: int,
) -> list[Picture]:
    """Track a video; draw its tracks on some frames.

    A "!" is at the number of a track that has taken over an instance since the frame drawn before.
    """
    pictures: list[Picture] = []
    switched: set[int] = set()
    tracker = SwitchMarks(videos, video)
    source = DatasetVideo(videos, video)
    for frame, result in segmenter.track(source, latency, score_threshold=MIN_SCORE):
        ids, masks = result.track_ids.tolist(), result.masks
        switched |= tracker.update(ids, masks)
        if result.frame_index in shown:
            captions = [f"{track_id}{SWITCH if track_id in switched else ''}" for track_id in ids]
            pictures.append(draw_tracks(frame, masks, ids, captions, scale=SCALE))
            switched = set()
    return pictures


class SwitchMarks:
    """Notices the tracks that take over an instance from another track.

    Args:
        videos: with truth.
        video: the one that is tracked.
    """

    def __init__(self, videos: VideoSet, video: VideoInfo) -> None:
        self.videos, self.video = videos, video
        self._time = 0
        self._last: dict[int, int] = {}

    def update(self, ids: Sequence[int], masks: Bools) -> set[int]:
        """Take a frame's tracks, masks (N, H, W); return those that took over an instance."""
        true = self.videos.read_masks(self.video, self.video.instances, [self._time])[:, 0]
        self._time += 1
        taken = set()
        if len(ids):
            overlap = mask_iou(true, masks)
            for instance, column in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[instance, column] >= MIN_IOU:
                    track = ids[column]
                    if self._last.setdefault(instance, track) != track:
                        taken.add(track)
                    self._last[instance] = track
        return taken
