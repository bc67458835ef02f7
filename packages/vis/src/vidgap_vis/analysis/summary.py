"""Everything about the errors of results, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidgap_vis.analysis.groups import classes, confusions, groups
from vidgap_vis.analysis.videos import MIN_SCORE, videos
from vidgap_vis.evaluation import CAUSES, Evaluation, Fixes, Interval, intervals
from vidgap_vis.evaluation.average_precision import IOU_THRESHOLDS, Metric


def analyse(evaluation: Evaluation, *, min_score: float = MIN_SCORE) -> dict[str, Any]:
    """Gather everything about the causes of errors.

    Numbers are in 0..1; None where there is no truth, bounds where fewer than two videos hold any.

    Args:
        evaluation: results and truth compared.
        min_score: of the tracks that timelines show and whose identity switches are counted.

    Returns:
        "size": numbers of videos, frames, truths and predictions; "ap": the metrics, with
        "intervals"; "thresholds": AP at each IoU; "causes": by cause how many errors it has
        ("count"), what mending it alone adds to AP50 ("alone"), and what it costs ("costs", which
        sum to 1 - AP50, with "interval"); "association": how many predictions failed at it in each
        way; "paper": the three failures of the paper's Fig. 4; "oracles": metrics with parts of the
        results perfect; "truths": by trait and group, how many there are and what became of them;
        "classes": likewise, with AP; "confusions": the classes most often taken for others;
        "switches" of identities at "min_score"; "videos": each with its timelines, the worst first.
    """
    found = evaluation.causes()
    fixes = Fixes(found)
    known = fixes.ap() is not None
    counts = found.counts
    metrics = evaluation.ap()
    bounds = evaluation.intervals()
    costs = fixes.intervals() if known else {}
    lines = videos(evaluation, found, min_score)
    return {
        "size": {
            "videos": len(evaluation.videos),
            "frames": sum(len(video) for video in evaluation.truth.videos),
            "truths": len(found.true),
            "predictions": sum(len(video.found) for video in evaluation.videos),
        },
        "ap": metrics,
        "intervals": {name: bounds_of(bounds[name]) for name in metrics},
        "thresholds": _thresholds(evaluation),
        "causes": {
            cause: {
                "count": counts[cause],
                "alone": fixes.single[cause] if known else None,
                "costs": fixes.shapley[cause] if known else None,
                "interval": bounds_of(costs.get(cause)),
            }
            for cause in CAUSES
        },
        "association": dict(found.kinds),
        "confusions": confusions(evaluation, found),
        "switches": sum(line["switches"] for line in lines),
        "min_score": min_score,
        "paper": {
            "wrong class": counts["class"] + counts["class and location"],
            "identity switch": counts["association"],
            "undetected": counts["missed"],
        },
        "oracles": evaluation.oracles(),
        "truths": groups(evaluation, found),
        "classes": classes(evaluation, found),
        "videos": lines,
    }


def compared(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """Say what `second` has more of each metric than `first`: "value" and "interval", paired."""
    return {
        name: {"value": one.value, "interval": [one.low, one.high]}
        for name, one in first.compare(second).items()
    }


def bounds_of(one: Interval | None) -> list[float | None]:
    """Return the bounds of an interval."""
    return [None, None] if one is None else [one.low, one.high]


def _thresholds(evaluation: Evaluation) -> list[Mapping[str, Any]]:
    """Return AP at each IoU, with bounds."""
    metrics = [
        Metric(f"{iou:.2f}", threshold=index) for index, iou in enumerate(IOU_THRESHOLDS.tolist())
    ]
    found = intervals(evaluation.table, metrics)
    return [
        {"iou": float(name), "ap": one.value, "interval": bounds_of(one)}
        for name, one in found.items()
    ]
