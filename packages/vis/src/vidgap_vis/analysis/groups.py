"""What became of truths: by what makes them hard, and by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vidgap_vis.evaluation import Causes, Evaluation, intervals
from vidgap_vis.evaluation.average_precision import metric_named
from vidgap_vis.evaluation.traits import SPLITS, traits_of

OUTCOMES = ("right", "class", "mask", "association", "missed")
"""What may become of a truth."""

MOST_CONFUSIONS = 20
"""That are listed."""

Groups = dict[str, dict[str, dict[str, Any]]]


def groups(evaluation: Evaluation, found: Causes) -> Groups:
    """Count what became of truths, by trait and group; groups without truths are left out.

    Returns:
        Trait -> group -> "count" and the share of each outcome.
    """
    outcomes = {(one.video, one.row): one.outcome for one in found.true}
    counts: dict[str, dict[str, Counter[str]]] = {
        trait: {group: Counter() for group, _ in bins} for trait, bins in SPLITS.items()
    }
    videos = {video.id: video for video in evaluation.truth.videos}
    for number, overlaps in enumerate(evaluation.videos):
        for row, traits in enumerate(traits_of(evaluation.truth, videos[overlaps.video_id])):
            for trait, bins in SPLITS.items():
                group = next(group for group, fits in bins if fits(traits))
                counts[trait][group][outcomes[number, row]] += 1
    return {
        trait: {group: _shares(number) for group, number in groups.items() if number.total()}
        for trait, groups in counts.items()
    }


def classes(evaluation: Evaluation, found: Causes) -> list[dict[str, Any]]:
    """Return for each class that has a truth its AP, and what became of its truths."""
    outcomes: dict[int, Counter[str]] = {}
    for truth in found.true:
        outcomes.setdefault(truth.label, Counter())[truth.outcome] += 1
    metrics = [metric_named("AP"), metric_named("AP50")]
    rows = []
    for label, number in sorted(outcomes.items()):
        one = evaluation.truth.classes[label]
        row = {"label": label, "category_id": one.category_id, "name": one.name} | _shares(number)
        bounds = intervals(evaluation.table.only_label(label), metrics)
        for name, known in bounds.items():
            row |= {name: known.value, f"{name} interval": [known.low, known.high]}
        rows.append(row)
    return rows


def confusions(evaluation: Evaluation, found: Causes) -> list[dict[str, Any]]:
    """Return which classes were taken for which others by predictions that fit but for the class.

    The most frequent ones: "true" and "found" class, and "count".
    """
    number: Counter[tuple[int, int]] = Counter()
    for one in found.found:
        if one.outcome == "class":
            number[int(evaluation.videos[one.video].true.labels[one.truth]), one.label] += 1
    names = [info.name for info in evaluation.truth.classes]
    return [
        {"true": names[true], "found": names[label], "count": count}
        for (true, label), count in number.most_common(MOST_CONFUSIONS)
    ]


def _shares(number: Mapping[str, int]) -> dict[str, Any]:
    total = sum(number.values())
    return {"count": total} | {outcome: number.get(outcome, 0) / total for outcome in OUTCOMES}
