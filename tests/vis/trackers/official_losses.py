"""Losses and targets of DVIS, GenVIS, VITA and IDOL, run as their official numbers want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vis.support.official_numbers import Array, generator

from vidgap_segmenter import ClipCriterion, ClipTargets, Criterion, Losses, Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.prediction import JointPrediction
from vidgap_segmenter.mlp import mlp
from vidgap_vis.trackers.dvis import ReferringLoss, RefinerLoss, consistent_matching
from vidgap_vis.trackers.genvis import UnifiedLoss
from vidgap_vis.trackers.idol import (
    FrameCosts,
    FrameInstances,
    ReidLoss,
    ReidTargets,
    one_to_many,
)
from vidgap_vis.trackers.vita import SimilarityInputs, VITALoss

Arrays = Mapping[str, Array]
Constants = Mapping[str, Any]
Numbers = dict[str, Array]

NAMES = {"class": "loss_ce", "mask": "loss_mask", "dice": "loss_dice", "similarity": "loss_sim"}


def dvis_targets(
    weights: Arrays,  # noqa: ARG001 (as all of `RUNS`)
    inputs: Arrays,
    constants: Constants,
) -> Numbers:
    """Return the query of each object, and the losses of the tracker."""
    logits, masks = torch.as_tensor(inputs["pred_logits"]), torch.as_tensor(inputs["pred_masks"])
    prediction = Prediction(logits.transpose(0, 1)[None], masks.transpose(0, 1)[None])
    targets, size = [clip_targets(inputs)], tuple(constants["size"])
    criterion = make_criterion(constants)
    listed = FrameTargets.from_whole_clips(targets, size, list_unseen=True)
    matching = consistent_matching(criterion, prediction, targets, listed, reuse_queries=True)
    losses = ReferringLoss(criterion, reuse_queries=True)([prediction], targets, size)
    return {"query_of_object": matching.tables()[0].numpy(), **numbers_of(losses)}


def dvis_offline_loss(weights: Arrays, inputs: Arrays, constants: Constants) -> Numbers:  # noqa: ARG001
    """Return which query is which object, and the refiner's losses, alone and guided."""
    levels = []
    for name in ("", "aux0_"):
        masks = torch.as_tensor(inputs[name + "pred_masks"])
        logits = torch.as_tensor(inputs[name + "pred_logits"])
        levels.append(Prediction(logits[:, :, None].expand(-1, -1, masks.shape[2], -1), masks))
    targets, size = [clip_targets(inputs)], tuple(constants["size"])
    loss = RefinerLoss(make_criterion(constants))
    alone, guided = loss(levels, targets, size), loss(levels, targets, size, levels[1])
    tables = [losses.matchings[0].table(0)[:, 0] for losses in (alone, guided)]
    return {
        "query_of_object": torch.stack(tables).numpy(),
        **numbers_of(alone),
        **{f"guided_{name}": value for name, value in numbers_of(guided).items()},
    }


def vita_loss(weights: Arrays, inputs: Arrays, constants: Constants) -> Numbers:  # noqa: ARG001
    """Return which clip query is which object at each level, and VITA's losses."""
    given = {name: torch.as_tensor(array) for name, array in inputs.items()}
    similarity = SimilarityInputs(
        given["pred_fq_embed"],
        given["pred_cq_embed"],
        given["frame_query"].transpose(1, 2)[:, None],  # (L, T, N) -> (L, 1, N, T)
    )
    layer = JointPrediction(given["pred_logits"], given["pred_masks"])
    losses, matchings = VITALoss(clip_criterion(constants))(
        [layer], [clip_targets(inputs)], tuple(constants["size"]), similarity
    )
    return {"query_of_object": matchings[0].tables().numpy(), **numbers_of(losses)}


def genvis_targets(weights: Arrays, inputs: Arrays, constants: Constants) -> Numbers:  # noqa: ARG001
    """Return of each clip which query is which object, and GenVIS's losses."""
    loss = UnifiedLoss(clip_criterion(constants), forget_absent=True)
    target, size = clip_targets(inputs), tuple(constants["size"])
    logits, masks = torch.as_tensor(inputs["pred_logits"]), torch.as_tensor(inputs["pred_masks"])
    length = constants["clip"]
    parts: dict[str, list[Tensor]] = {name: [] for name in ("class", "mask", "dice")}
    tables, state = [], None
    for first in range(0, len(logits), length):
        own = slice(first, first + length)
        layer = JointPrediction(
            logits[own].mean(0)[None, None], masks[own].transpose(0, 1)[None, None]
        )
        shown = ClipTargets(target.labels, target.masks[:, own], target.ids)
        found, matchings, state = loss.step([layer], [shown], size, state)
        tables.append(matchings[0].tables()[0])
        for name, values in parts.items():
            values.append(found[name])
    table = torch.stack(tables).numpy()
    valid = table >= 0
    return {
        "query_of_object": table,
        "valid": valid,
        "new": valid & (valid.cumsum(0) == 1),
        **{NAMES[name]: torch.cat(values).numpy() for name, values in parts.items()},
    }


@torch.no_grad()
def idol_reid(weights: Arrays, inputs: Arrays, constants: Constants) -> Numbers:
    """Return IDOL's assignments in key and reference frame, and its losses."""
    given = {name: torch.as_tensor(array) for name, array in inputs.items()}
    head = mlp(*[constants["C"]] * 3).double()
    values = [torch.as_tensor(array) for array in weights.values()]
    head.load_state_dict(dict(zip(head.state_dict(), values, strict=True)))
    valid = given["valid"].bool()
    shown = {"key": torch.ones_like(valid), "ref": valid}

    def costs(name: str) -> FrameCosts:
        instances = FrameInstances(
            given["labels"][None], given[f"{name}_gt"][None], shown[name][None]
        )
        probabilities = given[f"{name}_logits"].sigmoid()
        return FrameCosts.of(probabilities, given[f"{name}_boxes"], instances)

    targets = ReidTargets.of(costs("key"), costs("ref"), idol_compat=True)
    key = one_to_many(costs("key"), 10, idol_compat=True)
    owned, reference = key.taken[0], costs("ref")
    positives, candidates = (
        one_to_many(reference, most, idol_compat=True).taken[0] for most in (10, 100)
    )
    loss = ReidLoss(draw=in_order)(head(given["hs_key"]), head(given["hs_ref"]), targets)
    return {
        "key_object_of_query": np.where(owned.any(0), owned.argmax(0), -1),
        "key_query": key.best[0],
        "ref_positive": positives,
        "ref_candidate": candidates,
        "loss_reid": loss["contrast"][None].numpy(),
        "loss_reid_aux": loss["cosine"][None].numpy(),
    }


RUNS: dict[str, Callable[[Arrays, Arrays, Constants], Numbers]] = {
    "dvis_targets": dvis_targets,
    "dvis_offline_loss": dvis_offline_loss,
    "vita_loss": vita_loss,
    "genvis_targets": genvis_targets,
    "idol_reid": idol_reid,
}


def make_criterion(constants: Constants) -> Criterion:
    return Criterion(constants["K"], num_points=constants["points"], sampler=points)


def clip_criterion(constants: Constants) -> ClipCriterion:
    return ClipCriterion(constants["K"], num_points=constants["points"], sampler=points)


def clip_targets(inputs: Arrays) -> ClipTargets:
    labels, masks = torch.as_tensor(inputs["labels"]), torch.as_tensor(inputs["masks"])
    return ClipTargets(labels, masks > 0, torch.arange(len(labels)))


def numbers_of(losses: Losses) -> Numbers:
    """Name losses as the release does: the last level's alone, those of others with a number."""
    return {
        NAMES[name] + (f"_{level - 1}" if level else ""): value[None].numpy()
        for name, values in losses.parts.items()
        for level, value in enumerate(values)
    }


def points(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Draw by the shape alone, in float64."""
    return torch.from_numpy(generator("points", tuple(shape)).random_sample(shape)).to(device)


def in_order(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Draw what leaves queries in their order."""
    return torch.arange(shape[-1], device=device).expand(shape) / shape[-1]
