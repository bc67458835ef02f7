"""Can look-alikes be told apart, their exact masks given? Questions, answers, and a linear probe.

A question names an instance in one frame and asks which of its look-alikes it is in a later one.
Answers come from descriptions (N, T, C) of the instances of a clip: the nearest is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from vidgap_segmenter.backbones import Backbone
from vidgap_vis.synthetic import Render, Scene

Floats = NDArray[np.float64]

CLEAR = 0.8
"""The share of its outline that an instance shows in a frame that a question is about."""
ABSENT = 0.5
"""Showing less than this share is absence: hidden, or outside the frame."""
SHRINKAGE = 0.3
"""What the probe adds to every eigenvalue of the scatter, as a share of their mean."""


@dataclass(frozen=True)
class Question:
    """Which of `choices`, in frame `later`, is `instance`, seen in frame `earlier`?"""

    instance: int
    earlier: int
    later: int
    choices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sight:
    """What is seen of the instances of a clip: `groups` (N,), `clear` and `absent` (N, T) bool."""

    groups: NDArray[np.int64]
    clear: NDArray[np.bool_]
    absent: NDArray[np.bool_]

    @classmethod
    def of(cls, scene: Scene, rendered: Render) -> Sight:
        """Return what is seen of a scene."""
        radii = np.array([[pose.radius for pose in one.poses] for one in scene.instances])
        shown = rendered.masks.sum((2, 3)) / (np.pi * radii**2)
        groups = np.array([one.role.group for one in scene.instances])
        return cls(groups, shown >= CLEAR, shown < ABSENT)

    def after(self, gap: int) -> list[Question]:
        """Return the questions about frames `gap` apart."""
        starts = np.argwhere(self.clear[:, : self.clear.shape[1] - gap])
        return [one for n, t in starts.tolist() for one in self._ask(n, t, t + gap)]

    def across_absence(self) -> list[Question]:
        """Return the questions about the last clear frame before an absence and the next one."""
        questions: list[Question] = []
        for n, (clear, absent) in enumerate(zip(self.clear, self.absent, strict=True)):
            seen = np.flatnonzero(clear).tolist()
            for t, u in pairwise(seen):
                if absent[t:u].any():
                    questions += self._ask(n, t, u)
        return questions

    def _ask(self, instance: int, earlier: int, later: int) -> Iterator[Question]:
        """Yield the question, if the instance and a look-alike are clear in the later frame."""
        alike = self.groups == self.groups[instance]
        choices = np.flatnonzero(alike & self.clear[:, later]).tolist()
        if instance in choices and len(choices) > 1:
            yield Question(instance, earlier, later, tuple(choices))


def skill(questions: Sequence[Sequence[Question]], described: Sequence[Floats]) -> float:
    """Return how well the nearest description answers: 0 is chance, 1 is always right.

    With A the share of right answers and C the mean of 1 / (number of choices): (A - C) / (1 - C).

    Args:
        questions: of each clip.
        described: the descriptions of each clip, (N, T, C).
    """
    right, chance = [], []
    for asked, values in zip(questions, described, strict=True):
        for one in asked:
            gaps = values[list(one.choices), one.later] - values[one.instance, one.earlier]
            nearest = one.choices[int(np.linalg.norm(gaps, axis=1).argmin())]
            right.append(nearest == one.instance)
            chance.append(1 / len(one.choices))
    return float((np.mean(right) - np.mean(chance)) / (1 - np.mean(chance)))


@torch.no_grad()
def pooled_features(rendered: Render, backbone: Backbone) -> Floats:
    """Return the backbone's maps averaged inside the masks, fine to coarse, (N, T, C)."""
    mean, std = torch.tensor(backbone.pixel_mean), torch.tensor(backbone.pixel_std)
    frames = ((torch.from_numpy(rendered.frames) - mean) / std).permute(0, 3, 1, 2)
    masks = torch.from_numpy(rendered.masks).transpose(0, 1).float()  # (T, N, H, W)
    pooled = []
    for features in backbone(frames):
        inside = interpolate(masks, features.shape[2:], mode="area")
        total = torch.einsum("tnhw,tchw->ntc", inside, features)
        pooled.append(total / inside.sum((2, 3)).clamp(min=1e-6).T[:, :, None])
    return torch.cat(pooled, dim=2).double().numpy()


def centres(rendered: Render) -> Floats:
    """Return the mean pixel (x, y) of every mask, (N, T, 2); of an empty one, (0, 0)."""
    rows, columns = np.indices(rendered.masks.shape[2:])
    area = np.maximum(rendered.masks.sum((2, 3)), 1)
    sums = [(rendered.masks * where).sum((2, 3)) for where in (columns, rows)]
    return np.stack(sums, axis=2) / area[:, :, None]


def colour_histograms(rendered: Render) -> Floats:
    """Return the joint histogram of RGB inside every mask, 8 bins a channel, (N, T, 512)."""
    bins = (rendered.frames // 32).astype(np.int64) @ np.array([64, 8, 1])  # (T, H, W)
    counts = np.array(
        [
            [np.bincount(found[mask], minlength=512) for found, mask in zip(bins, one, strict=True)]
            for one in rendered.masks
        ]
    )
    return counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)


def fit_probe(described: Sequence[Floats], sights: Sequence[Sight], num_outputs: int) -> Floats:
    """Return the linear map (C, `num_outputs`) that parts look-alikes but no individual (Fisher).

    Descriptions are standardised, and their scatter about each individual's own mean, with a
    little added, is made white; then the directions in which the means of look-alikes spread most
    are kept.

    Args:
        described: descriptions of each training clip, (N, T, C).
        sights: of the same clips; clear views count.
        num_outputs: how many directions to keep.
    """
    within, between = [], []
    for values, sight in zip(described, sights, strict=True):
        for group in np.unique(sight.groups):
            alike = (sight.groups == group) & sight.clear.any(axis=1)
            views = [values[n, sight.clear[n]] for n in np.flatnonzero(alike)]
            means = [view.mean(axis=0) for view in views]
            within += [view - mean for view, mean in zip(views, means, strict=True)]
            if len(views) > 1:
                between.append(means - np.mean(means, axis=0))
    inner, outer = np.concatenate(within), np.concatenate(between)
    scale = 1 / (inner.std(axis=0) + outer.std(axis=0) + 1e-9)
    values, vectors = np.linalg.eigh(np.cov((scale * inner).T))
    white = scale[:, None] * vectors / np.sqrt(values + SHRINKAGE * values.mean())
    directions = np.linalg.svd(outer @ white, full_matrices=False)[2]
    return white @ directions[:num_outputs].T
