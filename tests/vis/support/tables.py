"""Random match tables of a known source, built without masks: many classes with few videos.

A source fixes how frequent and how hard its classes are; each data set draws videos from it, with
a difficulty of their own. A true track is found with an IoU and a score that follow both; what is
left of a video's predictions is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidgap_vis.evaluation.average_precision import IOU_THRESHOLDS, LabelTable, MatchTable
from vidgap_vis.evaluation.strata import AREA_RANGES

SOURCE_SEED = 7


@dataclass(frozen=True)
class Source:
    """Where data sets come from.

    Attributes:
        num_videos: videos of a data set.
        num_classes: classes; the first is the most frequent one, 1 / (rank + 5) the law.
        predictions: predicted tracks of a video.
        difficulty_sd: how much videos differ in what their tracks are found with.
        wrong_score: mean score of wrong tracks; right ones have about 0.6.
    """

    num_videos: int = 100
    num_classes: int = 20
    predictions: int = 10
    difficulty_sd: float = 0.12
    wrong_score: float = 0.25

    @property
    def frequencies(self) -> np.ndarray:
        """(K,), chance of each class."""
        chances = 1 / (np.arange(self.num_classes) + 5)
        return chances / chances.sum()

    @property
    def qualities(self) -> np.ndarray:
        """(K,), the IoU with which a track of each class is found, on average."""
        return np.random.default_rng(SOURCE_SEED).uniform(0.4, 0.85, size=self.num_classes)

    def draw(self, seed: int) -> MatchTable:
        """Draw a data set and what was predicted for it."""
        videos = self.draw_videos(np.random.default_rng(seed))
        return table_of(*videos, num_videos=self.num_videos)

    def draw_videos(self, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], ...]:
        """Draw truths (video, label, size) and predictions (those, iou and score; row by row)."""
        per_video = 1 + rng.binomial(3, 0.3, size=self.num_videos)
        video = np.repeat(np.arange(self.num_videos), per_video)
        main = rng.choice(self.num_classes, size=self.num_videos, p=self.frequencies)
        other = rng.choice(self.num_classes, size=len(video), p=self.frequencies)
        label = np.where(rng.random(len(video)) < 0.7, main[video], other)
        size = rng.choice([1, 2, 3], p=[0.2, 0.4, 0.4], size=len(video))
        truths = {"video": video, "label": label, "size": size}
        ease = rng.normal(0, self.difficulty_sd, size=self.num_videos)
        iou = self.qualities[label] + ease[video] + rng.normal(0, 0.15, size=len(video))
        found = {**truths, "iou": iou, "score": iou + rng.normal(0, 0.2, size=len(video))}
        rest = self.predictions - per_video
        video = np.repeat(np.arange(self.num_videos), rest)
        confused = rng.random(len(video)) < 0.4
        anything = rng.integers(self.num_classes, size=len(video))
        wrong = {
            "video": video,
            "label": np.where(confused, main[video], anything),
            "size": rng.choice([1, 2, 3], size=len(video)),
            "iou": np.zeros(len(video)),
            "score": rng.normal(self.wrong_score, 0.2, size=len(video)) - 0.5 * ease[video],
        }
        return truths, {key: np.concatenate([found[key], wrong[key]]) for key in found}


def table_of(
    truths: dict[str, np.ndarray], predictions: dict[str, np.ndarray], *, num_videos: int
) -> MatchTable:
    """Build the table; a prediction's `size` is that of its truth (1 small to 3 large)."""
    sizes = np.arange(len(AREA_RANGES))[:, None]  # row 0 is all sizes

    def inside(size: np.ndarray) -> np.ndarray:
        return (sizes == 0) | (sizes == size)  # (A, n)

    tables = {}
    for label in np.unique(truths["label"]).tolist():
        chosen = truths["label"] == label
        num_truths = np.stack(
            [
                np.bincount(truths["video"][chosen][row], minlength=num_videos)
                for row in inside(truths["size"][chosen])
            ]
        )
        mine = {key: rows[predictions["label"] == label] for key, rows in predictions.items()}
        order = np.argsort(-mine["score"], kind="stable")
        mine = {key: rows[order] for key, rows in mine.items()}
        matched = np.broadcast_to(
            mine["iou"] >= IOU_THRESHOLDS[:, None],
            (len(sizes), len(IOU_THRESHOLDS), len(order)),
        )
        ignored = np.broadcast_to(~inside(mine["size"])[:, None], matched.shape)
        tables[label] = LabelTable(
            mine["video"], ranks_within(mine["video"]), matched, ignored, num_truths
        )
    return MatchTable(tuple(range(1, num_videos + 1)), tables)


def ranks_within(groups: np.ndarray) -> np.ndarray:
    """How many earlier entries belong to the same group."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - starts
    return ranks
