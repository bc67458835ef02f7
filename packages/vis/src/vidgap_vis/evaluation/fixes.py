"""What AP would be if some causes of errors were mended, and what each cause costs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import factorial

import numpy as np

from vidgap_vis.errors import check
from vidgap_vis.evaluation.arrays import Doubles, Ints
from vidgap_vis.evaluation.causes import CAUSES, Cause, Causes, FoundCause, TrueCause
from vidgap_vis.evaluation.intervals import Interval, jackknife, whole_and_without_each
from vidgap_vis.evaluation.weighted_curve import WeightedCurves

_ELEMENTS_AT_ONCE = 1_000_000

MOST_GROUPS = 400
"""That videos are left out in, one at a time where there are no more videos than this."""

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
        value = self._values(frozenset(mended), each_left_out=False)[0]
        return None if np.isnan(value) else float(value)

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
        found = self._shapley(each_left_out=False)
        return {cause: float(np.nan_to_num(values[0])) for cause, values in found.items()}

    def intervals(self, *, confidence: float = 0.95) -> dict[Cause, Interval]:
        """Bracket what each cause costs by leaving out each video in turn.

        Of more than `MOST_GROUPS` videos, as many groups of about one size are left out.

        Raises:
            ValueError: the confidence is not between 0 and 1.
        """
        check("confidence", 0 < confidence < 1, "between 0 and 1", confidence)
        num_with_truth = len({truth.video % MOST_GROUPS for truth in self.causes.true})
        found = self._shapley(each_left_out=True)
        return {
            cause: jackknife(cause, values, num_with_truth, confidence, lowest=-1.0)
            for cause, values in found.items()
        }

    def _shapley(self, *, each_left_out: bool) -> dict[Cause, Doubles]:
        """Return what each cause costs, as `_values`."""
        values = {
            frozenset(some): self._values(frozenset(some), each_left_out)
            for size in range(len(CAUSES) + 1)
            for some in combinations(CAUSES, size)
        }
        total, num = factorial(len(CAUSES)), len(CAUSES)
        costs = {cause: np.zeros_like(values[frozenset()]) for cause in CAUSES}
        for some, value in values.items():
            for cause in (cause for cause in CAUSES if cause not in some):
                share = factorial(len(some)) * factorial(num - len(some) - 1) / total
                costs[cause] += share * (values[some | {cause}] - value)
        return costs

    def _values(self, mended: frozenset[Cause], each_left_out: bool) -> Doubles:
        """Return AP with some causes mended: (1,), or (1 + V,) without each of V groups in turn.

        NaN where no video holds a truth.
        """
        num_groups = min(len(self.causes.video_ids), MOST_GROUPS) if each_left_out else 0
        sums, known = np.zeros(1 + num_groups), np.zeros(1 + num_groups, np.int64)
        for one in self._of_label.values():
            values, groups = one.values(mended & one.relevant, each_left_out)
            every = np.full(1 + num_groups, values[0])
            every[1 + groups] = values[1:]
            defined = ~np.isnan(every)
            sums += np.where(defined, every, 0.0)
            known += defined
        return np.where(known > 0, sums / np.maximum(known, 1), np.nan)

    @cached_property
    def _of_label(self) -> dict[int, _LabelFixes]:
        """The classes that have truths; AP is the mean over them."""
        found = self.causes.found
        parts = {label: _LabelFixes(label) for label in sorted({t.label for t in self.causes.true})}
        owner = {}
        for truth in self.causes.true:
            owner[truth.video, truth.row] = truth.label
            parts[truth.label].truths.append(truth)
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
        truths: of the class.
        found: the predictions, best score first.
    """

    def __init__(self, label: int) -> None:
        self.label = label
        self.truths: list[TrueCause] = []
        self.found: list[FoundCause] = []
        self._known: dict[tuple[frozenset[Cause], bool], Doubles] = {}

    @cached_property
    def relevant(self) -> frozenset[Cause]:
        """The causes that change anything here."""
        outcomes = {one.outcome for one in self.found} | {"missed"}
        return frozenset(cause for cause in CAUSES if cause in outcomes)

    @cached_property
    def _groups(self) -> Ints:
        """The groups of videos that hold anything of the class."""
        videos = [truth.video for truth in self.truths] + [one.video for one in self.found]
        return np.unique(np.array(videos) % MOST_GROUPS)

    def values(self, mended: frozenset[Cause], each_left_out: bool) -> tuple[Doubles, Ints]:
        """Return AP of the class with some of the relevant causes mended.

        Returns:
            (1,), or (1 + G,) without each of the groups in turn that hold anything of the class;
            their indices, (G,), or none.
        """
        groups = self._groups if each_left_out else self._groups[:0]
        if (mended, each_left_out) not in self._known:
            self._known[mended, each_left_out] = self._values(mended, each_left_out)
        return self._known[mended, each_left_out], groups

    def _values(self, mended: frozenset[Cause], each_left_out: bool) -> Doubles:
        missed = [truth for truth in self.truths if truth.outcome == "missed"]
        free = {(one.video, one.row) for one in self.truths if one.outcome != "right"}
        right = [(one.video, True) for one in missed if "missed" in mended]
        for one in self.found:
            if one.outcome not in mended:
                if one.label == self.label and one.outcome != "ignored":
                    right.append((one.video, one.outcome == "right"))
            elif one.outcome in REPAIRS and (one.video, one.truth) in free:
                free.discard((one.video, one.truth))
                right.append((one.video, True))
        num_groups = len(self._groups)
        weights = whole_and_without_each(num_groups)  # (1 + G, G)
        if not each_left_out:
            weights = weights[:1]
        hits = np.array([hit for _, hit in right], np.bool_)
        found, true = (
            np.searchsorted(self._groups, np.array(videos, np.int64) % MOST_GROUPS)
            for videos in ([video for video, _ in right], [truth.video for truth in self.truths])
        )
        num_truths = np.bincount(true, minlength=num_groups)
        at_once = max(1, _ELEMENTS_AT_ONCE // max(1, len(hits)))
        values = np.empty(len(weights))
        for start in range(0, len(weights), at_once):
            part = slice(start, start + at_once)
            curves = WeightedCurves(found, np.ascontiguousarray(weights[part].T))
            counts = np.ones(len(hits), np.bool_)
            values[part] = curves.average_precision(counts, hits, num_truths)
        return values
