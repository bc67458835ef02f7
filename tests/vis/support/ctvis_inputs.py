"""Seeded inputs whose official CTVIS numbers are kept in `trackers/ctvis/official.json`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUM_QUERIES, NUM_CLASSES, CHANNELS, SIZE = 20, 5, 16, (24, 32)
LENGTHS, NUM_OBJECTS = (24, 40, 60, 8), (6, 9, 3, 5)
"""Of the videos, by seed modulo 4."""


def video(seed: int) -> dict[str, Array]:
    """Objects that move, vanish and return, near duplicates, and weak background queries.

    Returns:
        pred_logits (T, Q, K+1), pred_masks (T, Q, h, w), pred_embeds (T, Q, C), float64.
    """
    num_frames, num = LENGTHS[seed % 4], NUM_OBJECTS[seed % 4]
    height, width = SIZE
    rng = np.random.RandomState(5000 + seed)
    logits = rng.standard_normal((num_frames, NUM_QUERIES, NUM_CLASSES + 1)) * 0.3
    logits[..., NUM_CLASSES] += 3.5
    masks = rng.standard_normal((num_frames, NUM_QUERIES, height, width)) * 0.5 - 3.0
    spread = 0.6 if seed % 3 else 1.5
    embeddings = rng.standard_normal((num_frames, NUM_QUERIES, CHANNELS)) * spread
    rows, columns = np.mgrid[0:height, 0:width]
    looks = rng.standard_normal((num, CHANNELS))
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    looks *= 1.5 + 2.5 * rng.random_sample((num, 1))
    if num > 3:
        looks[1] = looks[0] + 0.4 * rng.standard_normal(CHANNELS)  # two look-alikes
    born = rng.randint(0, max(1, num_frames // 3), num)
    born[0] = 0
    gone = rng.randint(num_frames // 2, num_frames + 1, num)
    hidden, hidden_for = rng.randint(0, num_frames, num), rng.randint(0, num_frames // 2, num)
    labels = rng.randint(0, NUM_CLASSES, num)
    y = rng.randint(4, height - 4, num).astype(float)
    x = rng.randint(4, width - 4, num).astype(float)
    y_speed, x_speed = rng.standard_normal(num) * 0.5, rng.standard_normal(num) * 0.8
    y_radius, x_radius = rng.randint(2, 7, num), rng.randint(2, 7, num)
    for time in range(num_frames):
        queries = rng.permutation(NUM_QUERIES)
        used = 0
        for one in range(num):
            y[one] = np.clip(y[one] + y_speed[one], 0, height - 1)
            x[one] = np.clip(x[one] + x_speed[one], 0, width - 1)
            if not born[one] <= time < gone[one]:
                continue
            if hidden[one] <= time < hidden[one] + hidden_for[one]:
                continue
            for copy in range(1 + int(rng.random_sample() < 0.25)):
                query = queries[used % NUM_QUERIES]
                used += 1
                shape = ((rows - y[one] - copy) / y_radius[one]) ** 2
                shape = shape + ((columns - x[one]) / x_radius[one]) ** 2
                noise = rng.standard_normal(SIZE)
                masks[time, query] = 4.0 * (1.0 - shape).clip(-1.5, 1) + 0.2 * noise
                embeddings[time, query] = looks[one] + 0.3 * rng.standard_normal(CHANNELS)
                logits[time, query] = 0.3 * rng.standard_normal(NUM_CLASSES + 1)
                logits[time, query, labels[one]] += 3.0 - 1.2 * copy + rng.standard_normal() * 0.7
    return {"pred_logits": logits, "pred_masks": masks, "pred_embeds": embeddings}


def batch(seed: int) -> tuple[dict[str, Array], list[dict[str, Array]]]:
    """Two clips of six frames, with four objects that come and go.

    Returns:
        pred_logits (B*T, Q, K+1), pred_masks (B*T, Q, h, w), pred_embeds (B*T, Q, C); and of each
        frame its ids (N,), -1 where absent, classes (N,) and masks (N, h, w).
    """
    num_clips, num_frames, num_queries, channels, num_classes, num = 2, 6, 12, 8, 3, 4
    size = (12, 16)
    rng = np.random.RandomState(7000 + seed)
    total = num_clips * num_frames
    embeddings = rng.standard_normal((total, num_queries, channels))
    logits = rng.standard_normal((total, num_queries, num_classes + 1))
    masks = rng.standard_normal((total, num_queries, *size))
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    frames = []
    for clip in range(num_clips):
        labels, centres = rng.randint(0, num_classes, num), rng.randint(2, 10, (num, 2))
        looks = rng.standard_normal((num, channels)) * 1.5
        queries = rng.permutation(num_queries)[:num]
        for time in range(num_frames):
            present = rng.random_sample(num) < 0.7
            true = np.zeros((num, *size), np.bool_)
            frame = clip * num_frames + time
            for one in np.flatnonzero(present).tolist():
                y, x = centres[one]
                true[one] = (rows - y) ** 2 + (columns - x - time % 3) ** 2 <= 9
                query = queries[one]
                embeddings[frame, query] = looks[one] + 0.4 * rng.standard_normal(channels)
                logits[frame, query, labels[one]] += 3
                masks[frame, query] += 8 * (true[one] - 0.5)
            frames.append(
                {"ids": np.where(present, np.arange(num), -1), "classes": labels, "masks": true}
            )
    return {"pred_logits": logits, "pred_masks": masks, "pred_embeds": embeddings}, frames
