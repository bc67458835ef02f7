"""Seeded inputs whose official numbers `trackers/official` has: MinVIS, IDOL, MaskTrack R-CNN.

The order in which numbers are drawn is part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from vis.support.official_numbers import Array, generator

Constants = Mapping[str, Any]


def smooth(rng: np.random.RandomState, shape: Sequence[int], cell: int = 4) -> Array:
    """Return maps (..., h, w) of blobs of some cells, with noise."""
    *lead, height, width = shape
    coarse = rng.standard_normal((*lead, -(-height // cell), -(-width // cell)))
    blobs = np.repeat(np.repeat(coarse, cell, -2), cell, -1)[..., :height, :width]
    return np.asarray(blobs + 0.3 * rng.standard_normal(tuple(shape)))


def wandering(
    rng: np.random.RandomState, num_frames: int, num: int, channels: int, noise: float
) -> Array:
    """Return embeddings (T, Q, C) that drift, in a new order in each frame; one in six is new."""
    base = rng.standard_normal((num, channels))
    found = np.zeros((num_frames, num, channels))
    for time in range(num_frames):
        base = base + 0.15 * rng.standard_normal((num, channels))
        fresh, other = rng.random_sample(num) < 1 / 6, rng.standard_normal((num, channels))
        order = rng.permutation(num)
        base[fresh] = other[fresh]
        found[time] = (base + noise * rng.standard_normal((num, channels)))[order]
    return found


def minvis(sizes: Constants) -> dict[str, Array]:
    """Return pred_logits (1, T, Q, K+1), pred_masks (1, Q, T, h, w), pred_embds (1, C, T, Q)."""
    rng = generator(sizes["seed"], "inputs")
    frames, num, channels, height, width = (sizes[name] for name in ("T", "Q", "C", "h", "w"))
    embeddings = wandering(rng, frames, num, channels, sizes["noise"])
    return {
        "pred_logits": 2 * rng.standard_normal((1, frames, num, sizes["K"] + 1)),
        "pred_masks": 3 * smooth(rng, (1, num, frames, height, width)),
        "pred_embds": embeddings.transpose(2, 0, 1)[None],
    }


def idol(sizes: Constants) -> dict[str, Array]:
    """Objects that vanish and return, look-alikes, near duplicates, and frames with nothing good.

    Returns:
        logits (T, Q, K), boxes (T, Q, 4), embeds (T, Q, C), masks (T, Q, 1, h, w).
    """
    rng = generator(sizes["seed"], "inputs")
    names = ("T", "Q", "K", "C", "h", "w", "objects")
    frames, num, classes, channels, height, width, objects = (sizes[name] for name in names)
    logits = -4 + 0.4 * rng.standard_normal((frames, num, classes))
    boxes = [rng.uniform(*span, (frames, num, 2)) for span in ((0.2, 0.8), (0.05, 0.3))]
    found = {
        "logits": logits,
        "boxes": np.concatenate(boxes, axis=-1),
        "embeds": rng.standard_normal((frames, num, channels)) * 0.5,
        "masks": -6 + rng.standard_normal((frames, num, 1, height, width)),
    }
    looks = rng.standard_normal((objects, channels))
    lengths = sizes["length"] * rng.uniform(0.8, 1.3, objects) / np.linalg.norm(looks, axis=1)
    looks *= lengths[:, None]
    looks[1] = looks[0] + 0.25 * rng.standard_normal(channels)
    if objects > 4:
        looks[3] = looks[2] + 0.3 * rng.standard_normal(channels)
    born = rng.randint(0, frames // 3, objects)
    born[:2] = 0
    gone = rng.randint(2 * frames // 3, frames + 1, objects)
    hidden, hidden_for = rng.randint(2, frames, objects), rng.randint(0, frames // 2, objects)
    labels = rng.randint(0, classes, objects)
    y, x = rng.uniform(0.25, 0.75, objects), rng.uniform(0.25, 0.75, objects)
    y_speed, x_speed = 0.02 * rng.standard_normal(objects), 0.03 * rng.standard_normal(objects)
    tall, wide = rng.uniform(0.15, 0.4, objects), rng.uniform(0.15, 0.4, objects)
    level = rng.uniform(-1.2, 1.6, objects)
    level[:2] = (1.2, 0.6)
    for time in range(frames):
        y, x = np.clip(y + y_speed, 0.2, 0.8), np.clip(x + x_speed, 0.2, 0.8)
        queries = list(rng.permutation(num))
        weak = 4.5 if time in sizes["empty_frames"] else 0.0
        for one in range(objects):
            away = hidden[one] <= time < hidden[one] + hidden_for[one]
            drawn, jitter = rng.random_sample(3), rng.standard_normal((4, 8))
            for copy in range(1 + int((drawn < (0.3, 0.2, 0.25)).sum())):
                if not born[one] <= time < gone[one] or away or not queries:
                    continue
                query = queries.pop()
                part = copy in (1, 2) and jitter[copy, 7] > 0  # of a mask, in nearly the same box
                moved = (0.003 if part else (0.004, 0.01, 0.12, 0.16)[copy]) * jitter[copy]
                box = np.array([x[one] + moved[0], y[one] + moved[1], wide[one], tall[one]])
                box[2:] *= 1 + moved[2:4]
                found["boxes"][time, query] = box
                found["masks"][time, query, 0] += 12 * _ellipse(height, width, box, corner=part)
                label = labels[one] if copy != 2 else (labels[one] + 1) % classes
                shift = 0.5 * moved[4] / 0.12 * (copy > 1)
                logits[time, query, label] = (
                    level[one] + shift + 0.35 * jitter[copy, 5] - 0.5 * copy - weak
                )
                second = level[one] - 1.5 + 0.3 * jitter[copy, 6] - weak
                logits[time, query, (label + 2) % classes] = second
                noise = 0.35 * rng.standard_normal(channels) * (1 + copy)
                found["embeds"][time, query] = looks[one] + noise
    return found | {"boxes": np.clip(found["boxes"], 0.01, 0.99)}


def _ellipse(height: int, width: int, box: Array, *, corner: bool) -> Array:
    """Return the ellipse in a box (centre x, y, width, height), or its upper left quarter."""
    rows, columns = np.mgrid[0:height, 0:width]
    down = ((rows + 0.5 - box[1] * height) / (box[3] * height / 2)) ** 2
    across = ((columns + 0.5 - box[0] * width) / (box[2] * width / 2)) ** 2
    inside = down + across <= 1
    if corner:
        inside &= (rows + 0.5 < box[1] * height) & (columns + 0.5 < box[0] * width)
    return np.asarray(inside)


def masktrack(sizes: Constants) -> dict[str, Array]:
    """Detections, best first, of objects of which two look alike and stand side by side.

    Returns:
        boxes (T, N, 5), labels (T, N), feats (T, N, C), count (T,).
    """
    rng = generator(sizes["seed"], "inputs")
    names = ("T", "N", "C", "classes", "objects", "feat")
    frames, num, channels, classes, objects, scale = (sizes[name] for name in names)
    height, width = sizes["size"]
    found = {
        "boxes": np.zeros((frames, num, 5)),
        "labels": np.zeros((frames, num), np.int64),
        "feats": np.zeros((frames, num, channels)),
        "count": np.zeros(frames, np.int64),
    }
    looks = scale * rng.standard_normal((objects, channels))
    looks[1] = looks[0] + 0.4 * scale * rng.standard_normal(channels)
    y, x = rng.uniform(0.2, 0.8, objects) * height, rng.uniform(0.2, 0.8, objects) * width
    tall, wide = rng.uniform(0.1, 0.3, objects) * height, rng.uniform(0.1, 0.3, objects) * width
    y[1], x[1], tall[1], wide[1] = y[0] + 4, x[0] + 6, tall[0], wide[0]
    labels = rng.randint(0, classes, objects)
    labels[1] = labels[0]
    there = rng.random_sample((frames, objects)) < 0.75
    there[0, objects // 2 :] = False
    for time in range(frames):
        y, x = y + 2 * rng.standard_normal(objects), x + 3 * rng.standard_normal(objects)
        rows = []
        for one in range(objects):
            for copy in range(1 + int(rng.random_sample() < 0.3)):
                jitter, drawn = rng.standard_normal(channels + 6), rng.random_sample(3)
                if not there[time, one] or time in sizes["empty_frames"]:
                    continue
                cy, cx = y[one] + 3 * copy * jitter[0], x[one] + 3 * copy * jitter[1]
                half_y, half_x = tall[one] / 2, wide[one] / 2
                box = (cx - half_x, cy - half_y, cx + half_x, cy + half_y, 0.05 + 0.94 * drawn[0])
                label = (labels[one] + (drawn[1] < 0.2)) % classes
                rows.append((box, label, looks[one] + 0.3 * scale * jitter[6:]))
        rows = sorted(rows, key=lambda row: -row[0][4])[:num]
        found["count"][time] = len(rows)
        for index, (box, label, features) in enumerate(rows):
            found["boxes"][time, index] = box
            found["labels"][time, index], found["feats"][time, index] = label, features
    return found


INPUTS: dict[str, Callable[[Constants], dict[str, Array]]] = {
    "minvis": minvis,
    "idol": idol,
    "masktrack": masktrack,
}


def weights(case: Mapping[str, Any]) -> dict[str, Array]:
    """Return the weights of linear layers, by the names and shapes that a case has."""
    found = {}
    for name, shape in case["shapes"].items():
        scale = 0.1 if name.endswith("bias") else 1 / np.sqrt(np.prod(shape[1:]))
        found[name] = generator(case["constants"]["seed"], name).standard_normal(shape) * scale
    return found
