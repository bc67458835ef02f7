"""The rows of the demo's table, tracked side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidgap_vis.demo.oracle import OracleAssociator
from vidgap_vis.demo.pictures import write_contact_sheet
from vidgap_vis.demo.plan import ORACLE
from vidgap_vis.demo.processes import process_pool
from vidgap_vis.demo.seen import SeenVideos
from vidgap_vis.evaluation import Evaluation, Interval, identity_switches, interval
from vidgap_vis.formats import VideoSet, read_youtube_vis
from vidgap_vis.inference.association import association_accuracy
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.trackers import OnlineTracker, Tracker

Association = dict[str, dict[str, float | None]]
"""As `association_accuracy` returns it."""

SILENT = PredictOptions(progress=False)


@dataclass(frozen=True)
class Row:
    """One line of the demo's table: a model's weights with a tracker, or with the oracle."""

    name: str
    weights: Path
    tracker: Mapping[str, Any]


@dataclass(frozen=True)
class RowMetrics:
    """How well a row did on the held-out clips."""

    metrics: dict[str, float | None]
    interval: Interval
    switches: int


@dataclass(frozen=True)
class HeldOut:
    """The held-out clips: their annotations and the folder of their frames."""

    annotations: Path
    frames: Path

    def read(self) -> VideoSet:
        """Return the clips with truth."""
        return read_youtube_vis(self.annotations, self.frames)


def evaluate_all(
    out: Path, held_out: HeldOut, rows: Sequence[Row]
) -> tuple[dict[str, RowMetrics], Association]:
    """Track and evaluate all rows; measure and draw the tracks of the first one.

    Args:
        out: gets the results files, the overlays and the contact sheet.
        held_out: the clips.
        rows: those of the same weights are tracked in one process.

    Returns:
        The metrics by row, in their order, and the association of the first row's network.
    """
    shared: dict[Path, list[Row]] = {}
    for row in rows:
        shared.setdefault(row.weights, []).append(row)
    outcomes: dict[str, RowMetrics] = {}
    total = len(rows) + 1
    with (
        tqdm(total=total, unit="row", desc="track", dynamic_ncols=True) as bar,
        process_pool() as pool,
    ):
        picture = pool.submit(draw, out, held_out, rows[0])
        picture.add_done_callback(lambda _: bar.update())
        jobs = [pool.submit(evaluate, out, held_out, own) for own in shared.values()]
        for job in as_completed(jobs):
            outcomes |= job.result()
            bar.update(len(job.result()))
        association = picture.result()
    return {row.name: outcomes[row.name] for row in rows}, association


def evaluate(out: Path, held_out: HeldOut, rows: Sequence[Row]) -> dict[str, RowMetrics]:
    """Track the held-out clips by rows of one network and compare with the truth.

    The results files stay in `out`.
    """
    videos = held_out.read()
    seen = SeenVideos(rows[0].weights, videos)
    outcomes = {}
    for row in rows:
        tracker = oracle(videos) if row.tracker == ORACLE else row.tracker
        results = out / f"results_{row.name.replace(' ', '_').replace('-', '_')}.json"
        predict(
            [held_out.annotations],
            seen.segmenter(tracker),
            json=results,
            images_root=held_out.frames,
            options=SILENT,
        )
        evaluation = Evaluation.of_files(results, held_out.annotations)
        switches = sum(identity_switches(evaluation.videos).values())
        outcomes[row.name] = RowMetrics(
            evaluation.ap(), interval(evaluation.table, "AP50"), switches
        )
    return outcomes


def oracle(videos: VideoSet) -> Callable[[], Tracker]:
    """Return what makes a tracker that goes by the truth, for each video in turn."""
    each = iter(videos.videos)
    return lambda: OnlineTracker(OracleAssociator(videos, next(each)))


def draw(out: Path, held_out: HeldOut, row: Row) -> Association:
    """Write the contact sheet and the overlays; return how well embeddings associate."""
    videos = held_out.read()
    segmenter = SeenVideos(row.weights, videos).segmenter(row.tracker)
    write_contact_sheet(out / "contact_sheet.png", videos, segmenter)
    predict(
        [held_out.annotations],
        segmenter,
        out=out / "overlays",
        images_root=held_out.frames,
        options=SILENT,
    )
    return association_accuracy(segmenter, videos)
