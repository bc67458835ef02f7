"""Why results lose AP: one cause for every prediction that is wrong and every truth not found.

Predictions are matched as AP at an IoU of tau matches them. S is the IoU of whole tracks. The first
that holds of a wrong prediction is the cause:

1. duplicate: S >= tau with a truth of its class, which a better prediction has.
2. class: S >= tau with a truth of another class.
3. S >= beta with a truth of its class. Association, where nobody has that truth, masks of all
   tracks, given to it frame by frame, reach tau (`reassignment`), and the prediction has one of
   them or shows the truth in a frame; or where somebody has it and the prediction shows it in a
   frame, with an IoU of tau, or 0.5 if that is more; else mask. Of several such truths it is that
   by which such predictions and truths that nobody has pair up best, one to one; else that of the
   largest S.
4. class and location: S >= beta with a truth of another class.
5. background: none of these.

A truth that no prediction has is missed, unless a class, mask or association error points to it.
Thresholds as in TIDE (Bolya et al., ECCV 2020), for tracks instead of boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.failures import Failures, Kind
from vidgap_vis.evaluation.matching import match_at
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.evaluation.reassignment import NONE

Cause: TypeAlias = Literal[
    "class", "mask", "association", "duplicate", "class and location", "background", "missed"
]
"""Why a prediction is wrong, or, missed, a truth not found."""

Outcome: TypeAlias = Cause | Literal["right", "ignored"]
"""What became of a prediction: right, ignored (it found a crowd), or why it is wrong."""

CAUSES: tuple[Cause, ...] = get_args(Cause)

TAU, BETA = 0.5, 0.1
"""The IoU that is right, and the one below which there is nothing."""


@dataclass(frozen=True)
class FoundCause:
    """A prediction and what became of it.

    Attributes:
        video: index of its video.
        row: its index among the video's predictions.
        label: its class.
        score: its score.
        outcome: what became of it.
        truth: index of the truth, among the video's, that it has or that it failed at; -1: none.
        kind: how association failed; None: it is not at fault.
    """

    video: int
    row: int
    label: int
    score: float
    outcome: Outcome
    truth: int = NONE
    kind: Kind | None = None


@dataclass(frozen=True)
class TrueCause:
    """A truth and what became of it.

    Attributes:
        video: index of its video.
        row: its index among the video's truths, crowds not among them.
        label: its class.
        outcome: "right" where a prediction has it, "missed", or the cause of the best prediction
            that points to it.
    """

    video: int
    row: int
    label: int
    outcome: Outcome


@dataclass(frozen=True)
class Causes:
    """What became of every prediction and every truth of a data set.

    Attributes:
        video_ids: of the videos, by index.
        found: the predictions that AP counts, video by video, the best score first.
        true: the truths, crowds not among them.
        tau: the IoU that is right.
    """

    video_ids: tuple[int, ...]
    found: tuple[FoundCause, ...]
    true: tuple[TrueCause, ...]
    tau: float = TAU

    @cached_property
    def counts(self) -> dict[Cause, int]:
        """How many predictions are wrong for each cause, and how many truths are missed."""
        number = Counter(one.outcome for one in self.found)
        number["missed"] = sum(one.outcome == "missed" for one in self.true)
        return {cause: number[cause] for cause in CAUSES}

    @cached_property
    def kinds(self) -> dict[Kind, int]:
        """How many predictions failed at association in each way."""
        number = Counter(one.kind for one in self.found)
        return {kind: number[kind] for kind in get_args(Kind)}


def causes(videos: Iterable[VideoOverlaps], tau: float = TAU, beta: float = BETA) -> Causes:
    """Find the cause of every error.

    Args:
        videos: predictions and truths compared.
        tau: the IoU that is right.
        beta: the IoU below which a prediction has nothing to do with a truth.

    Raises:
        ValueError: not 0 < beta < tau <= 1.
    """
    if not 0 < beta < tau <= 1:
        raise ValueError(f"wanted 0 < beta < tau <= 1, got beta {beta} and tau {tau}")
    found: list[FoundCause] = []
    true: list[TrueCause] = []
    ids = []
    for index, video in enumerate(videos):
        ids.append(video.video_id)
        ours = _of_video(index, video, tau, beta)
        found += ours
        true += _of_truths(index, video, ours)
    return Causes(tuple(ids), tuple(found), tuple(true), tau)


def _of_video(index: int, video: VideoOverlaps, tau: float, beta: float) -> list[FoundCause]:
    """Find the cause of every prediction of a video."""
    ious, crowd = video.track_ious(), video.true.is_crowd
    matched = match_at(video, ious, tau)
    made = []
    for row, truth in zip(matched.rows.tolist(), matched.taken.tolist(), strict=True):
        label, score = int(video.found.labels[row]), float(video.found.scores[row])
        same = (video.true.labels == label) & ~crowd
        outcome: Outcome
        if truth != NONE:
            outcome = "ignored" if crowd[truth] else "right"
        else:
            outcome, truth = _cause(ious[row], same, ~same & ~crowd, tau, beta)
        made.append(FoundCause(index, row, label, score, outcome, truth))
    unclear = np.array([one.row for one in made if one.outcome == "mask"], np.int64)
    if not len(unclear):
        return made
    partners = _partners(video, ious, unclear, matched.holders, tau, beta)
    failures = Failures(video, matched, tau)
    for place, one in enumerate(made):
        if one.outcome == "mask":
            truth = partners.get(one.row, one.truth)
            kind = failures.of(one.row, truth)
            outcome = "mask" if kind is None else "association"
            made[place] = replace(one, outcome=outcome, truth=truth, kind=kind)
    return made


def _partners(
    video: VideoOverlaps, ious: Doubles, rows: Ints, holders: Ints, tau: float, beta: float
) -> dict[int, int]:
    """Pair predictions (P,) with truths of their class that nobody has, one to one.

    Returns:
        The truth of each such prediction, where the pair's IoU is beta or more and below tau.
    """
    truths = np.flatnonzero((holders == NONE) & ~video.true.is_crowd)
    part = ious[np.ix_(rows, truths)]
    fits = video.found.labels[rows][:, None] == video.true.labels[truths]
    part = np.where(fits & (part >= beta) & (part < tau), part, 0.0)
    pairs = zip(*linear_sum_assignment(part, maximize=True), strict=True)
    return {int(rows[row]): int(truths[column]) for row, column in pairs if part[row, column] > 0}


def _cause(ious: Doubles, same: Bools, other: Bools, tau: float, beta: float) -> tuple[Cause, int]:
    """Return the first cause that holds for an unmatched prediction, and its truth.

    Args:
        ious: (N,), of the prediction and the truths.
        same: (N,), truths of its class; crowds are neither.
        other: (N,), of other classes.
        tau: the IoU that is right.
        beta: the IoU of something.
    """
    tests: tuple[tuple[Cause, Bools, float], ...] = (
        ("duplicate", same, tau),
        ("class", other, tau),
        ("mask", same, beta),
        ("class and location", other, beta),
    )
    for cause, which, least in tests:
        fitting = np.where(which, ious, -1.0)
        if len(fitting) and fitting.max() >= least:
            return cause, int(fitting.argmax())
    return "background", NONE


def _of_truths(index: int, video: VideoOverlaps, found: Sequence[FoundCause]) -> list[TrueCause]:
    """Find what became of the truths of a video."""
    outcomes: dict[int, Outcome] = {one.truth: "right" for one in found if one.outcome == "right"}
    for one in found:  # the best score first
        if one.outcome in ("class", "mask", "association"):
            outcomes.setdefault(one.truth, one.outcome)
    rows = np.flatnonzero(~video.true.is_crowd).tolist()
    return [
        TrueCause(index, row, int(video.true.labels[row]), outcomes.get(row, "missed"))
        for row in rows
    ]
