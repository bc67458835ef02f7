"""The demo's stages, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidgap_vis.demo.oracle import OracleAssociator
from vidgap_vis.demo.pictures import write_contact_sheet
from vidgap_vis.demo.plan import TRACKER, make_plan
from vidgap_vis.demo.trainings import train_all
from vidgap_vis.evaluation import (
    Evaluation,
    Interval,
    format_table,
    identity_switches,
    interval,
)
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.formats import read_youtube_vis
from vidgap_vis.inference.association import association_accuracy
from vidgap_vis.inference.predict import predict
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.synthetic import write_synthetic
from vidgap_vis.trackers import OnlineTracker, Tracker
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")


@dataclass(frozen=True)
class Row:
    """One line of the demo's table: a model's weights with a tracker."""

    name: str
    weights: Path
    tracker: Mapping[str, Any] | Callable[[], Tracker]


@dataclass(frozen=True)
class RowMetrics:
    """How well a row did on the held-out clips."""

    metrics: dict[str, float | None]
    interval: Interval
    switches: int


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
    with stage("1/4 generate stills and clips", seconds):
        root = write_synthetic(out / "sample", plan.synthetic)
        videos = read_youtube_vis(root / "clips_valid.json", root / "frames")
    ours, late, without = (out / name for name in ("video", "late_module", "no_module"))
    with stage("2/4 pre-train two ways, fine-tune three ways with CTVIS", seconds):
        train_all(out, plan.trainings(root, profile=profile))
    weights = ours / "finetune" / WEIGHTS_FOLDER
    each = iter(videos.videos)  # a tracker is made for each video in turn
    rows = [
        Row("video pre-training", weights, TRACKER),
        Row("module from fine-tuning on", late / "finetune" / WEIGHTS_FOLDER, TRACKER),
        Row("no temporal module", without / "finetune" / WEIGHTS_FOLDER, TRACKER),
        Row("query tracker", weights, {"name": "query"}),
        Row("no matching", weights, {"name": "index"}),
        Row(
            "oracle association",
            weights,
            lambda: OnlineTracker(OracleAssociator(videos, next(each))),
        ),
    ]
    with stage(f"3/4 track {len(videos)} held-out clips, {len(rows)} ways", seconds):
        outcomes = {row.name: evaluate(row, root, out) for row in rows}
    with stage("4/4 draw", seconds):
        segmenter = VideoSegmenter.from_pretrained(weights, device="cpu")
        identity = association_accuracy(segmenter, videos)
        write_contact_sheet(out / "contact_sheet.png", videos, segmenter)
        sources = [root / "clips_valid.json"]
        predict(sources, segmenter, out=out / "overlays", images_root=root / "frames")
    report(out, outcomes, identity, seconds)
    return 0


def evaluate(row: Row, root: Path, out: Path) -> RowMetrics:
    """Track the held-out clips and compare with the truth; the results file stays in `out`."""
    segmenter = VideoSegmenter.from_pretrained(row.weights, device="cpu", tracker=row.tracker)
    results = out / f"results_{row.name.replace(' ', '_').replace('-', '_')}.json"
    predict(
        [root / "clips_valid.json"],
        segmenter,
        json=results,
        images_root=root / "frames",
    )
    evaluation = Evaluation.of_files(results, root / "clips_valid.json")
    switches = sum(identity_switches(evaluation.videos).values())
    return RowMetrics(evaluation.ap(), interval(evaluation.table, "AP50"), switches)


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
