"""Seeded predictions and targets whose official losses `trackers/official` has.

The order in which numbers are drawn is part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from vis.support.official_numbers import Array, as_float32, generator

Constants = Mapping[str, Any]


def draw_inputs(method: str, constants: Constants) -> dict[str, Array]:
    """Draw the inputs of a method, official names and axes; floats are those of float32."""
    drawn = INPUTS[method](constants)
    return {name: x if x.dtype.kind == "i" else as_float32(x) for name, x in drawn.items()}


def moving_ellipses(
    rng: np.random.RandomState, num: int, frames: int, height: int, width: int
) -> Array:
    """Return masks (N, T, H, W), bool, of ellipses that drift."""
    top, left, tall, wide = (
        rng.uniform(low, high, num) * side
        for low, high, side in (
            (0.25, 0.75, height),
            (0.25, 0.75, width),
            (0.12, 0.25, height),
            (0.12, 0.25, width),
        )
    )
    down, right = (0.03 * side * rng.standard_normal(num) for side in (height, width))
    times = np.arange(frames)
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    centres_y = top[:, None] + times * down[:, None]  # (N, T)
    centres_x = left[:, None] + times * right[:, None]
    y = (rows - centres_y[..., None]) / tall[:, None, None]  # (N, T, H)
    x = (columns - centres_x[..., None]) / wide[:, None, None]
    return np.asarray(y[..., None] ** 2 + x[:, :, None] ** 2 <= 1)


def shares(masks: Array) -> Array:
    """Return the share of each cell of 4 x 4 pixels, (..., H, W) -> (..., H/4, W/4)."""
    *leading, height, width = masks.shape
    cells = masks.reshape(*leading, height // 4, 4, width // 4, 4)
    return np.asarray(cells.mean((-3, -1)))


def sequences(sizes: Constants) -> dict[str, Array]:
    """Objects that come and go, and the queries that look like them in each frame.

    Returns:
        pred_logits (T, Q, K+1), pred_masks (T, Q, h, w), labels (N,), masks (N, T, H, W), ids
        (N, T).
    """
    frames, queries, classes = sizes["T"], sizes["Q"], sizes["K"]
    height, width = sizes["size"]
    present = np.array(sizes["present"]) > 0  # (N, T)
    num = len(present)
    rng = generator(sizes["seed"], "inputs")
    masks = moving_ellipses(rng, num, frames, height, width) & present[:, :, None, None]
    labels = rng.permutation(classes)[:num]
    logits = 0.3 * rng.standard_normal((frames, queries, classes + 1))
    predicted = 0.5 * rng.standard_normal((frames, queries, height // 4, width // 4)) - 2
    cells = shares(masks)
    for (row, time), query in np.ndenumerate(np.array(sizes["likes"])):
        if query >= 0:
            shown = 8 * (cells[row, time] - 0.5)
            predicted[time, query] = np.maximum(predicted[time, query], shown)
            logits[time, query, labels[row]] += 3
    return {
        "pred_logits": logits,
        "pred_masks": predicted,
        "labels": labels,
        "masks": masks.astype(np.float64),
        "ids": np.where(present, np.arange(num)[:, None], -1),
    }


def clips(sizes: Constants) -> dict[str, Array]:
    """Objects in all frames, and what two layers predict of the clip.

    Returns:
        labels (N,), masks (N, T, H, W); of each layer pred_logits (1, Q, K+1), pred_masks
        (1, Q, T, h, w).
    """
    rng = generator(sizes["seed"], "inputs")
    frames, queries, classes, num = (sizes[name] for name in ("T", "Q", "K", "N"))
    masks = moving_ellipses(rng, num, frames, *sizes["size"])
    labels = rng.randint(0, classes, num)
    drawn = {"labels": labels, "masks": masks.astype(np.float64)}
    for prefix in ("", "aux0_"):
        logits, predicted = looks(rng, (1, queries), classes, masks, labels)
        drawn |= {f"{prefix}pred_logits": logits, f"{prefix}pred_masks": predicted}
    return drawn


def looks(
    rng: np.random.RandomState,
    leading: tuple[int, int],
    classes: int,
    masks: Array,
    labels: Array,
) -> tuple[Array, Array]:
    """Draw logits (..., K+1) and masks (..., T, h, w) in which a query looks like each object."""
    cells = shares(masks)
    logits = rng.standard_normal((*leading, classes + 1))
    predicted = 2 * rng.standard_normal((*leading, *cells.shape[1:]))
    for level in range(leading[0]):
        for row, query in enumerate(rng.permutation(leading[1])[: len(labels)]):
            predicted[level, query] += 6 * (cells[row] - 0.5)
            logits[level, query, labels[row]] += 2
    return logits, predicted


def vita(sizes: Constants) -> dict[str, Array]:
    """Objects that come and go, what L levels predict, and which frame query is which object.

    Returns:
        pred_logits (L, 1, cQ, K+1), pred_masks (L, 1, cQ, T, h, w), pred_fq_embed
        (L, 1, T, fQ, C), pred_cq_embed (L, 1, cQ, C), labels (N,), masks (N, T, H, W), ids (N, T),
        frame_query (L, T, N).
    """
    rng = generator(sizes["seed"], "inputs")
    levels, frames, own, others, channels, classes = (
        sizes[name] for name in ("L", "T", "cQ", "fQ", "C", "K")
    )
    present = np.array(sizes["present"]) > 0
    num = len(present)
    masks = moving_ellipses(rng, num, frames, *sizes["size"]) & present[:, :, None, None]
    labels = rng.randint(0, classes, num)
    cells = shares(masks)
    logits = rng.standard_normal((levels, 1, own, classes + 1))
    predicted = 2 * rng.standard_normal((levels, 1, own, *cells.shape[1:]))
    matched = np.zeros((levels, frames, num), np.int64)
    for level in range(levels):
        for row, query in enumerate(rng.permutation(own)[:num]):
            predicted[level, 0, query] += 6 * (cells[row] - 0.5)
            logits[level, 0, query, labels[row]] += 2
        for time in range(frames):
            queries = rng.permutation(others)[:num]
            matched[level, time] = np.where(present[:, time], queries, -1)
    return {
        "pred_logits": logits,
        "pred_masks": predicted,
        "pred_fq_embed": 0.5 * rng.standard_normal((levels, 1, frames, others, channels)),
        "pred_cq_embed": 0.5 * rng.standard_normal((levels, 1, own, channels)),
        "labels": labels,
        "masks": masks.astype(np.float64),
        "ids": np.where(present, np.arange(num)[:, None], -1),
        "frame_query": matched,
    }


def idol(sizes: Constants) -> dict[str, Array]:
    """Two objects that nearly coincide, a tiny one, and one that has left the reference frame.

    Returns:
        labels, valid (N,); of "key" and "ref" NAME_logits (1, Q, K), NAME_boxes (1, Q, 4), NAME_gt
        (N, 4), hs_NAME (1, Q, C).
    """
    rng = generator(sizes["seed"], "inputs")
    queries, classes, channels, num = (sizes[name] for name in ("Q", "K", "C", "N"))
    labels = rng.randint(0, classes, num)
    drawn = {"labels": labels, "valid": (np.arange(num) < num - 1).astype(np.int64)}
    for name in ("key", "ref"):
        truth = np.hstack([rng.uniform(0.25, 0.75, (num, 2)), rng.uniform(0.1, 0.4, (num, 2))])
        truth[1] = truth[0] + 0.01 * rng.standard_normal(4)
        truth[2, 2:] = 0.02
        like = rng.randint(0, num, queries)
        boxes = truth[like] * (1 + 0.15 * rng.standard_normal((queries, 4)))
        elsewhere = rng.random_sample(queries) < 0.4
        centres = rng.uniform(0.1, 0.9, (queries, 2))
        anywhere = np.hstack([centres, rng.uniform(0.05, 0.5, (queries, 2))])
        boxes[elsewhere] = anywhere[elsewhere]
        logits = rng.standard_normal((queries, classes)) - 2
        logits[np.arange(queries), labels[like]] += 1.5
        drawn[f"{name}_logits"] = logits[None]
        drawn[f"{name}_boxes"] = np.clip(boxes, 0.01, 0.99)[None]
        drawn[f"{name}_gt"] = truth
        drawn[f"hs_{name}"] = rng.standard_normal((1, queries, channels))
    return drawn


INPUTS: dict[str, Callable[[Constants], dict[str, Array]]] = {
    "dvis_targets": sequences,
    "genvis_targets": sequences,
    "dvis_offline_loss": clips,
    "vita_loss": vita,
    "idol_reid": idol,
}
