"""TrackEval's YouTube-VIS data set and TrackMAP, in three passes, as its own Evaluator calls them.

It takes one number of predictions a pass, so that AR1, AR10 and AR100 want three; it reads the id 0
of a track as "not matched", and it wants the truth as lists of run lengths.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

AREAS = {"small": (0, 128**2), "medium": (128**2, 256**2), "large": (256**2, 1e10)}


def evaluate(gt_path: Path, results_path: Path) -> dict[str, float | None]:
    """Return the nine metrics; None where there is no truth."""
    folder = gt_path.parent / "trackeval"
    for source, where in ((gt_path, "gt/youtube_vis_test"), (results_path, TRACKER)):
        (folder / where).mkdir(parents=True, exist_ok=True)
        link = folder / where / source.name
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
    runs = {most: one_pass(folder, most) for most in (1, 10, 100)}
    mean = {most: {key: value.mean() for key, value in run.items()} for most, run in runs.items()}
    values = {
        "AP": mean[100]["AP_all"],
        "AP50": runs[100]["AP_all"][0],
        "AP75": runs[100]["AP_all"][5],
        **{f"AP{name[0]}": mean[100][f"AP_{name}"] for name in AREAS},
        **{f"AR{most}": run["AR_all"] for most, run in mean.items()},
    }
    return {name: None if value < 0 else float(value) for name, value in values.items()}


TRACKER = "trackers/youtube_vis_test/ours/data"


def one_pass(folder: Path, most: int) -> dict[str, Any]:
    """Return AP and AR of each area range at each threshold, of the `most` best predictions."""
    # It prints, and reads deprecated parts of NumPy.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trackeval.datasets import YouTubeVIS
        from trackeval.metrics import TrackMAP

        data = YouTubeVIS(
            {
                "GT_FOLDER": f"{folder}/gt/",
                "TRACKERS_FOLDER": f"{folder}/trackers/",
                "SPLIT_TO_EVAL": "test",
                "PRINT_CONFIG": False,
            }
        )
        data.global_tid_counter = 1
        metric = TrackMAP(
            {
                "AREA_RANGES": [list(area) for area in AREAS.values()],
                "AREA_RANGE_LABELS": list(AREAS),
                "USE_TIME_RANGES": False,
                "IOU_THRESHOLDS": np.linspace(0.5, 0.95, 10),
                "MAX_DETECTIONS": most,
                "PRINT_CONFIG": False,
            }
        )
        by_class: dict[str, dict[str, Any]] = {name: {} for name in data.class_list}
        for video in data.seq_list:
            raw = data.get_raw_seq_data("ours", video)
            for name in data.class_list:
                prepared = data.get_preprocessed_seq_data(raw, name)
                by_class[name][video] = metric.eval_sequence(prepared)
        combined = {name: metric.combine_sequences(videos) for name, videos in by_class.items()}
        whole: dict[str, Any] = metric.combine_classes_class_averaged(combined)
        return whole
