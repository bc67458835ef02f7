"""Why results lose AP, as tables for the screen and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vidgap_vis.evaluation.causes import CAUSES
from vidgap_vis.evaluation.evaluation import Evaluation
from vidgap_vis.evaluation.fixes import Fixes
from vidgap_vis.evaluation.intervals import intervals
from vidgap_vis.evaluation.table import format_percent, format_table
from vidgap_vis.evaluation.traits import SPLITS, traits_of

SHOWN = ("AP", "AP50", "AP75", "AR10")
"""Of the oracles' metrics, on the screen."""

OUTCOMES = ("right", "class", "mask", "association", "missed")
"""What may become of a truth."""


def analyse(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything about the causes of errors, as JSON can hold it.

    Returns:
        "ap": the metrics, with "intervals"; "causes": by cause how many errors it has ("count"),
        what mending it alone adds to AP50 ("alone") and what it costs ("costs", which sum to
        1 - AP50); "association": how many predictions failed at it in each way; "paper": the three
        failures of the paper's Fig. 4; "oracles": metrics with parts of the results perfect;
        "truths": by trait and group, how many truths there are and what became of them.
    """
    found = evaluation.causes()
    fixes = Fixes(found)
    known = fixes.ap() is not None
    counts = found.counts
    bounds = intervals(evaluation.table)
    return {
        "ap": evaluation.ap(),
        "intervals": {name: [one.low, one.high] for name, one in bounds.items()},
        "causes": {
            cause: {
                "count": counts[cause],
                "alone": fixes.single[cause] if known else None,
                "costs": fixes.shapley[cause] if known else None,
            }
            for cause in CAUSES
        },
        "association": dict(found.kinds),
        "paper": {
            "wrong class": counts["class"] + counts["class and location"],
            "identity switch": counts["association"],
            "undetected": counts["missed"],
        },
        "oracles": evaluation.oracles(),
        "truths": _truths(evaluation, {(one.video, one.row): one.outcome for one in found.true}),
    }


def tables(name: str, data: Mapping[str, Any]) -> list[str]:
    """Return an analysis as tables.

    Args:
        name: of the results.
        data: what `analyse` returns.
    """
    metrics = {name: data["ap"]} | {
        f"  perfect {oracle}" if oracle != "all" else "  all of these": row
        for oracle, row in data["oracles"].items()
    }
    causes = {
        cause: {
            "errors": str(row["count"]),
            "costs AP50": format_percent(row["costs"]),
            "alone": format_percent(row["alone"]),
        }
        for cause, row in data["causes"].items()
    }
    kinds = {kind: {"predictions": str(number)} for kind, number in data["association"].items()}
    shown = [
        format_table(metrics, SHOWN),
        format_table(causes, title="cause"),
        format_table(kinds, title="association"),
    ]
    for trait, groups in data["truths"].items():
        rows = {
            group: {"truths": str(row["count"])}
            | {outcome: format_percent(row[outcome]) for outcome in OUTCOMES}
            for group, row in groups.items()
        }
        if rows:
            shown.append(format_table(rows, title=trait))
    return shown


def _truths(
    evaluation: Evaluation, outcomes: Mapping[tuple[int, int], str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Count what became of truths, by trait and group; groups without truths are left out."""
    counts: dict[str, dict[str, Counter[str]]] = {
        trait: {group: Counter() for group, _ in bins} for trait, bins in SPLITS.items()
    }
    videos = {video.id: video for video in evaluation.truth.videos}
    for number, overlaps in enumerate(evaluation.videos):
        for row, traits in enumerate(traits_of(evaluation.truth, videos[overlaps.video_id])):
            for trait, bins in SPLITS.items():
                for group, fits in bins:
                    if fits(traits):
                        counts[trait][group][outcomes[number, row]] += 1
                        break
    return {
        trait: {
            group: {"count": number.total()}
            | {outcome: number[outcome] / number.total() for outcome in OUTCOMES}
            for group, number in groups.items()
            if number.total()
        }
        for trait, groups in counts.items()
    }
