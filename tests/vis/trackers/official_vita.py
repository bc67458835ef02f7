"""The real VITA and GenVIS, run as the official ones' numbers want it: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_vis.trackers.genvis import GenVIS, GenVISState
from vidgap_vis.trackers.vita import VITA, VideoResult, VITAOutput
from vidgap_vis.weights.official_heads.vita import vita_head

Arrays = Mapping[str, npt.NDArray[Any]]
Numbers = dict[str, npt.NDArray[Any]]


def head_of(weights: Arrays, constants: Mapping[str, Any]) -> VITA | GenVIS:
    """Make the head of official weights, in their dtype."""
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    settings = {"window": constants["window"], "num_heads": constants["heads"]}
    return vita_head(state, prefix="", **settings).head


@torch.no_grad()
def run_vita(weights: Arrays, inputs: Arrays, constants: Mapping[str, Any]) -> Numbers:
    head = head_of(weights, constants)
    assert isinstance(head, VITA)
    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    output = head(given["frame_query"][None])  # (L, B, T, fQ, C) with one level
    numbers = _predictions(output)
    maps = given["mask_features"]
    numbers["masks"] = head.mask_logits(output.mask_embeddings[0, 0], maps)
    probabilities = output.class_logits[0, 0].softmax(-1)[:, :-1]
    result = VideoResult(probabilities, constants["max_num"])
    embeddings = output.mask_embeddings[0, 0, result.queries]
    windows = maps.split(3)
    areas = [_add(result, head.mask_logits(embeddings, maps), constants) for maps in windows]
    levels, train = given["train_frame_query"], constants["train"]
    trained = head.train()(levels.unflatten(1, (train["B"], train["T"])))
    numbers |= {f"train_{name}": value for name, value in _predictions(trained).items()}
    for index, level in enumerate(trained.auxiliary):
        numbers[f"train_aux{index}_pred_logits"] = level.class_logits
    return {
        **{name: value.numpy() for name, value in numbers.items()},
        **_ranked(result, np.concatenate(areas, axis=1)),
    }


@torch.no_grad()
def run_genvis(weights: Arrays, inputs: Arrays, constants: Mapping[str, Any]) -> Numbers:
    head = head_of(weights, constants)
    assert isinstance(head, GenVIS)
    frame_queries, maps = (torch.from_numpy(inputs[n]) for n in ("frame_query", "mask_features"))
    state: GenVISState | None = None
    outputs: list[VITAOutput] = []
    for clip in frame_queries.split(constants["clip"], dim=1):
        output, state = head.step(clip, state)
        outputs.append(output)
    assert state is not None
    result = VideoResult(state.probabilities[0], constants["max_num"])
    areas = [
        _add(result, head.vita.mask_logits(o.mask_embeddings[0, result.queries], clip), constants)
        for o, clip in zip(outputs, maps.split(constants["clip"]), strict=True)
    ]
    numbers = {
        "clip_logits": torch.cat([output.class_logits for output in outputs]),
        "clip_mask_embed": torch.cat([output.mask_embeddings for output in outputs]),
        "clip_queries": torch.cat([output.queries for output in outputs]),
        "memory_k": state.keys[0].transpose(0, 1),
        "memory_v": state.values[0].transpose(0, 1),
    }
    return {
        **{name: value.numpy() for name, value in numbers.items()},
        **_ranked(result, np.concatenate(areas, axis=1)),
    }


RUNS: dict[str, Callable[[Arrays, Arrays, Mapping[str, Any]], Numbers]] = {
    "vita": run_vita,
    "genvis": run_genvis,
}
"""Official method -> what runs ours, as `function(weights, inputs, constants)`."""


def _predictions(output: VITAOutput) -> dict[str, Tensor]:
    """Name predictions as the release does."""
    return {
        "pred_logits": output.class_logits,
        "pred_mask_embed": output.mask_embeddings,
        "pred_fq_embed": output.frame_similarity,
        "pred_cq_embed": output.clip_similarity,
    }


def _add(
    result: VideoResult, mask_logits: Tensor, constants: Mapping[str, Any]
) -> npt.NDArray[np.int64]:
    """Give the result the masks of a window; return their areas (n, T)."""
    height, width = mask_logits.shape[-2:]
    masks = result.add(
        mask_logits,
        (4 * height, 4 * width),
        tuple(constants["image_size"]),
        tuple(constants["output_size"]),
    )
    return masks.sum((2, 3)).numpy()


def _ranked(result: VideoResult, areas: npt.NDArray[np.int64]) -> Numbers:
    order = result.order()
    return {
        "result_scores": result.scores()[order].numpy(),
        "result_labels": result.labels[order].numpy(),
        "result_areas": areas[order.numpy()],
    }
