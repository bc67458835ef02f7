"""How the losses of trainings went: where each term ends, and when one is even with another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vidgap_vis.evaluation.table import NOT_AVAILABLE, format_table
from vidgap_vis.training.metrics import METRICS_FILE

PARTS = 10
"""Of a training, of each of which the mean is taken."""

NO_TERMS = ("step", "lr", "seconds_per_step", "time")
SHOWN = ("class", "mask", "dice", "contrast")
"""Terms in the table, each of the last decoder layer."""

Course: TypeAlias = Mapping[str, Sequence[float]]
"""Of a training, by term and "loss", their sum: the mean of each part, at most `PARTS` of them."""

Courses: TypeAlias = Mapping[str, Mapping[str, Course]]
"""By run and seed."""


def course(folder: Path) -> Course:
    """Read how the losses of a run folder went."""
    lines = (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    terms = set(records[0]).intersection(*records).difference(NO_TERMS)
    parts = [part for part in np.array_split(np.arange(len(records)), PARTS) if len(part)]
    return {
        term: [float(np.mean([records[index][term] for index in part])) for part in parts]
        for term in sorted(terms)
    }


def even_from(runs: Sequence[Course], rivals: Sequence[Course]) -> float | None:
    """Return after which share of a training its loss is first no higher than another's.

    Args:
        runs: of the training, by seed.
        rivals: of the other, by the same seeds.

    Returns:
        The share of its steps, at the end of the part whose mean over seeds is no higher; None: it
        never is.
    """
    gaps = np.mean(
        [np.subtract(a["loss"], b["loss"]) for a, b in zip(runs, rivals, strict=True)], axis=0
    )
    even = np.flatnonzero(gaps <= 0)
    return float((even[0] + 1) / len(gaps)) if len(even) else None


def losses_table(courses: Courses, rival: str, title: str) -> str:
    """Return the table of some trainings, compared with one of them.

    Args:
        courses: of the trainings, all by the same seeds.
        rival: of them, the one that the others are compared with, where the loss has the same terms
            and as many parts.
        title: what they have in common.
    """
    rows = {name: dict(_row(courses[name], courses[rival])) for name in courses}
    return format_table(rows, title=f"{title}: losses in the last tenth; against run {rival}")


def _row(found: Mapping[str, Course], rival: Mapping[str, Course]) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of a training."""
    runs, rivals = [*found.values()], [*rival.values()]
    for term in SHOWN:
        known = term in runs[0]
        yield term, f"{np.mean([r[term][-1] for r in runs]):.3f}" if known else NOT_AVAILABLE
    yield "all", f"{np.mean([r['loss'][-1] for r in runs]):.2f}"
    alike = runs[0].keys() == rivals[0].keys() and all(
        len(a["loss"]) == len(b["loss"]) for a, b in zip(runs, rivals, strict=True)
    )
    for name, part in (("first", 0), ("last", -1)):
        gaps = [a["loss"][part] - b["loss"][part] for a, b in zip(runs, rivals, strict=True)]
        yield f"difference, {name} tenth", f"{np.mean(gaps):+.2f}" if alike else NOT_AVAILABLE
    share = even_from(runs, rivals) if alike else None
    yield "even after", NOT_AVAILABLE if share is None else f"{share:.0%}"
