"""What came out of an experiment: each arm over the seeds, and what it gains over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from vidgap_vis.evaluation import Evaluation
from vidgap_vis.evaluation.spread import spread
from vidgap_vis.experiments.elsewhere import MADE_OF, Results, by_seed
from vidgap_vis.experiments.losses import Course, course
from vidgap_vis.experiments.plan import FILE, Experiment
from vidgap_vis.experiments.stills import TRUTH as TRUTH_OF_STILLS
from vidgap_vis.experiments.tables import METRICS, OF_STILLS, Gains, Records, all_tables
from vidgap_vis.weights.provenance import sha256

Difference: TypeAlias = tuple[float | None, float | None, float | None]
"""A value, and its interval over the clips of a seed."""

Differences: TypeAlias = Mapping[str, Mapping[int, Difference]]
"""By metric and seed."""


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


def summarise(
    experiment: Experiment,
    records: Records,
    out: Path,
    root: Path | None = None,
    elsewhere: Sequence[Results] = (),
) -> Summary:
    """Make the tables.

    Of several seeds each has generated clips of its own, so that intervals over seeds hold for
    other clips, too; held-out sets of files are the same in all. Of one seed intervals are over its
    clips alone.

    Args:
        experiment: with the seeds that were run here.
        records: of each arm and seed.
        out: the experiment's folder, whose results files are compared, clip by clip.
        root: the folder of the experiment's files; None: data were generated.
        elsewhere: results of other seeds.
    """
    seeds = sorted([*experiment.seeds, *(seed for one in elsewhere for seed in one["seeds"])])
    records = {
        name: dict(sorted([*own.items(), *by_seed(elsewhere, "arms", name, "seeds")]))
        for name, own in records.items()
    }
    gains = {
        name: pooled(paired(experiment, name, rival, out, root), elsewhere, "arms", name, "gain")
        for name in experiment.compared
        if (rival := experiment.rival_of(name)) is not None
    }
    pairs = {
        (title := f"{name} - {other}"): pooled(
            paired(experiment, name, other, out, root), elsewhere, "pairs", title
        )
        for name, other in experiment.pairs
    }
    courses = {name: courses_of(name, experiment, out, elsewhere) for name in experiment.runs}
    data = {
        "about": experiment.about,
        MADE_OF: sha256(out / FILE),
        "seeds": seeds,
        "against": experiment.against,
        "arms": {
            name: {
                "seeds": {str(seed): record for seed, record in found.items()},
                "spread": {
                    key: asdict(spread([r["metrics"][key] for r in found.values()]))
                    for key in dict.fromkeys(METRICS + OF_STILLS)
                    if name in experiment.compared + experiment.on_stills
                },
                "gain": gains.get(name),
                "gain over": experiment.rival_of(name) if name in gains else None,
            }
            for name, found in records.items()
        },
        "pairs": pairs,
        "losses": courses,
    }
    everything = replace(experiment, seeds=tuple(seeds))
    return Summary(tuple(all_tables(everything, records, gains, pairs, courses)), data)


def paired(
    experiment: Experiment, name: str, other: str, out: Path, root: Path | None = None
) -> Differences:
    """Return what an arm has more than another in the seeds that were run here."""
    on_clips = name in experiment.on_clips
    differences: dict[str, dict[int, Difference]] = {metric: {} for metric in METRICS}
    for seed in experiment.seeds:
        folder = out / f"seed_{seed}"
        own = folder / "data"
        data = own if root is None else root
        truth = experiment.truth_of(name, own).annotations if on_clips else TRUTH_OF_STILLS
        first, second = (
            Evaluation.of_files(folder / "arms" / f"{arm}.json", data / truth)
            for arm in (other, name)
        )
        compared = first.compare(second)
        for metric, by_seeds in differences.items():
            one = compared[metric]
            by_seeds[seed] = (one.value, one.low, one.high)
    return differences


def pooled(own: Differences, elsewhere: Sequence[Results], *keys: str) -> Gains:
    """Return what is gained over all seeds.

    Over several seeds `low` and `high` are Student's, over the clips of a single seed they are its.

    Args:
        own: of the seeds that were run here.
        elsewhere: results of others.
        keys: under which these have the same.
    """
    gains = {}
    for metric, here in own.items():
        each = dict(sorted([*here.items(), *by_seed(elsewhere, *keys, metric, "seeds")]))
        over = spread([value for value, _, _ in each.values()])
        low, high = over.low, over.high
        if over.n == 1:
            low, high = next((low, high) for value, low, high in each.values() if value is not None)
        gains[metric] = {
            "value": over.mean,
            "low": low,
            "high": high,
            "seeds": {str(seed): [*one] for seed, one in each.items()},
        }
    return gains


def courses_of(
    run: str, experiment: Experiment, out: Path, elsewhere: Sequence[Results]
) -> dict[str, Course]:
    """Return how the losses of a run went, by seed."""
    own = {seed: course(out / f"seed_{seed}" / "runs" / run) for seed in experiment.seeds}
    each = sorted([*own.items(), *by_seed(elsewhere, "losses", run)])
    return {str(seed): one for seed, one in each}
