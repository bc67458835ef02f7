"""The demo's stages, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from vidgap_vis import build
from vidgap_vis.demo.pictures import write_contact_sheet
from vidgap_vis.demo.plan import MODEL, TEMPORAL, Plan, make_plan
from vidgap_vis.evaluation import (
    Interval,
    bootstrap_interval,
    format_table,
    match_results,
    track_metrics,
)
from vidgap_vis.files import check_folder_is_free, replacing
from vidgap_vis.formats import VideoSet, read_youtube_vis
from vidgap_vis.formats.results import read_results
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.segmenter import VideoSegmenter, query_tracker
from vidgap_vis.synthetic import write_synthetic
from vidgap_vis.trackers import IndexAssociator, OnlineTracker, Tracker
from vidgap_vis.training.finetune import finetune
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.weights import save

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")
LATENCY = 4
"""Frames that a model sees at once: those of a clip in fine-tuning."""


@dataclass(frozen=True)
class Row:
    """One line of the demo's table: a model's weights with a tracker."""

    name: str
    weights: Path
    tracker: Callable[[], Tracker]


@dataclass(frozen=True)
class RowMetrics:
    """How well a row did on the held-out clips."""

    metrics: dict[str, float | None]
    interval: Interval


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
    with stage("1/5 generate stills and clips", seconds):
        root = write_synthetic(out / "sample", plan.synthetic)
        videos = read_youtube_vis(root / "clips_valid.json", root / "frames")
    with stage("2/5 train with the temporal module", seconds):
        ours = train(plan, root, out / "temporal", with_temporal=True, profile=profile)
    with stage("3/5 train the baseline without it", seconds):
        baseline = train(plan, root, out / "baseline", with_temporal=False, profile=profile)
    untrained = save_untrained(plan, videos, out / "untrained")
    rows = [
        Row("video pre-training", ours, query_tracker),
        Row("no temporal module", baseline, query_tracker),
        Row("no matching", ours, index_tracker),
        Row("untrained", untrained, query_tracker),
    ]
    with stage(f"4/5 track {len(videos)} held-out clips, {len(rows)} ways", seconds):
        outcomes = {row.name: evaluate(row, videos, root, out) for row in rows}
    with stage("5/5 draw", seconds):
        segmenter = VideoSegmenter.from_pretrained(ours, device="cpu")
        write_contact_sheet(out / "contact_sheet.png", videos, segmenter, LATENCY)
        sources = [root / "clips_valid.json"]
        drawing = PredictOptions(latency=LATENCY)
        predict(
            sources, segmenter, out=out / "overlays", images_root=root / "frames", options=drawing
        )
    report(out, outcomes, seconds)
    return 0


def train(plan: Plan, root: Path, out: Path, *, with_temporal: bool, profile: bool) -> Path:
    """Pre-train and fine-tune one model; return its weights folder."""
    temporal = TEMPORAL if with_temporal else None
    weights = pretrain(plan.pretrain(root, temporal), out / "pretrain", profile=profile)
    return finetune(plan.finetune(root, temporal), weights, out / "finetune", profile=profile)


def save_untrained(plan: Plan, videos: VideoSet, out: Path) -> Path:
    """Save the model as training finds it: random behind the pretrained backbone."""
    torch.manual_seed(plan.seed)
    model = build.segmenter(MODEL, TEMPORAL, len(videos.classes))
    build.load_backbone(model, str(MODEL.backbone_weights))
    save(out, model, videos.classes, {"stage": "untrained"})
    return out


def index_tracker() -> Tracker:
    """Return a new tracker to which a query's index is its identity."""
    return OnlineTracker(IndexAssociator())


def evaluate(row: Row, videos: VideoSet, root: Path, out: Path) -> RowMetrics:
    """Track the held-out clips and compare with the truth; the results file stays in `out`."""
    segmenter = VideoSegmenter.from_pretrained(row.weights, device="cpu", tracker=row.tracker)
    results = out / f"results_{row.name.replace(' ', '_').replace('-', '_')}.json"
    predict(
        [root / "clips_valid.json"],
        segmenter,
        json=results,
        images_root=root / "frames",
        options=PredictOptions(latency=LATENCY),
    )
    table = match_results(videos, read_results(results, videos))
    return RowMetrics(track_metrics(table).overall, bootstrap_interval(table, "AP50"))


def report(out: Path, outcomes: dict[str, RowMetrics], seconds: dict[str, float]) -> None:
    """Print the table; write it, the intervals and the times to `metrics.json`."""
    metrics = {name: outcome.metrics for name, outcome in outcomes.items()}
    print(format_table(metrics, COLUMNS, title="Track AP on the held-out clips (percent)"))
    for name, outcome in outcomes.items():
        print(f"{name}: AP50 {outcome.interval} (95 % bootstrap over clips)")
    print(", ".join(f"{name}: {value:.0f} s" for name, value in seconds.items()))
    print(f"overlays: {out / 'overlays'}; contact sheet: {out / 'contact_sheet.png'}")
    record = {
        "metrics": metrics,
        "AP50_interval": {
            name: [outcome.interval.low, outcome.interval.high]
            for name, outcome in outcomes.items()
        },
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
