"""From a step's output and its tracks to the results of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.masks import finish_masks
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import ClipTracks, Tracker, VideoTracks


def clip_results(
    output: ClipOutput,
    tracks: ClipTracks,
    tracker: Tracker,
    size: tuple[int, int],
    classes: ClassList,
    score_threshold: float,
    repeated: int = 0,
) -> Iterator[FrameResult]:
    """Make the masks of the T new frames of a step, and tell the tracker their scores.

    Args:
        output: of the network, for one clip.
        tracks: of the same frames but the repeated ones.
        tracker: theirs.
        size: (H, W) of the frames, and of the masks.
        classes: what labels mean.
        score_threshold: results leave out tracks whose score is below it.
        repeated: how many of the clip's frames, from the first, have been shown before.
    """
    device = output.mask_logits.device
    queries = torch.from_numpy(tracks.queries).to(device)  # (N, T)
    for time in range(tracks.queries.shape[1]):
        rows = tracks.visible(time)
        # A score is at most the best class score.
        rows = rows[tracks.class_scores[rows, time].max(axis=1) >= score_threshold]
        if tracks.mask_logits is not None:
            logits = tracks.mask_logits[rows, time]
        else:
            logits = output.mask_logits[0, queries[rows, time], repeated + time]  # (N, h, w)
        masks = finish_masks(output, logits, size, tracks.mask_resize)
        tracker.score_masks(tracks.ids[rows], masks.scores, masks.areas)
        result = FrameResult.of(tracks, time, rows, size, masks, classes)
        yield result.above(score_threshold)


def check_predictions(output: ClipOutput) -> None:
    """Raise InputError where a network's predictions are no numbers: all of it would be empty."""
    classes, masks = output.class_logits, output.mask_logits
    wrong = classes.isnan().any() | classes.isposinf().any() | ~output.embeddings.isfinite().all()
    wrong |= masks.sum(dtype=torch.float32).isnan()  # in one pass without a copy
    if bool(wrong):
        message = (
            "the network predicts nan or inf: its weights are damaged, or its precision is too low"
        )
        raise InputError("", "", message)


def without_classes(tracks: ClipTracks, step: ModelStep) -> ClipTracks:
    """Return tracks whose scores are 0 for the classes that are not looked for."""
    kept = step.class_weights.cpu().numpy().astype(np.float32)
    return replace(tracks, class_scores=tracks.class_scores * kept)


def of_kept_classes(ranked: VideoTracks, step: ModelStep) -> VideoTracks:
    """Return the results of a video without the classes that are not looked for."""
    kept = np.flatnonzero(step.class_weights.cpu().numpy()[ranked.labels])
    return VideoTracks(ranked.ids[kept], ranked.labels[kept], ranked.scores[kept])
