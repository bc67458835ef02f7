"""The real classes, run as the official code's numbers want it: plain arrays in, numbers out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from segmenter.joint import official_runs as official_joint
from torch import Tensor
from vis.trackers import official_associators, official_dvis, official_losses, official_vita

from vidgap_segmenter import ClipOutput, ClipTargets
from vidgap_segmenter.mask2former import Criterion
from vidgap_vis.trackers import Detections
from vidgap_vis.trackers.ctvis import (
    ContrastiveLoss,
    CTVISAssociator,
    CTVISOptions,
    release_queries,
)

Array = npt.NDArray[np.float64]

RUNS: dict[str, Callable[..., dict[str, npt.NDArray[Any]]]] = {
    **official_associators.RUNS,
    **official_dvis.RUNS,
    **official_joint.RUNS,
    **official_losses.RUNS,
    **official_vita.RUNS,
}
"""From weights, inputs and constants of a method to its outputs, by the method's name."""

NUM_POINTS = 12544
REID_WEIGHT, AUX_REID_WEIGHT = 2.0, 3.0


def ctvis_tracker(
    detections: Mapping[str, Array], parameters: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Track a video.

    Args:
        detections: pred_logits (T, Q, K+1), pred_masks (T, Q, h, w), pred_embeds (T, Q, C).
        parameters: the release's names and values.

    Returns:
        Of each track in the order of the release's dictionary: mean logits (N, K+1), and mask
        logits (N, T, h, w), 0 where it is absent.
    """
    logits, masks, embeddings = (
        np.asarray(detections[name], np.float64)
        for name in ("pred_logits", "pred_masks", "pred_embeds")
    )
    associator = CTVISAssociator(
        CTVISOptions(
            min_score=parameters["inference_select_thr"],
            new_track_score=parameters["init_score_thr"],
            duplicate_iou=parameters["mask_nms_thr"],
            match_threshold=parameters["match_score_thr"],
            frame_weight=parameters["frame_weight"],
            memory=parameters["embed_type"],
            memory_size=parameters["maximum_cache"],
            max_gap=parameters["num_dead_frames"],
            settling_frames=parameters["noise_frame_num"],
            min_visible=parameters["suppress_frame_num"],
            short_gap=parameters["none_frame_num"],
        )
    )
    listed: dict[int, dict[int, int]] = {}  # id -> frame -> query
    for time in range(len(logits)):
        powers = np.exp(logits[time] - logits[time].max(-1, keepdims=True))
        probabilities = (powers / powers.sum(-1, keepdims=True))[:, :-1]
        frame = Detections(probabilities, embeddings[time], masks[time] > 0)
        assignment = associator.update(frame)
        for query in np.argsort(-probabilities.max(1), kind="stable").tolist():
            if assignment.ids[query]:
                listed.setdefault(int(assignment.ids[query]), {})[time] = query
        for id_, first, last in assignment.retracted:
            assert (min(listed[id_]), max(listed[id_])) == (first, last)
            del listed[id_]
    mean_logits = np.zeros((len(listed), logits.shape[2]))
    track_masks = np.zeros((len(listed), len(masks), *masks.shape[2:]))
    for row, shown in enumerate(listed.values()):
        mean_logits[row] = np.mean([logits[time, query] for time, query in shown.items()], axis=0)
        for time, query in shown.items():
            track_masks[row, time] = masks[time, query]
    return mean_logits, track_masks


def ctvis_loss(
    outputs: Mapping[str, Array | Tensor], frames: Sequence[Mapping[str, Any]], momentum: bool
) -> dict[str, Tensor]:
    """Compute the weighted losses of a batch; `outputs` are of B*T frames, video-major.

    Args:
        outputs: pred_logits (B*T, Q, K+1), pred_masks (B*T, Q, h, w), pred_embeds (B*T, Q, C).
        frames: B*T of ids (N,), -1 where absent; classes (N,); masks (N, h, w).
        momentum: whether positives are memories, or always the latest embedding.

    Returns:
        "loss_reid" and "loss_aux_reid".
    """
    num_frames = clip_length(frames)
    tensors = [
        torch.as_tensor(outputs[name]) for name in ("pred_logits", "pred_masks", "pred_embeds")
    ]
    logits, masks, embeddings = (
        tensor.unflatten(0, (-1, num_frames)).transpose(1, 2) for tensor in tensors
    )
    size = (masks.shape[-2], masks.shape[-1])
    output = ClipOutput(logits, masks, embeddings, (), size, size)
    clips = [frames[first : first + num_frames] for first in range(0, len(frames), num_frames)]
    targets = [
        ClipTargets(
            torch.as_tensor(clip[0]["classes"]),
            torch.as_tensor(np.stack([frame["masks"] for frame in clip], axis=1)),
            torch.arange(len(clip[0]["ids"])),
        )
        for clip in clips
    ]
    criterion = Criterion(logits.shape[-1] - 1, num_points=NUM_POINTS, sampler=points)
    queries = release_queries(criterion, output, targets, [size] * len(clips))
    loss = ContrastiveLoss(memory_probability=float(momentum), ctvis_compat=True)
    parts = loss(embeddings, queries)
    return {
        "loss_reid": REID_WEIGHT * parts["contrast"],
        "loss_aux_reid": AUX_REID_WEIGHT * parts["cosine"],
    }


def clip_length(frames: Sequence[Mapping[str, Any]]) -> int:
    """Return T: the frames of a clip share an array of classes, or at least its values."""
    first = frames[0]["classes"]
    same = [frame["classes"] is first for frame in frames]
    if sum(same) == 1:
        same = [np.array_equal(frame["classes"], first) for frame in frames]
    return same.index(False) if False in same else len(frames)


def points(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Draw the points that each frame compares its masks at: those of one frame, for all."""
    return uniform((1, *shape[1:])).expand(shape).to(device)


def uniform(shape: tuple[int, ...]) -> Tensor:
    """Return numbers in [0, 1) that depend on the shape alone, float64."""
    seed = int(hashlib.sha256(f"0:{tuple(shape)}".encode()).hexdigest()[:8], 16)
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape))
