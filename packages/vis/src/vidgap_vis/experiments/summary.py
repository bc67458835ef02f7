"""The table of an experiment: each arm over the seeds, and what it gains over another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from vidgap_vis.evaluation import Evaluation
from vidgap_vis.evaluation.spread import Spread, spread
from vidgap_vis.evaluation.table import NOT_AVAILABLE, format_table
from vidgap_vis.experiments.arms import TRUTH, Record
from vidgap_vis.experiments.plan import Experiment

Records: TypeAlias = Mapping[str, Mapping[int, Record]]
"""By arm and seed."""

METRICS = ("AP", "AP50", "AR1", "AR10")
COMPARED = "AP50"


@dataclass(frozen=True)
class Summary:
    """What came out.

    Attributes:
        tables: for the screen.
        data: the same and more, for `results.json`.
    """

    tables: tuple[str, ...]
    data: dict[str, Any]

    def __str__(self) -> str:
        return "\n\n".join(self.tables)


def summarise(experiment: Experiment, records: Records, out: Path) -> Summary:
    """Make the tables.

    Of several seeds each has clips of its own, so that intervals over seeds hold for other clips,
    too. Of one seed they are over its clips alone.

    Args:
        experiment: with the seeds that were run.
        records: of each arm and seed.
        out: the experiment's folder, whose results files are compared, clip by clip.
    """
    gains = {
        name: paired(experiment, name, out)
        for name in experiment.arms
        if name != experiment.against
    }
    found = {
        name: {key: spread([r["metrics"][key] for r in by_seed.values()]) for key in METRICS}
        for name, by_seed in records.items()
    }
    seeds = ", ".join(map(str, experiment.seeds))
    rows = {name: dict(_row(found[name], records[name], gains.get(name))) for name in records}
    tables = [format_table(rows, title=f"seeds {seeds}; gain over {experiment.against}")]
    if groups := dict.fromkeys(
        g for by in records.values() for r in by.values() for g in r["occlusion"]
    ):
        means = {
            name: {g: spread([r["occlusion"].get(g) for r in by.values()]).mean for g in groups}
            for name, by in records.items()
        }
        tables.append(format_table(means, title="AP by occlusion"))
    data = {
        "about": experiment.about,
        "seeds": list(experiment.seeds),
        "against": experiment.against,
        "arms": {
            name: {
                "seeds": {str(seed): record for seed, record in by_seed.items()},
                "spread": {key: asdict(one) for key, one in found[name].items()},
                "gain": gains.get(name),
            }
            for name, by_seed in records.items()
        },
    }
    return Summary(tuple(tables), data)


def paired(experiment: Experiment, name: str, out: Path) -> dict[str, Any]:
    """Return what an arm has more than the one it is compared with, by metric.

    Returns:
        For each metric: `value`, `low` and `high` (over seeds by Student's t, or over the clips of
        a single seed), and `seeds`, (value, low, high) over the clips of each.
    """
    differences = {}
    for seed in experiment.seeds:
        folder = out / f"seed_{seed}"
        truth = folder / "data" / TRUTH
        first, second = (
            Evaluation.of_files(folder / "arms" / f"{arm}.json", truth)
            for arm in (experiment.against, name)
        )
        differences[seed] = first.compare(second)
    gains = {}
    for metric in METRICS:
        each = {str(seed): found[metric] for seed, found in differences.items()}
        over = spread([one.value for one in each.values()])
        only = next(iter(each.values()))
        low, high = (over.low, over.high) if over.n > 1 else (only.low, only.high)
        gains[metric] = {
            "value": over.mean,
            "low": low,
            "high": high,
            "seeds": {seed: [one.value, one.low, one.high] for seed, one in each.items()},
        }
    return gains


def _row(
    found: Mapping[str, Spread], by_seed: Mapping[int, Record], gain: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of an arm."""
    records = list(by_seed.values())
    for key in METRICS:
        yield key, _with_sd(found[key])
    yield f"gain in {COMPARED}", "" if gain is None else _bracketed(gain[COMPARED])
    yield "switches", f"{np.mean([r['switches'] for r in records]):.0f}"
    shares = [r["tracking"]["AssA"] for r in records if r["tracking"]]
    yield "AssA", _with_sd(spread(shares)) if shares else NOT_AVAILABLE
    yield "weights, k", f"{records[0]['parameters'] / 1e3:.0f}"
    yield "ms a frame", f"{np.mean([r['ms'] for r in records]):.0f}"
    yield "bytes a frame", f"{np.mean([r['growth'] for r in records]):.0f}"


def _with_sd(one: Spread) -> str:
    if one.mean is None:
        return NOT_AVAILABLE
    return f"{100 * one.mean:.1f}" + ("" if one.sd is None else f" ± {100 * one.sd:.1f}")


def _bracketed(gain: Mapping[str, Any]) -> str:
    if gain["value"] is None:
        return NOT_AVAILABLE
    if gain["low"] is None:
        return f"{100 * gain['value']:+.1f}"
    return f"{100 * gain['value']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
