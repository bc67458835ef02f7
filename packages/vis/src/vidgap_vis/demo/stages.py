"""The demo: what it runs, and what it says at the end."""

from __future__ import annotations

import json
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vidgap_vis.demo.plan import ORACLE, TRACKER, make_plan
from vidgap_vis.demo.rows import HeldOut, Row, RowMetrics, draw, row_jobs
from vidgap_vis.demo.trainings import Training, steps_done, train
from vidgap_vis.evaluation import format_table
from vidgap_vis.experiments.processes import Job, num_processes, run_jobs
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.synthetic import write_synthetic

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")
FIRST = "video/"
"""What the trainings of the first row begin with."""

ROWS = (
    Row("video pre-training", "video/finetune", TRACKER),
    Row("module from fine-tuning on", "late_module/finetune", TRACKER),
    Row("no temporal module", "no_module/finetune", TRACKER),
    Row("query tracker", "video/finetune", {"name": "query"}),
    Row("no matching", "video/finetune", {"name": "index"}),
    Row("oracle association", "video/finetune", ORACLE),
)


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
    plan = make_plan(quick=quick, seed=seed)
    seconds: dict[str, float] = {}
    with stage("1/2 generate stills and clips", seconds):
        root = write_synthetic(out / "sample", plan.synthetic, workers=num_processes())
    held_out = HeldOut(root / "clips_valid.json", root / "frames")
    trainings = plan.trainings(root, late_module=late_module, profile=profile)
    jobs = {
        # All of it takes as long as those of the first row: the others end before.
        name: Job(
            partial(train, out, name, training), training.parent, yields=not name.startswith(FIRST)
        )
        for name, training in trainings.items()
    }
    rows = [row for row in ROWS if row.training in trainings]
    jobs["picture"] = Job(partial(draw, out, held_out, rows[0]), rows[0].training)
    evaluations = row_jobs(out, held_out, rows)
    title = f"2/2 pre-train, fine-tune, track {plan.synthetic.num_valid_clips} held-out clips"
    with stage(title, seconds), progress_bar(out, trainings) as progress:
        results = run_jobs(jobs | evaluations, progress)
    found = ChainMap(*(results[name] for name in evaluations))
    outcomes = {row.name: found[row.name] for row in rows}
    report(out, outcomes, results["picture"], seconds)
    return 0


@contextmanager
def progress_bar(out: Path, trainings: Mapping[str, Training]) -> Iterator[Callable[[int], object]]:
    """Yield what shows the steps that the trainings have done."""
    total = sum(training.config.train.steps for training in trainings.values())
    with tqdm(total=total, unit="step", desc="train", dynamic_ncols=True, mininterval=0) as bar:
        yield lambda _: bar.update(sum(steps_done(out / name) for name in trainings) - bar.n)


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
