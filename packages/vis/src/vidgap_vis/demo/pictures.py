"""The contact sheet: truth above predictions, a few frames of a few clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidgap_vis.evaluation import SwitchWatch
from vidgap_vis.formats import VideoInfo, VideoSet
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.video.overlay import draw_tracks
from vidgap_vis.video.sheet import strip, write_sheet
from vidgap_vis.video.sources import DatasetVideo

MIN_SCORE = 0.3
NUM_VIDEOS, NUM_FRAMES = 4, 6
SCALE = 2
"""By which frames are enlarged."""
SWITCH = "!"


def write_contact_sheet(path: Path, videos: VideoSet, segmenters: Sequence[VideoSegmenter]) -> None:
    """Write a PNG: for each video a row of truth and rows of tracks, one colour per identity.

    Args:
        path: the file.
        videos: with truth; the first ones are shown, however well they were tracked.
        segmenters: what track them, a row each.
    """
    rows = []
    for video in videos.videos[:NUM_VIDEOS]:
        shown = np.linspace(0, len(video) - 1, min(NUM_FRAMES, len(video))).round().astype(int)
        drawn = [draw_truth(videos, video, shown.tolist())]
        drawn += [draw_prediction(videos, video, shown.tolist(), one) for one in segmenters]
        rows.append([strip(pictures) for pictures in drawn])
    write_sheet(path, rows)


def draw_truth(videos: VideoSet, video: VideoInfo, shown: Sequence[int]) -> list[Picture]:
    """Draw the true instances on some frames."""
    masks = videos.read_masks(video, video.instances, shown)
    numbers = list(range(1, len(masks) + 1))
    return [
        draw_tracks(
            videos.read_frame(video, frame),
            [Rle.encode(mask) for mask in masks[:, column]],
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
) -> list[Picture]:
    """Track a video; draw its tracks on some frames.

    A "!" is at the number of a track that has taken over an instance since the frame drawn before.
    """
    pictures: list[Picture] = []
    switched: set[int] = set()
    watch = SwitchWatch(video)
    source = DatasetVideo(videos, video)
    for frame, result in segmenter.track(source, score_threshold=MIN_SCORE):
        ids = result.track_ids.tolist()
        switched |= watch.update(dict(zip(ids, result.rles, strict=True)))
        if result.frame_index in shown:
            captions = [f"{track_id}{SWITCH if track_id in switched else ''}" for track_id in ids]
            pictures.append(draw_tracks(frame, result.rles, ids, captions, scale=SCALE))
            switched = set()
    return pictures
