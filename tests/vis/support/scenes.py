"""Random tracks with their dense masks: rectangles that drift, vanish and overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle

HEIGHT, WIDTH = 300, 340


@dataclass(frozen=True)
class Scene:
    """Tracks of a small data set; frames are (HEIGHT, WIDTH)."""

    truths: list[Track]
    predictions: list[Track]
    video_ids: list[int]


def rectangle(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return mask


def track(video_id: int, label: int, boxes: list, score: float = 1.0, crowd: bool = False) -> Track:
    """A track of rectangles (top, left, height, width); None where it is absent."""
    rles = tuple(None if box is None else Rle.encode(rectangle(*box)) for box in boxes)
    return Track(video_id, label, rles, score, crowd)


def random_boxes(rng: np.random.Generator, num_frames: int) -> list:
    """A drifting rectangle of 10 to 300 pixels a side, absent in some frames."""
    size = np.exp(rng.uniform(np.log(10), np.log(300), size=2)).astype(int)
    corner = rng.integers(0, [HEIGHT - 5, WIDTH - 5])
    boxes = []
    for _ in range(num_frames):
        corner = corner + rng.integers(-9, 10, size=2)
        absent = rng.random() < 0.2
        boxes.append(None if absent else (*corner.tolist(), *size.tolist()))
    return boxes


def disturbed(rng: np.random.Generator, boxes: list, amount: float) -> list:
    """The same track moved, resized and with other frames missing."""
    shift = rng.normal(0, amount, size=4)
    result = []
    for box in boxes:
        if box is None or rng.random() < 0.1:
            result.append(None)
            continue
        scale = np.array([box[2], box[3], box[2], box[3]])
        top, left, height, width = (np.array(box) + shift * scale).round().astype(int).tolist()
        result.append((top, left, max(height, 1), max(width, 1)))
    return result


def random_scene(
    seed: int,
    *,
    num_videos: int = 4,
    num_labels: int = 3,
    crowds: bool = False,
    tied_scores: bool = False,
) -> Scene:
    """Truths, disturbed copies of them, duplicates and inventions, some under a wrong label."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []

    def draw_score() -> float:
        return float(rng.integers(0, 4) / 4 if tied_scores else rng.random())

    for video_id in range(1, num_videos + 1):
        num_frames = int(rng.integers(1, 5))
        for _ in range(rng.integers(0, 5)):
            label = int(rng.integers(num_labels))
            boxes = random_boxes(rng, num_frames)
            is_crowd = crowds and rng.random() < 0.3
            truths.append(track(video_id, label, boxes, crowd=is_crowd))
            for _ in range(rng.integers(0, 3)):
                found = label if rng.random() < 0.8 else int(rng.integers(num_labels))
                copy = disturbed(rng, boxes, amount=rng.choice([0.0, 0.02, 0.1]))
                predictions.append(track(video_id, found, copy, draw_score()))
        for _ in range(rng.integers(0, 3)):
            boxes = random_boxes(rng, num_frames)
            predictions.append(track(video_id, int(rng.integers(num_labels)), boxes, draw_score()))
    order = rng.permutation(len(predictions))
    return Scene(truths, [predictions[i] for i in order], list(range(1, num_videos + 1)))
