"""What AP would be if some causes of errors were mended, and what each cause costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import factorial

import numpy as np

from vidgap_vis.evaluation.causes import CAUSES, Cause, Causes, FoundCause, TrueCause
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

    def ap(self, mended: Collection[Cause] = ()) -> float | None:
        """Return AP with some causes mended, 0..1; None where there is no truth."""
        if not self._of_label:
            return None
        some = frozenset(mended)
        return float(np.mean([one.ap(some & one.relevant) for one in self._of_label.values()]))

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
        return {
            cause: sum(
                factorial(len(some))
                * factorial(num - len(some) - 1)
                / total
                * (values[some | {cause}] - value)
                for some, value in values.items()
                if cause not in some
            )
            for cause in CAUSES
        }

    @cached_property
    def _of_label(self) -> dict[int, _LabelFixes]:
        """The classes that have truths; AP is the mean over them."""
        found = self.causes.found
        parts = {label: _LabelFixes(label) for label in sorted({t.label for t in self.causes.true})}
        owner = {}
        for truth in self.causes.true:
            owner[truth.video, truth.row] = truth.label
            parts[truth.label].add_truth(truth)
        for one in sorted(found, key=lambda one: -one.score):  # equal scores keep their order
            pointed = one.label
            if one.outcome in REPAIRS:
                pointed = owner.get((one.video, one.truth), one.label)
            for label in {one.label, pointed} & parts.keys():
                parts[label].found.append(one)
        return parts


class _LabelFixes:
    """What AP of one class depends on: its truths, its predictions, and those that point to them.

    Attributes:
        label: the class.
        found: the predictions, best score first.
    """

    def __init__(self, label: int) -> None:
        self.label = label
        self.found: list[FoundCause] = []
        self._free: set[tuple[int, int]] = set()
        self._num_truths = self._num_missed = 0
        self._known: dict[frozenset[Cause], float] = {}

    def add_truth(self, truth: TrueCause) -> None:
        """Take a truth of the class."""
        self._num_truths += 1
        self._num_missed += truth.outcome == "missed"
        if truth.outcome != "right":
            self._free.add((truth.video, truth.row))

    @cached_property
    def relevant(self) -> frozenset[Cause]:
        """The causes that change anything here."""
        outcomes = {one.outcome for one in self.found} | {"missed"}
        return frozenset(cause for cause in CAUSES if cause in outcomes)

    def ap(self, mended: frozenset[Cause]) -> float:
        """Return AP of the class with some of the relevant causes mended."""
        if mended not in self._known:
            self._known[mended] = self._ap(mended)
        return self._known[mended]

    def _ap(self, mended: frozenset[Cause]) -> float:
        free = set(self._free)
        right = [True] * (self._num_missed if "missed" in mended else 0)
        for one in self.found:
            if one.outcome not in mended:
                if one.label == self.label and one.outcome != "ignored":
                    right.append(one.outcome == "right")
            elif one.outcome in REPAIRS and (one.video, one.truth) in free:
                free.discard((one.video, one.truth))
                right.append(True)
        hits = np.array(right, np.bool_)
        curves = WeightedCurves(np.zeros(len(hits), np.int64), np.ones((1, 1)))
        counts = np.ones(len(hits), np.bool_)
        return float(curves.average_precision(counts, hits, np.array([self._num_truths]))[0])
