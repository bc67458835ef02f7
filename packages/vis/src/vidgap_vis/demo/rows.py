"""The rows of the demo's table, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vidgap_vis.demo.oracle import OracleAssociator
from vidgap_vis.demo.pictures import write_contact_sheet
from vidgap_vis.demo.seen import SeenVideos
from vidgap_vis.evaluation import Evaluation, Interval, identity_switches, interval
from vidgap_vis.experiments.processes import Job
from vidgap_vis.formats import VideoSet, read_youtube_vis
from vidgap_vis.inference.association import association_accuracy
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.sights import see
from vidgap_vis.trackers import OnlineTracker, Tracker
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER
from vidgap_vis.weights.kept import kept_weights

Association = dict[str, dict[str, float | None]]
"""As `association_accuracy` returns it."""

KEPT = "lookalikes"
"""The weights of the package that were trained longer on such data."""

ORACLE = {"name": "oracle"}
"""The tracker that goes by the truth."""

SILENT = PredictOptions(progress=False)


@dataclass(frozen=True)
class Row:
    """One line of the demo's table: a tracker, or the oracle, on some weights.

    Attributes:
        name: of the row.
        training: the run that it is of; "": none of this demo.
        tracker: a tracker's name and options, or `ORACLE`.
        kept: the package's weights that it is of, where it is of no training.
    """

    name: str
    training: str
    tracker: Mapping[str, Any]
    kept: str = ""

    def weights(self, out: Path) -> Path:
        """Return the folder of the weights, in the demo's folder or the package."""
        if self.kept:
            return kept_weights()[self.kept]
        return out / self.training / WEIGHTS_FOLDER


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


def row_jobs(out: Path, held_out: HeldOut, rows: Sequence[Row]) -> dict[str, Job]:
    """Return the jobs that track and evaluate rows, one for each training; see `evaluate`."""
    shared: dict[str, list[Row]] = {}
    for row in rows:
        shared.setdefault(row.training, []).append(row)
    return {
        f"rows of {training or KEPT}": Job(partial(evaluate, out, held_out, own), training)
        for training, own in shared.items()
    }


def evaluate(out: Path, held_out: HeldOut, rows: Sequence[Row]) -> dict[str, RowMetrics]:
    """Track the held-out clips by rows of one training and compare with the truth.

    The results files stay in `out`.
    """
    videos = held_out.read()
    seen = SeenVideos(rows[0].weights(out), videos)
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


def draw(out: Path, held_out: HeldOut, rows: Sequence[Row]) -> Association:
    """Write the contact sheet, and the first row's overlays; return how well it associates."""
    videos = held_out.read()
    segmenters = [SeenVideos(row.weights(out), videos).segmenter(row.tracker) for row in rows]
    write_contact_sheet(out / "contact_sheet.png", videos, segmenters)
    segmenter = segmenters[0]
    predict(
        [held_out.annotations],
        segmenter,
        out=out / "overlays",
        images_root=held_out.frames,
        options=SILENT,
    )
    return association_accuracy(see(segmenter, videos, video) for video in videos.videos)
