"""DVIS's classes, run as the official DVIS's numbers want it: its names, axes and habits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from vis.support.official_numbers import Array

from vidgap_vis.trackers.dvis import (
    QueryPrediction,
    TemporalRefiner,
    best_pairs,
    mask_logits,
    offline_scores,
    online_scores,
    result_masks,
)
from vidgap_vis.weights.official_heads.dvis import REFINER, TABLE, TRACKER, dvis_heads

Arrays = Mapping[str, Array]
Constants = Mapping[str, Any]


@torch.no_grad()
def dvis_tracker(weights: Arrays, inputs: Arrays, constants: Constants) -> dict[str, Array]:
    """Run the tracker over a video, and rank its result."""
    state = _tensors(weights, TRACKER)
    tracker = dvis_heads(state, num_heads=constants["heads"]).tracker.train()
    queries = _queries(inputs["frame_embeds"])
    features = torch.as_tensor(inputs["mask_features"])
    prediction, order, _ = tracker.step(queries)
    mean = prediction.class_logits.mean(2)  # (1, Q, K+1)
    results = _results(online_scores(mean)[0], prediction, features, constants)
    return {
        "indices": order[0].T.numpy(),
        **_official(prediction, features),
        "frame_forward": _embeddings(tracker.frame_forward(queries)),
        "video_logits": mean.numpy(),
        **results,
    }


@torch.no_grad()
def dvis_refiner(weights: Arrays, inputs: Arrays, constants: Constants) -> dict[str, Array]:
    """Run the refiner over a video."""
    sizes = {"num_layers": constants["layers"], "ffn_channels": constants["ffn"]}
    refiner = TemporalRefiner(constants["C"], constants["K"], num_heads=constants["heads"], **sizes)
    renamed = TABLE.to_ours(_tensors(weights, REFINER))
    assert not renamed.unknown
    state = {name.removeprefix(REFINER): tensor for name, tensor in renamed.state.items()}
    refiner.to(next(iter(state.values())).dtype).load_state_dict(state)
    refiner.train()
    prediction = refiner(_queries(inputs["instance_embeds"]), _queries(inputs["frame_embeds"]))
    features = torch.as_tensor(inputs["mask_features"])
    return _official(prediction, features, constants["windows"])


@torch.no_grad()
def dvis_offline(weights: Arrays, inputs: Arrays, constants: Constants) -> dict[str, Array]:
    """Run tracker and refiner over a video, and rank the result of both."""
    heads = dvis_heads(_tensors(weights), num_heads=constants["heads"])
    assert heads.refiner is not None
    assert heads.rest == ()
    queries = _queries(inputs["frame_embeds"])
    tracked, _, _ = heads.tracker.step(queries)
    refined = heads.refiner(tracked.queries, heads.tracker.frame_forward(queries))
    mean, video = tracked.class_logits.mean(2), refined.class_logits[:, :, 0]
    features = torch.as_tensor(inputs["mask_features"])
    return {
        **_official(refined, features, constants["windows"]),
        "video_logits": video.numpy(),
        "online_video_logits": mean[0].numpy(),
        **_results(offline_scores(mean, video)[0], refined, features, constants),
    }


RUNS: dict[str, Callable[[Arrays, Arrays, Constants], dict[str, Array]]] = {
    "dvis_tracker": dvis_tracker,
    "dvis_refiner": dvis_refiner,
    "dvis_offline": dvis_offline,
}


def _tensors(weights: Arrays, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: torch.as_tensor(array) for name, array in weights.items()}


def _queries(embeddings: Array) -> Tensor:
    """Turn the official (B, C, T, Q) into ours, (B, Q, T, C)."""
    return torch.as_tensor(embeddings).permute(0, 3, 2, 1)


def _embeddings(queries: Tensor) -> Array:
    return queries.permute(0, 3, 2, 1).numpy()  # (B, Q, T, C) -> (B, C, T, Q)


def _official(
    prediction: QueryPrediction, features: Tensor, window: int | None = None
) -> dict[str, Array]:
    """Return a prediction under the official names, in the official axes."""
    outputs: dict[str, Array] = {"pred_embds": _embeddings(prediction.queries)}
    levels = {"": prediction}
    levels |= {f"aux{number}_": level for number, level in enumerate(prediction.auxiliary)}
    for name, level in levels.items():
        outputs[name + "pred_logits"] = level.class_logits.transpose(1, 2).numpy()
        outputs[name + "pred_masks"] = _masks(level.mask_embeddings, features, window).numpy()
    return outputs


def _masks(embeddings: Tensor, features: Tensor, window: int | None = None) -> Tensor:
    """Return mask logits (B, Q, T, h, w), made window by window."""
    window = window or features.shape[1]
    pairs = zip(embeddings.split(window, 2), features.split(window, 1), strict=True)
    return torch.cat([mask_logits(*pair) for pair in pairs], dim=2)


def _results(
    scores: Tensor, prediction: QueryPrediction, features: Tensor, constants: Constants
) -> dict[str, Array]:
    """Rank a video, and make the chosen masks frame by frame."""
    best = best_pairs(scores, constants["max_num"])
    logits = _masks(prediction.mask_embeddings[:, best.queries], features)[0]  # (n, T, h, w)
    padded_size, frame_size, size = (
        tuple(constants[name]) for name in ("padded_size", "image_size", "output_size")
    )
    areas = [
        result_masks(frame, padded_size=padded_size, frame_size=frame_size, size=size).sum((2, 3))
        for frame in logits.split(1, dim=1)
    ]
    return {
        "result_ids": best.queries.numpy(),
        "result_labels": best.labels.numpy(),
        "result_scores": best.scores.numpy(),
        "result_areas": torch.cat(areas, dim=1).numpy(),
    }
