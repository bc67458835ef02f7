"""TrackEval's YouTube-VIS data set and TrackMAP as a second opinion."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from vis.support.scenes import HEIGHT, WIDTH, Scene, random_scene

from vidgap_vis.evaluation.strata import AREA_RANGES
from vidgap_vis.evaluation.youtube_vis import match_tracks
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle

pytest.importorskip("trackeval", reason="needs the package trackeval")


@pytest.mark.parametrize("seed", range(6))
def test_track_ap_agrees_with_trackeval(seed, tmp_path):
    """To 1e-9 on random scenes without crowds.

    The definitions differ in two places that the scenes leave out: TrackEval lets a crowd be
    taken once only, where the original lets it be taken any number of times; and it
    lowers each threshold by 2e-16.
    """
    scene = random_scene(seed, num_videos=8, num_labels=3)
    wanted = trackeval_metrics(scene, tmp_path)
    got = match_tracks(scene.truths, scene.predictions, scene.video_ids).summary()
    assert got == pytest.approx(wanted, abs=1e-9)
    assert 0 < got["AP"] < 1


def trackeval_metrics(scene: Scene, folder: Path) -> dict[str, float | None]:
    write_trackeval_files(scene, folder)
    # TrackEval prints, and reads deprecated parts of NumPy; neither is about our code.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trackeval.datasets import YouTubeVIS

        data = YouTubeVIS(
            {
                "GT_FOLDER": f"{folder}/gt/",
                "TRACKERS_FOLDER": f"{folder}/trackers/",
                "SPLIT_TO_EVAL": "test",
                "PRINT_CONFIG": False,
            }
        )
        # It reads the id 0 of a track as "not matched", so the ids count from 1 here.
        data.global_tid_counter = 1
        by_most = {most: trackeval_run(data, most) for most in (1, 10, 100)}
    means = {most: {k: v.mean() for k, v in run.items()} for most, run in by_most.items()}
    values = {
        "AP": means[100]["AP_all"],
        "AP50": by_most[100]["AP_all"][0],
        "AP75": by_most[100]["AP_all"][5],
        "APs": means[100]["AP_small"],
        "APm": means[100]["AP_medium"],
        "APl": means[100]["AP_large"],
        "AR1": means[1]["AR_all"],
        "AR10": means[10]["AR_all"],
        "AR100": means[100]["AR_all"],
    }
    return {name: None if value < 0 else float(value) for name, value in values.items()}


def trackeval_run(data, most: int) -> dict[str, np.ndarray]:
    from trackeval.metrics import TrackMAP

    ranges = AREA_RANGES[1:]
    metric = TrackMAP(
        {
            "AREA_RANGES": [list(area.areas) for area in ranges],
            "AREA_RANGE_LABELS": [area.name for area in ranges],
            "USE_TIME_RANGES": False,
            "IOU_THRESHOLDS": np.linspace(0.5, 0.95, 10),
            "MAX_DETECTIONS": most,
            "PRINT_CONFIG": False,
        }
    )
    by_class = {}
    for name in data.class_list:
        by_video = {}
        for video in data.seq_list:
            raw = data.get_raw_seq_data("ours", video)
            by_video[video] = metric.eval_sequence(data.get_preprocessed_seq_data(raw, name))
        by_class[name] = metric.combine_sequences(by_video)
    return metric.combine_classes_class_averaged(by_class)


def write_trackeval_files(scene: Scene, folder: Path) -> None:
    lengths = {t.video_id: len(t.masks) for t in [*scene.truths, *scene.predictions]}
    truth = {
        "videos": [
            {"id": i, "file_names": [f"video{i}/{t}.jpg" for t in range(lengths.get(i, 1))]}
            for i in scene.video_ids
        ],
        "categories": [{"id": label + 1, "name": f"class{label}"} for label in range(3)],
        "annotations": [annotation(i, t) for i, t in enumerate(scene.truths, start=1)],
    }
    results = [
        {
            "video_id": t.video_id,
            "category_id": t.label + 1,
            "score": t.score,
            "segmentations": [rle and rle.to_dict() for rle in t.masks],
        }
        for t in scene.predictions
    ]
    for path, content in [
        (folder / "gt/youtube_vis_test/gt.json", truth),
        (folder / "trackers/youtube_vis_test/ours/data/results.json", results),
    ]:
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


def annotation(annotation_id: int, track: Track) -> dict:
    return {
        "id": annotation_id,
        "video_id": track.video_id,
        "category_id": track.label + 1,
        "iscrowd": 0,
        "height": HEIGHT,
        "width": WIDTH,
        "segmentations": [rle and uncompressed(rle) for rle in track.masks],
        "areas": [rle and rle.area() for rle in track.masks],
    }


def uncompressed(rle: Rle) -> dict:
    """TrackEval converts the truth with `frPyObjects`, which wants plain run lengths."""
    return {"size": list(rle.size), "counts": rle.run_lengths().tolist()}
