"""MinVIS, IDOL and MaskTrack R-CNN, run as their official numbers want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.inference.masks import finish_masks
from vidgap_vis.trackers import ClipTracks, Detections, OnlineTracker
from vidgap_vis.trackers.by_name import TRACKERS
from vidgap_vis.trackers.idol import IDOLAssociator, IDOLOptions
from vidgap_vis.trackers.masktrack import MaskTrackAssociator, MaskTrackOptions, TrackHead
from vidgap_vis.trackers.minvis import MinVISAssociator

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

NUM_RESULTS = 10
"""Rows of MinVIS's results."""


def minvis(weights: Arrays, inputs: Arrays, constants: Mapping[str, Any]) -> dict[str, Array]:  # noqa: ARG001
    """Run MinVIS.

    Args:
        weights: none.
        inputs: pred_logits (1, T, Q, K+1), pred_masks (1, Q, T, h, w), pred_embds (1, C, T, Q).
        constants: the sizes of the frames.
    """
    logits, masks = inputs["pred_logits"][0], inputs["pred_masks"][0]
    embeddings = inputs["pred_embds"][0].transpose(1, 2, 0)  # (T, Q, C)
    tracker = OnlineTracker(MinVISAssociator(), TRACKERS["minvis"][2])
    tracks = tracker.step(
        [
            Detections(softmax(row)[:, :-1], embeddings[time], masks[:, time] > 0, None, row)
            for time, row in enumerate(logits)
        ]
    )
    living = tracker.state_dict()["living"]
    aligned = np.take_along_axis(masks, tracks.queries[..., None, None], axis=0)  # (Q, T, h, w)
    best = tracker.finish().best(NUM_RESULTS)
    areas = areas_of(aligned[best.ids - 1], constants, "bilinear")
    return {
        "indices": tracks.queries.T,
        "video_logits": (living["classes"] / living["num_visible"][:, None])[None],
        "video_masks": aligned[None],
        "result_scores": best.scores,
        "result_labels": best.labels,
        "result_areas": areas,
    }


def idol(weights: Arrays, inputs: Arrays, constants: Mapping[str, Any]) -> dict[str, Array]:  # noqa: ARG001
    """Run IDOL.

    Args:
        weights: none.
        inputs: logits (T, Q, K), boxes (T, Q, 4), embeds (T, Q, C), masks (T, Q, 1, h, w).
        constants: `select`, `mask_nms`, `add_new`, `memory`, and the sizes of the frames.
    """
    masks = inputs["masks"][:, :, 0]
    probabilities = 1 / (1 + np.exp(-inputs["logits"]))
    options = IDOLOptions(
        min_score=constants["select"],
        duplicate_iou=constants["mask_nms"],
        new_track_score=constants["add_new"],
        memory_size=constants["memory"],
    )
    recipe = TRACKERS["idol"][2]
    tracker = OnlineTracker(IDOLAssociator(options), recipe)
    table = np.full(probabilities.shape[:2], -1)
    listed: dict[int, dict[int, int]] = {}  # id -> frame -> query
    for time in range(len(masks)):
        frame = Detections(
            probabilities[time], inputs["embeds"][time], masks[time] > 0, inputs["boxes"][time]
        )
        tracks = tracker.step([frame])
        for id_, _, _ in tracks.retracted:
            del listed[id_]
        for id_, query in shown(tracks).items():
            table[time, query] = id_ - 1
            listed.setdefault(id_, {})[time] = query
    found = tracker.finish()
    logits = np.zeros((len(found.ids), len(masks), *masks.shape[2:]))
    present = np.zeros(logits.shape[:2], np.bool_)
    for row, id_ in enumerate(found.ids.tolist()):
        for time, query in listed[id_].items():
            logits[row, time], present[row, time] = masks[time, query], True
    areas = areas_of(logits, constants, recipe.mask_resize)
    return {
        "track_of_query": table,
        "result_scores": found.scores,
        "result_labels": found.labels,
        "result_areas": np.where(present, areas, -1),
    }


def masktrack(weights: Arrays, inputs: Arrays, constants: Mapping[str, Any]) -> dict[str, Array]:
    """Run MaskTrack R-CNN.

    Args:
        weights: of the track head.
        inputs: boxes (T, N, 5), corners in pixels and score; labels (T, N); feats (T, N, C); count
            (T,), how many of them there are.
        constants: `coeff`: weights of score, IoU and label; `classes`: their number.
    """
    num_frames, num, channels = inputs["feats"].shape
    head = TrackHead(channels, constants["fc"]).double()
    head.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    score_weight, iou_weight, label_weight = constants["coeff"]
    options = MaskTrackOptions(
        min_score=0.0,
        box_duplicate_iou=1.0,
        max_detections=num,
        score_weight=score_weight,
        iou_weight=iou_weight,
        label_weight=label_weight,
        iou_offset=1.0,
        masktrack_compat=True,
    )
    associator = MaskTrackAssociator(options, head.embed)
    tracker = OnlineTracker(MaskTrackAssociator(options, head.embed), TRACKERS["masktrack"][2])
    ids, scores, steps = np.full((num_frames, num), -2), [], []
    for time, count in enumerate(inputs["count"].tolist()):
        corners = inputs["boxes"][time, :, :4]
        size = corners[:, 2:] - corners[:, :2]
        probabilities = np.zeros((num, constants["classes"]))
        probabilities[np.arange(count), inputs["labels"][time, :count]] = inputs["boxes"][
            time, :count, 4
        ]
        frame = Detections(
            probabilities,
            inputs["feats"][time],
            np.zeros((num, 1, 1), np.bool_),
            np.concatenate([corners[:, :2] + size / 2, size], axis=1),
        )
        if time and count:
            scores.append(associator.scores(frame))
        ids[time, :count] = associator.update(frame).ids[:count] - 1
        steps.append(shown(tracker.step([frame])))
    found = tracker.finish()
    order = np.argsort(found.ids)
    return {
        "ids": ids,
        "scores_frame1": scores[0],
        "scores_frame2": scores[1],
        "best_scores": np.concatenate([matrix.max(axis=1) for matrix in scores]),
        "video_ids": found.ids[order] - 1,
        "video_scores": found.scores[order],
        "video_labels": found.labels[order],
        "video_frames": np.array(
            [[int(id_ in step) for step in steps] for id_ in found.ids[order]]
        ),
    }


RUNS: dict[str, Callable[[Arrays, Arrays, Mapping[str, Any]], dict[str, Array]]] = {
    "minvis": minvis,
    "idol": idol,
    "masktrack": masktrack,
}


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def shown(tracks: ClipTracks) -> dict[int, int]:
    """Return the query of each track that a step of one frame shows."""
    rows = tracks.visible(0)
    return dict(zip(tracks.ids[rows].tolist(), tracks.queries[rows, 0].tolist(), strict=True))


def areas_of(logits: Array, constants: Mapping[str, Any], resize: Any) -> Array:
    """Return the areas of finished masks, (N, T, h, w) -> (N, T)."""
    num, num_frames, height, width = logits.shape
    tensor = torch.from_numpy(logits)
    output = ClipOutput(
        class_logits=torch.zeros(1, num, num_frames, 1),
        mask_logits=tensor[None],
        embeddings=torch.zeros(1, num, num_frames, 1),
        auxiliary=(),
        frame_size=tuple(constants["image_size"]),
        padded_size=tuple(constants.get("padded_size", (4 * height, 4 * width))),
    )
    size = tuple(constants["output_size"])
    columns = [
        finish_masks(output, tensor[:, time], size, resize).areas for time in range(num_frames)
    ]
    return np.stack(columns, axis=1)
