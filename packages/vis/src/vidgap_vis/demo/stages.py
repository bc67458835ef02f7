"""The demo's stages, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vidgap_vis.demo.plan import ORACLE, TRACKER, make_plan
from vidgap_vis.demo.processes import num_processes
from vidgap_vis.demo.rows import HeldOut, Row, RowMetrics, evaluate_all
from vidgap_vis.demo.trainings import train_all
from vidgap_vis.evaluation import format_table
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.synthetic import write_synthetic
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")


def run(out: Path, *, quick: bool = False, seed: int = 1, profile: bool = False) -> int:
    """Run the demo and write what it made into `out`.

    Args:
        out: a new or empty folder.
        quick: a few steps on a few clips, to see it run.
        seed: of data and training.
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
    with stage("1/3 generate stills and clips", seconds):
        root = write_synthetic(out / "sample", plan.synthetic, workers=num_processes())
    with stage("2/3 pre-train two ways, fine-tune three ways with CTVIS", seconds):
        train_all(out, plan.trainings(root, profile=profile))
    held_out = HeldOut(root / "clips_valid.json", root / "frames")
    ours, late, without = (
        out / name / "finetune" / WEIGHTS_FOLDER for name in ("video", "late_module", "no_module")
    )
    rows = [
        Row("video pre-training", ours, TRACKER),
        Row("module from fine-tuning on", late, TRACKER),
        Row("no temporal module", without, TRACKER),
        Row("query tracker", ours, {"name": "query"}),
        Row("no matching", ours, {"name": "index"}),
        Row("oracle association", ours, ORACLE),
    ]
    with stage(f"3/3 track {plan.synthetic.num_valid_clips} held-out clips and draw", seconds):
        outcomes, identity = evaluate_all(out, held_out, rows)
    report(out, outcomes, identity, seconds)
    return 0


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
