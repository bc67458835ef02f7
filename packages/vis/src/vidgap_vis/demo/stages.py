"""The demo: what it runs, and what it says at the end."""

from __future__ import annotations

import json
import time
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vidgap_vis.demo.plan import make_plan
from vidgap_vis.demo.rows import KEPT, ORACLE, HeldOut, Row, RowMetrics, draw, row_jobs
from vidgap_vis.evaluation import format_table
from vidgap_vis.experiments.processes import Job, num_processes, run_jobs
from vidgap_vis.experiments.runner import train
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.synthetic import write_synthetic
from vidgap_vis.training.metrics import METRICS_FILE
from vidgap_vis.weights import Usage
from vidgap_vis.weights.kept import kept_weights

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")
FIRST = "video/"
"""What the trainings of the first row begin with."""


def run(
    out: Path,
    *,
    quick: bool = False,
    seed: int = 1,
    late_module: bool = False,
    profile: bool = False,
) -> int:
    """Run the demo and write what it made into `out`.

    Args:
        out: a new or empty folder.
        quick: a few steps on a few clips, to see it run.
        seed: of data and training.
        late_module: train one more model, whose temporal module begins in fine-tuning.
        profile: log where a training step's time goes.

    Returns:
        0.

    Raises:
        InputError: the folder is not free, or the backbone's weights are not installed.
    """
    check_folder_is_free(out)
    out.mkdir(parents=True, exist_ok=True)
    plan = make_plan(quick=quick, late_module=late_module)
    options = plan.data(seed)
    seconds: dict[str, float] = {}
    with stage("1/2 generate stills and clips", seconds):
        root = write_synthetic(out / "sample", options, workers=num_processes())
    held_out = HeldOut(root / "clips_valid.json", root / "frames")
    jobs = {
        # All of it takes as long as those of the first row: the others end before.
        name: Job(
            partial(
                train,
                plan.config(name, seed, root),
                None if one.init is None else out / one.init,
                out / name,
                profile=profile,
            ),
            one.init or "",
            yields=not name.startswith(FIRST),
        )
        for name, one in plan.runs.items()
    }
    rows = [Row(name, arm.run, arm.tracker) for name, arm in plan.arms.items()]
    rows.append(Row("oracle association", rows[0].training, ORACLE))
    usage = Usage.read(kept_weights()[KEPT])
    rows.append(kept := Row("trained longer", "", usage.tracker or {}, KEPT))
    jobs["picture"] = Job(partial(draw, out, held_out, [rows[0], kept]), rows[0].training)
    evaluations = row_jobs(out, held_out, rows)
    title = f"2/2 pre-train, fine-tune, track {options.num_valid_clips} held-out clips"
    steps = sum(plan.config(name, seed, root).train.steps for name in plan.runs)
    with stage(title, seconds), progress_bar(out, plan.runs, steps) as progress:
        results = run_jobs(jobs | evaluations, progress)
    found = ChainMap(*(results[name] for name in evaluations))
    outcomes = {row.name: found[row.name] for row in rows}
    report(out, outcomes, results["picture"], seconds)
    return 0


@contextmanager
def progress_bar(out: Path, runs: Collection[str], steps: int) -> Iterator[Callable[[int], object]]:
    """Yield what shows the steps, of all there are, that the trainings have done."""
    with tqdm(total=steps, unit="step", desc="train", dynamic_ncols=True, mininterval=0) as bar:
        yield lambda _: bar.update(sum(steps_done(out / name) for name in runs) - bar.n)


def steps_done(folder: Path) -> int:
    """Return the step of the last line of a run's metrics."""
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines and lines[-1].endswith("}") else 0


def report(
    out: Path,
    outcomes: dict[str, RowMetrics],
    identity: Mapping[str, Mapping[str, float | None]],
    seconds: dict[str, float],
) -> None:
    """Print the tables; write them, the intervals and the times to `metrics.json`."""
    metrics = {name: outcome.metrics for name, outcome in outcomes.items()}
    print(format_table(metrics, COLUMNS, title="Track AP on the held-out clips (percent)"))
    for name, outcome in outcomes.items():
        ap50 = f"AP50 {outcome.interval} (95 %, over clips)"
        print(f"{name}: {ap50}, {outcome.switches} identity switches")
    heading = "An instance found again, by frames between (percent)"
    print(format_table(identity, title=heading))
    print(", ".join(f"{name}: {value:.0f} s" for name, value in seconds.items()))
    print(f"overlays: {out / 'overlays'}; contact sheet: {out / 'contact_sheet.png'}")
    record = {
        "metrics": metrics,
        "AP50_interval": {
            name: [outcome.interval.low, outcome.interval.high]
            for name, outcome in outcomes.items()
        },
        "identity_switches": {name: outcome.switches for name, outcome in outcomes.items()},
        "association": identity,
        "seconds": seconds,
    }
    with replacing(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


@contextmanager
def stage(title: str, seconds: dict[str, float]) -> Iterator[None]:
    """Announce a stage and time it."""
    print(f"[{title}]", flush=True)
    started = time.perf_counter()
    yield
    seconds[title] = time.perf_counter() - started
