"""An analysis as plain-text tables for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidgap_vis.analysis.groups import OUTCOMES
from vidgap_vis.evaluation.table import NOT_AVAILABLE, format_percent, format_table

SHOWN = ("AP", "AP50", "AP75", "AR10")
"""Of the oracles' metrics."""


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
            "95 %": format_bounds(row["interval"]),
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


def difference_table(first: str, second: str, gains: Mapping[str, Any]) -> str:
    """Return what the first results have more of each metric than the second, as a table."""
    rows = {
        name: {
            "difference": format_percent(gain["value"]),
            "95 %": format_bounds(gain["interval"]),
        }
        for name, gain in gains.items()
    }
    return format_table(rows, title=f"{first} minus {second}")


def format_bounds(bounds: tuple[float | None, float | None]) -> str:
    """Write bounds as "40.1 to 50.2", in percent."""
    low, high = bounds
    if low is None or high is None:
        return NOT_AVAILABLE
    return f"{format_percent(low)} to {format_percent(high)}"
