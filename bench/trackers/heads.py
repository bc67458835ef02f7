"""Milliseconds that a learned head takes for a frame, beside the segmenter's step.

Heads have the released sizes and random weights: 100 queries of 256 channels, 40 classes. Queries
are made up; masks are of all queries, at stride 4 of 360x640. Of heads that read whole videos: a
video of 36 frames, divided by 36. Times are processor time of one thread; the segmenter is a
Mask2Former with a ResNet-50.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vidgap_segmenter import HeadInputs, Mask2Former
from vidgap_vis.trackers.dvis import ReferringTracker, TemporalRefiner, mask_logits
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.trackers.vita import VITA

QUERIES, CHANNELS, CLASSES, STRIDE_4 = 100, 256, 40, (90, 160)
VIDEO_FRAMES = 36
FRAME_SIZE = (360, 640)


def inputs(num_frames: int) -> HeadInputs:
    """Make up what a segmenter hands out for T frames."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(1, 1, QUERIES, num_frames, CHANNELS, generator=generator)
    maps = torch.randn(1, num_frames, CHANNELS, *STRIDE_4, generator=generator)
    return HeadInputs(queries, maps, maps, (maps,))


def contenders() -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is timed, and how many frames a call is for."""
    one, video = inputs(1), inputs(VIDEO_FRAMES)
    queries = video.queries[0]  # (1, Q, T, C)
    frames = queries.transpose(1, 2)  # (1, T, Q, C)
    tracker = ReferringTracker(CHANNELS, CLASSES).eval()
    refiner = TemporalRefiner(CHANNELS, CLASSES).eval()
    vita = VITA(CLASSES).eval()
    genvis = GenVIS(VITA(CLASSES, window=0)).eval()
    head = TrackHead(CHANNELS).eval()
    _, _, state = tracker.step(one.queries[0])
    _, memory = genvis.step(frames[:, :1])
    embeddings = torch.randn(1, QUERIES, CHANNELS)
    features = one.queries[0][0, :, 0]
    network = Mask2Former("resnet50", CLASSES).eval()
    picture = torch.zeros(1, 1, 3, *FRAME_SIZE)
    return {
        "segmenter's step": (lambda: network.step(picture), 1),
        "DVIS's tracker": (lambda: tracker.step(one.queries[0], state), 1),
        "DVIS's tracker, each frame alone": (lambda: tracker.frame_forward(one.queries[0]), 1),
        "DVIS's refiner": (lambda: refiner(queries, queries), VIDEO_FRAMES),
        "DVIS's masks": (lambda: mask_logits(embeddings[:, :, None], one.mask_features), 1),
        "VITA": (lambda: vita(frames), VIDEO_FRAMES),
        "GenVIS, a clip of one frame": (lambda: genvis.step(frames[:, :1], memory), 1),
        "VITA's and GenVIS's masks": (
            lambda: vita.mask_logits(embeddings, one.before_projection),
            1,
        ),
        "MaskTrack R-CNN's layers": (lambda: head(features), 1),
    }


@torch.inference_mode()
def measure_heads(repeats: int) -> list[dict[str, Any]]:
    """Return a row for each head: median and quartiles, in ms a frame."""
    rows = []
    for name, (call, num_frames) in contenders().items():
        call()
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            call()
            seconds.append((time.process_time() - start) / num_frames)
        quartiles = (1e3 * np.percentile(seconds, [50, 25, 75])).round(3).tolist()
        rows.append({"head": name, "frames": num_frames, "ms": quartiles})
    return rows
