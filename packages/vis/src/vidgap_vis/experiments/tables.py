"""The tables of an experiment: how well each arm did, what it gains, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from vidgap_vis.evaluation import Cause
from vidgap_vis.evaluation.spread import Spread, spread
from vidgap_vis.evaluation.table import NOT_AVAILABLE, format_table
from vidgap_vis.experiments.arms import Record
from vidgap_vis.experiments.losses import Courses, losses_table
from vidgap_vis.experiments.plan import Experiment
from vidgap_vis.inference.mechanism import LEVELS
from vidgap_vis.inference.state_probe import AGO

Records: TypeAlias = Mapping[str, Mapping[int, Record]]
"""By arm and seed."""

Gains: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By metric: `value`, `low` and `high`, and by seed (value, low, high) over its clips."""

METRICS = ("AP", "AP50", "AR1", "AR10")
COMPARED = "AP50"
OF_STILLS = ("AP", "AP50", "AP75", "AR10")
LOST_TO: tuple[Cause, ...] = ("association", "mask", "missed", "background", "class", "duplicate")
ASKED = ("5", "re-entry")
"""Of the questions of association, in the table."""


def all_tables(
    experiment: Experiment,
    records: Records,
    gains: Mapping[str, Gains],
    pairs: Mapping[str, Gains],
    courses: Courses,
) -> Iterator[str]:
    """Yield the tables for the screen.

    Args:
        experiment: with all seeds.
        records: of each arm and seed.
        gains: of the arms over the one that they are compared with.
        pairs: of further comparisons, by title.
        courses: of the losses of all runs.
    """
    seeds = ", ".join(map(str, experiment.seeds))
    clips = {name: list(records[name].values()) for name in experiment.compared}
    rows = {name: dict(_clips_row(found, gains.get(name))) for name, found in clips.items()}
    yield format_table(rows, title=f"seeds {seeds}; gain over {experiment.rival}")
    if groups := dict.fromkeys(
        g for found in clips.values() for r in found for g in r["occlusion"]
    ):
        means = {
            name: {g: spread([r["occlusion"].get(g) for r in found]).mean for g in groups}
            for name, found in clips.items()
        }
        yield format_table(means, title="AP by occlusion")
    asked = known(clips, "association")
    stills = {name: list(records[name].values()) for name in experiment.on_stills}
    for title, found, row in (
        ("what AP50 is lost to", known(clips, "causes"), _causes_row),
        ("association, exact masks", asked, _association_row),
        ("masks and queries", asked, _mechanism_row),
        ("masks of learned queries", known(asked, "places"), _places_row),
        ("AUC: where empty cells had an instance, frames ago", known(asked, "state"), _state_row),
        (f"stills; seeds {seeds}", stills, _stills_row),
    ):
        if found:
            rows = {name: dict(row(seen)) for name, seen in found.items()}
            yield format_table(rows, title=title)
    if pairs:
        rows = {
            name: {metric: _bracketed(found[metric]) for metric in METRICS}
            for name, found in pairs.items()
        }
        yield format_table(rows, title="difference")
    yield _losses(experiment, courses)


def known(clips: Mapping[str, Sequence[Record]], key: str) -> dict[str, Sequence[Record]]:
    """Return the arms all of whose records have something."""
    return {name: found for name, found in clips.items() if all(r.get(key) for r in found)}


def _losses(experiment: Experiment, courses: Courses) -> str:
    """Return the table of the trainings of the stage of the one that arms are compared with."""
    rival = experiment.arms[experiment.against].run
    stage = experiment.runs[rival].stage
    alike = {name: found for name, found in courses.items() if experiment.runs[name].stage == stage}
    return losses_table(alike, rival, title=stage)


def _clips_row(found: Sequence[Record], gain: Gains | None) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of an arm on clips."""
    for key in METRICS:
        yield key, _over_seeds([r["metrics"][key] for r in found])
    yield f"gain in {COMPARED}", "" if gain is None else _bracketed(gain[COMPARED])
    yield "switches", f"{np.mean([r['switches'] for r in found]):.0f}"
    shares = [r["tracking"]["AssA"] for r in found if r["tracking"]]
    yield "AssA", _over_seeds(shares) if shares else NOT_AVAILABLE
    yield "weights, k", f"{found[0]['parameters'] / 1e3:.0f}"
    yield "ms a frame", f"{np.mean([r['ms'] for r in found]):.0f}"
    yield "bytes a frame", f"{np.mean([r['growth'] for r in found]):.0f}"


def _causes_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text): what each cause of errors costs, and AP50 if association were right."""
    for cause in LOST_TO:
        yield cause, _over_seeds([r["causes"][cause] for r in found])
    yield "perfect association", _over_seeds([r["perfect association"] for r in found])


def _stills_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of an arm on stills."""
    for key in OF_STILLS:
        yield key, _over_seeds([r["metrics"][key] for r in found])
    yield "weights, k", f"{found[0]['parameters'] / 1e3:.0f}"
    yield "same in the mirror", _over_seeds([r.get("mirrored") for r in found])
    yield "ms a still", f"{np.mean([r['ms'] for r in found]):.0f}"


def _association_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text): how often who finds an instance again, so many frames later."""
    for question in ASKED:
        name = question if question == "re-entry" else f"{question} frames"
        for who in ("embedding", "queries", "centre"):
            shares = [r["association"][question][who] for r in found]
            yield f"{name}: {who}", _over_seeds(shares)


def _mechanism_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text): how good masks are by occlusion, how often queries stay."""
    for level in LEVELS:
        yield (
            f"IoU, {level.replace('_', ' ')}",
            _over_seeds([r["masks"][level]["iou"] for r in found]),
        )
    for kind, name in (("next", "same query, next frame"), ("return", "after an absence")):
        yield name, _over_seeds([r["staying"][kind] for r in found])


def _places_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text): masks of learned queries and of the last level, queries an instance."""
    for key, name in (("learned", "IoU, learned queries"), ("last", "IoU, last level")):
        yield name, _over_seeds([r["places"][key] for r in found])
    counts = [count for r in found if (count := r["places"]["covering"]) is not None]
    yield "queries an instance", f"{np.mean(counts):.1f}" if counts else NOT_AVAILABLE
    yield "same in the mirror", _over_seeds([r["places"].get("mirrored") for r in found])


def _state_row(found: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (column, text): how well the features tell it, and how well with the state."""
    for ago in AGO:
        for who in ("features", "both"):
            shares = [r["state"][str(ago)][who] for r in found]
            yield f"{ago}: {'with state' if who == 'both' else who}", _over_seeds(shares)


def _over_seeds(values: Sequence[float | None]) -> str:
    """Write a mean, and the standard deviation where there are several values."""
    one: Spread = spread(values)
    if one.mean is None:
        return NOT_AVAILABLE
    return f"{100 * one.mean:.1f}" + ("" if one.sd is None else f" ± {100 * one.sd:.1f}")


def _bracketed(gain: Mapping[str, Any]) -> str:
    if gain["value"] is None:
        return NOT_AVAILABLE
    if gain["low"] is None:
        return f"{100 * gain['value']:+.1f}"
    return f"{100 * gain['value']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
