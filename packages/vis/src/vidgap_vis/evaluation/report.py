"""Everything that is said of results: as tables for the screen, and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vidgap_vis.evaluation.average_precision import METRICS, MatchTable
from vidgap_vis.evaluation.evaluation import Evaluation
from vidgap_vis.evaluation.groups import Grouping, class_names
from vidgap_vis.evaluation.hota import SHARES
from vidgap_vis.evaluation.intervals import Difference, compare, intervals
from vidgap_vis.evaluation.spread import spread
from vidgap_vis.evaluation.table import format_table

COLUMNS = tuple(metric.name for metric in METRICS)

GAINS_SHOWN = ("AP", "AP50", "AR10")
"""With their intervals, of each group; the data hold all."""


@dataclass
class Report:
    """Tables to print, one after the other, and the same as data for a JSON file."""

    tables: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add_ap(self, name: str, evaluation: Evaluation) -> None:
        """Add the metrics of all videos and what brackets them."""
        found = evaluation.intervals()
        rows = {
            name: evaluation.ap(),
            "  95 %: from": {key: one.low for key, one in found.items()},
            "  to": {key: one.high for key, one in found.items()},
        }
        self.tables.append(format_table(rows, COLUMNS))
        self.data.update(evaluation.ap())
        self.data["intervals"] = {key: [one.low, one.high] for key, one in found.items()}

    def add_groups(
        self,
        evaluation: Evaluation,
        groupings: Sequence[Grouping],
        long_videos: Collection[int] | None,
    ) -> None:
        """Add the metrics of each group of each grouping."""
        for grouping in groupings:
            tables = evaluation.by(grouping, long_videos)
            rows = {name: _row(table) for name, table in tables.items()}
            self.tables.append(format_table(rows, COLUMNS, title=f"by {grouping}"))
            self.data.setdefault("by", {})[grouping] = {
                name: {**table.summary(), "intervals": _bounds(table)}
                for name, table in tables.items()
            }

    def add_tracking(self, evaluation: Evaluation, min_score: float) -> None:
        """Add HOTA and its kin, overall and by class."""
        found = evaluation.hota(min_score=min_score)
        names = class_names(evaluation.truth)
        named = {"all": found.overall} | {
            f"  {names[label]}": metrics for label, metrics in found.per_class.items()
        }
        rows = {
            name: {key: value if key in SHARES else f"{value}" for key, value in metrics.items()}
            for name, metrics in named.items()
        }
        self.tables.append(format_table(rows, title=f"tracks of score >= {min_score:g}"))
        self.data["tracking"] = {
            "min_score": min_score,
            **found.overall,
            "by": {names[label]: metrics for label, metrics in found.per_class.items()},
        }

    def add_comparison(
        self,
        names: tuple[str, str],
        other: Evaluation,
        evaluation: Evaluation,
        groupings: Sequence[Grouping],
        long_videos: Collection[int] | None,
    ) -> None:
        """Add what results gain over others: paired, overall and in each group.

        Args:
            names: of the others, and of the results.
            other: the others.
            evaluation: the results, about the same truth.
            groupings: the data hold classes in any case.
            long_videos: as `group_tables` takes them.
        """
        found = other.compare(evaluation)
        rows = {
            names[0]: {key: one.first for key, one in found.items()},
            names[1]: {key: one.second for key, one in found.items()},
            "  gain": {key: one.value for key, one in found.items()},
            "    95 %: from": {key: one.low for key, one in found.items()},
            "    to": {key: one.high for key, one in found.items()},
        }
        self.tables.append(format_table(rows, COLUMNS, title="paired"))
        self.data["against"] = {"file": names[0], "gain": _as_data(found), "by": {}}
        for grouping in dict.fromkeys(("class", *groupings)):
            before, after = (one.by(grouping, long_videos) for one in (other, evaluation))
            gains = {name: compare(before[name], table) for name, table in after.items()}
            self.data["against"]["by"][grouping] = {
                name: _as_data(gain) for name, gain in gains.items()
            }
            if grouping in groupings:
                texts = {
                    name: {key: str(gain[key]) for key in GAINS_SHOWN}
                    for name, gain in gains.items()
                }
                self.tables.append(format_table(texts, GAINS_SHOWN, title=f"gain by {grouping}"))

    def add_seeds(self, evaluations: Mapping[str, Evaluation]) -> None:
        """Add the metrics of several results, their mean and their standard deviation."""
        metrics = {name: evaluation.ap() for name, evaluation in evaluations.items()}
        found = {key: spread([row[key] for row in metrics.values()]) for key in COLUMNS}
        rows = {
            **metrics,
            "  mean": {key: one.mean for key, one in found.items()},
            "  standard deviation": {key: one.sd for key, one in found.items()},
            "  95 % of the mean: from": {key: one.low for key, one in found.items()},
            "  to": {key: one.high for key, one in found.items()},
        }
        self.tables.append(format_table(rows, COLUMNS, title=f"{len(metrics)} seeds"))
        self.data["seeds"] = {
            "files": metrics,
            "spread": {key: asdict(one) for key, one in found.items()},
        }


def _row(table: MatchTable) -> dict[str, float | None]:
    return {**dict.fromkeys(COLUMNS), **table.summary()}


def _bounds(table: MatchTable) -> dict[str, list[float | None]]:
    return {name: [one.low, one.high] for name, one in intervals(table).items()}


def _as_data(found: Mapping[str, Difference]) -> dict[str, dict[str, Any]]:
    return {name: asdict(difference) for name, difference in found.items()}
