"""From files to numbers: joins with the readers, errors that name file and item, real data."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from vis.support.scenes import HEIGHT, WIDTH, Scene, random_scene, rectangle, track

from vidgap_vis.errors import InputError
from vidgap_vis.evaluation import (
    Evaluation,
    ImageMask,
    Track,
    evaluate_files,
    evaluate_images,
    match_tracks,
    track_metrics,
)
from vidgap_vis.formats.coco import read_coco
from vidgap_vis.formats.results import read_results
from vidgap_vis.formats.rle import Rle
from vidgap_vis.formats.youtube_vis import read_youtube_vis

SQUARE = (10, 10, 40, 40)
REAL_DATA = os.environ.get("VIDGAP_REAL_DATA")


def as_json(mask: Rle | None) -> dict | None:
    return None if mask is None else {"size": list(mask.size), "counts": mask.counts}


def category_id(label: int) -> int:
    return 10 * (label + 1)


def write_truth(folder: Path, scene: Scene, annotations: list[dict] | None = None) -> Path:
    lengths = {t.video_id: len(t.masks) for t in [*scene.truths, *scene.predictions]}
    videos = [
        {
            "id": i,
            "height": HEIGHT,
            "width": WIDTH,
            "file_names": [f"{i}/{t}.jpg" for t in range(lengths.get(i, 1))],
        }
        for i in reversed(scene.video_ids)
    ]
    if annotations is None:
        annotations = [annotation(i, t) for i, t in enumerate(scene.truths, start=1)]
    content = {
        "videos": videos,
        "categories": [{"id": category_id(label), "name": f"class{label}"} for label in range(3)],
        "annotations": annotations,
    }
    path = folder / "gt.json"
    path.write_text(json.dumps(content))
    return path


def annotation(annotation_id: int, true: Track) -> dict:
    return {
        "id": annotation_id,
        "video_id": true.video_id,
        "category_id": category_id(true.label),
        "iscrowd": int(true.is_crowd),
        "segmentations": [as_json(mask) for mask in true.masks],
    }


def write_results(folder: Path, predictions: list[Track]) -> Path:
    entries = [
        {
            "video_id": t.video_id,
            "category_id": category_id(t.label),
            "score": t.score,
            "segmentations": [as_json(mask) for mask in t.masks],
        }
        for t in predictions
    ]
    path = folder / "results.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("seed", range(3))
def test_files_give_what_the_tracks_give(seed, tmp_path):
    scene = random_scene(seed, crowds=True, tied_scores=True)
    gt, results = write_truth(tmp_path, scene), write_results(tmp_path, scene.predictions)
    table = match_tracks(scene.truths, scene.predictions, scene.video_ids)
    assert evaluate_files(results, gt) == table.summary()
    truth = read_youtube_vis(gt)
    metrics = track_metrics(Evaluation.of_tracks(truth, read_results(results, truth)).table)
    assert metrics == track_metrics(table)


def test_polygons_of_the_truth_are_filled(tmp_path):
    corners = [10, 10, 50, 10, 50, 50, 10, 50]
    true = annotation(1, track(1, 0, [SQUARE, SQUARE, None]))
    true["segmentations"] = [[corners], [corners], None]
    found = track(1, 0, [SQUARE, SQUARE, None])
    gt = write_truth(tmp_path, Scene([], [found], [1]), [true])
    assert evaluate_files(write_results(tmp_path, [found]), gt)["AP"] == 1.0


def test_a_truth_without_annotations_is_an_error(tmp_path):
    scene = Scene([track(1, 0, [SQUARE])], [], [1])
    gt = write_truth(tmp_path, scene)
    content = json.loads(gt.read_text()) | {"annotations": None}
    gt.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"gt\.json: annotations: absent or null; the"):
        evaluate_files(write_results(tmp_path, []), gt)


def test_a_broken_mask_of_the_truth_is_an_error_that_names_the_annotation(tmp_path):
    broken = annotation(7, track(1, 0, [SQUARE, SQUARE]))
    broken["segmentations"][1]["counts"] = "5"
    gt = write_truth(tmp_path, Scene([track(1, 0, [SQUARE, SQUARE])], [], [1]), [broken])
    with pytest.raises(InputError, match=r"gt\.json: annotation 7: segmentations\[1\]: RLE counts"):
        evaluate_files(write_results(tmp_path, []), gt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_id": 5}, r"results\.json: \[0\].*video_id 5"),
        ({"category_id": 5}, r"results\.json: \[0\].*category_id 5"),
        ({"segmentations": []}, r"results\.json: \[0\].*must have 2 entries"),
        ({"score": None}, r"results\.json: \[0\].*score"),
    ],
)
def test_a_result_that_does_not_fit_the_truth_is_an_error(change, message, tmp_path):
    found = track(1, 0, [SQUARE, SQUARE])
    gt, results = write_truth(tmp_path, Scene([found], [], [1])), write_results(tmp_path, [found])
    entries = json.loads(results.read_text())
    results.write_text(json.dumps([entries[0] | change]))
    with pytest.raises(InputError, match=message):
        evaluate_files(results, gt)


def write_coco(folder: Path, segmentation: object = None) -> Path:
    square = {"size": [HEIGHT, WIDTH], "counts": Rle.encode(rectangle(*SQUARE)).counts}
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "area": 900, "iscrowd": 0}
            | {"segmentation": segmentation or square},
            {"id": 2, "image_id": 1, "category_id": 3, "area": 40000, "iscrowd": 1}
            | {"segmentation": {"size": [HEIGHT, WIDTH], "counts": big_counts()}},
        ],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return path


def big_counts() -> str:
    return Rle.encode(rectangle(60, 60, 200, 200)).counts


def test_an_image_set_gives_instances_crowds_and_areas(tmp_path):
    truth = read_coco(write_coco(tmp_path))
    right = ImageMask(1, 0, Rle.encode(rectangle(*SQUARE)), score=0.5)
    in_crowd = ImageMask(1, 0, Rle.encode(rectangle(70, 70, 50, 50)), score=0.9)
    metrics = evaluate_images(truth, [in_crowd, right])
    assert metrics["AP"] == pytest.approx(1.0)
    assert metrics["APs"] == pytest.approx(1.0)  # 900 as annotated, 1600 by its pixels
    assert metrics["APm"] is None


def test_a_broken_mask_of_an_image_is_an_error_that_names_the_annotation(tmp_path):
    broken = {"size": [HEIGHT, WIDTH], "counts": "5"}
    truth = read_coco(write_coco(tmp_path, broken))
    with pytest.raises(InputError, match=r"coco\.json: annotation 1: RLE counts must sum"):
        evaluate_images(truth, [])


@pytest.mark.skipif(REAL_DATA is None, reason="VIDGAP_REAL_DATA names no folder of real data")
@pytest.mark.parametrize("name", ["train.json", "extra_bmx.json"])
def test_real_truth_as_result_is_perfect(name):
    truth = read_youtube_vis(Path(REAL_DATA or "") / "vis_mini" / name)
    results = [
        Track(video.id, instance.label, instance.segmentations)
        for video in truth.videos
        for instance in video.instances
    ]
    metrics = Evaluation.of_tracks(truth, results).ap()
    assert metrics["AP"] == metrics["AP50"] == metrics["AP75"] == metrics["AR100"] == 1.0


@pytest.mark.skipif(REAL_DATA is None, reason="VIDGAP_REAL_DATA names no folder of real data")
def test_real_image_truth_as_result_is_perfect():
    truth = read_coco(Path(REAL_DATA or "") / "coco_mini" / "instances_val.json")
    masks = [(image.id, i, i.segmentation) for image in truth.images for i in image.instances]
    found = [
        ImageMask(image_id, i.label, mask if isinstance(mask, Rle) else mask.to_rle())
        for image_id, i, mask in masks
    ]
    metrics = evaluate_images(truth, found)
    assert metrics["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": ()}, r"track of video 1: masks must be 2, one or None a frame, got 0"),
        ({"label": 99}, r"track of video 1: label must be in 0\.\.2, got 99"),
        (
            {"masks": (Rle.encode(rectangle(0, 0, 2, 2)[:5, :5]), None)},
            r"the size of masks must be \(300, 340\), got \(5, 5\)",
        ),
        ({"video_id": 3}, "there is no video 3"),
    ],
)
def test_a_track_that_cannot_be_of_the_truth_is_an_error(tmp_path, change, message):
    one = track(1, 0, [SQUARE, SQUARE])
    truth = read_youtube_vis(write_truth(tmp_path, Scene([one], [], [1])))
    with pytest.raises(ValueError, match=message):
        Evaluation.of_tracks(truth, [replace(one, **change)])


def test_a_video_without_tracks_has_its_frames(tmp_path):
    scene = Scene([track(1, 0, [SQUARE, SQUARE])], [], [1, 2])
    truth = read_youtube_vis(write_truth(tmp_path, scene))
    assert [video.shared.shape for video in Evaluation.of_tracks(truth, []).videos] == [
        (2, 0, 1),
        (1, 0, 0),
    ]


def test_threads_must_be_one_or_more(tmp_path):
    truth = write_truth(tmp_path, Scene([track(1, 0, [SQUARE])], [], [1]))
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        Evaluation.of_files(write_results(tmp_path, []), truth, threads=0)
