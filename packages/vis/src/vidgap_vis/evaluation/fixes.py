"""What AP would be if some causes of errors were mended, and what each cause costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import factorial

import numpy as np

from vidgap_vis.evaluation.causes import CAUSES, Cause, Causes
from vidgap_vis.evaluation.reassignment import NONE
from vidgap_vis.evaluation.weighted_curve import WeightedCurves

REPAIRS: tuple[Cause, ...] = ("class", "mask", "association")
"""Causes that are mended by making the prediction right; the others are removed, or found."""


@dataclass(frozen=True)
class Fixes:
    """AP at one IoU with causes mended.

    Mending a class, mask or association error makes the prediction right, where its truth is free;
    of several that want a truth the best score has it, and the others are removed. Mending a
    duplicate, a background or a class-and-location error removes the prediction, mending a miss
    finds the truth before all else. With everything mended AP is 1.

    Attributes:
        causes: of the results.
    """

    causes: Causes

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The classes that have truths; AP is the mean over them."""
        return tuple(sorted({one.label for one in self.causes.true}))

    def ap(self, mended: Collection[Cause] = ()) -> float | None:
        """Return AP with some causes mended, 0..1; None where there is no truth."""
        if not self.labels:
            return None
        return float(np.mean(list(self._by_label(frozenset(mended)).values())))

    @cached_property
    def single(self) -> dict[Cause, float]:
        """What mending each cause alone adds to AP; it may be below 0, and they do not sum."""
        before = self.ap() or 0.0
        return {cause: (self.ap((cause,)) or 0.0) - before for cause in CAUSES}

    @cached_property
    def shapley(self) -> dict[Cause, float]:
        """What each cause costs: the mean of what mending it adds, over all orders of mending.

        They sum to 1 - AP (Shapley, 1953).
        """
        values = {
            frozenset(some): self.ap(some) or 0.0
            for size in range(len(CAUSES) + 1)
            for some in combinations(CAUSES, size)
        }
        total, num = factorial(len(CAUSES)), len(CAUSES)
        cost = {}
        for cause in CAUSES:
            cost[cause] = sum(
                factorial(len(some))
                * factorial(num - len(some) - 1)
                / total
                * (values[some | {cause}] - value)
                for some, value in values.items()
                if cause not in some
            )
        return cost

    @cached_property
    def _order(self) -> list[int]:
        """The predictions, best score first; equal scores keep their order."""
        found = self.causes.found
        return sorted(range(len(found)), key=lambda place: (-found[place].score, place))

    def _by_label(self, mended: frozenset[Cause]) -> dict[int, float]:
        """Return AP by class."""
        hits: dict[int, list[tuple[float, int, bool]]] = defaultdict(list)
        free = {(one.video, one.row) for one in self.causes.true if one.outcome != "right"}
        labels = {(one.video, one.row): one.label for one in self.causes.true}
        for place in self._order:
            one = self.causes.found[place]
            key = (one.video, one.truth)
            if one.outcome == "right":
                hits[one.label].append((one.score, place, True))
            elif one.outcome == "ignored":
                continue
            elif one.outcome not in mended:
                hits[one.label].append((one.score, place, False))
            elif one.outcome in REPAIRS and key in free:
                free.discard(key)
                hits[labels[key]].append((one.score, place, True))
        wanted = dict.fromkeys(self.labels, 0)
        for truth in self.causes.true:
            wanted[truth.label] += 1
            if truth.outcome == "missed" and "missed" in mended:
                hits[truth.label].append((np.inf, NONE, True))
        return {label: _average(hits[label], wanted[label]) for label in self.labels}


def _average(found: list[tuple[float, int, bool]], num_truths: int) -> float:
    """Return AP of predictions (score, place, right), by the rules of all AP here."""
    right = np.array([one[2] for one in sorted(found, key=lambda one: (-one[0], one[1]))], np.bool_)
    curves = WeightedCurves(np.zeros(len(right), np.int64), np.ones((1, 1)))
    counts = np.ones(len(right), np.bool_)
    return float(curves.average_precision(counts, right, np.array([num_truths]))[0])
