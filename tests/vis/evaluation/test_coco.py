"""Image AP, and track AP of one-frame videos against COCOeval."""

from __future__ import annotations

import pytest
from pycocotools.cocoeval import COCOeval
from vis.support.scenes import HEIGHT, WIDTH, Scene, random_scene, rectangle

from vidgap_vis.evaluation.coco import IMAGE_METRICS, image_metrics
from vidgap_vis.evaluation.strata import AREA_RANGES
from vidgap_vis.evaluation.youtube_vis import match_tracks
from vidgap_vis.formats.coco import ImageMask
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle

SIZES = {1: (HEIGHT, WIDTH), 2: (HEIGHT, WIDTH)}


def square(image_id: int, label: int, side: int = 40, **more) -> ImageMask:
    return ImageMask(image_id, label, Rle.encode(rectangle(10, 10, side, side)), **more)


def test_the_truth_as_result_is_perfect():
    truths = [square(1, 0, 20), square(1, 1, 50), square(2, 1, 100)]
    metrics = image_metrics(truths, truths, SIZES)
    assert tuple(metrics) == IMAGE_METRICS
    assert metrics == pytest.approx(dict.fromkeys(IMAGE_METRICS, 1.0))


def test_no_results_give_zero_where_there_is_truth_and_none_elsewhere():
    metrics = image_metrics([square(1, 0, 20)], [], SIZES)
    assert metrics["AP"] == metrics["APs"] == metrics["AR100"] == 0
    assert metrics["APm"] is metrics["APl"] is None


def test_no_truth_at_all_gives_none():
    assert image_metrics([], [square(1, 0)], SIZES) == dict.fromkeys(IMAGE_METRICS)


def test_labels_without_truth_do_not_count():
    metrics = image_metrics([square(1, 0)], [square(1, 0), square(1, 5, score=2.0)], SIZES)
    assert metrics["AP"] == pytest.approx(1.0)


def test_the_highest_score_is_asked_first():
    truths, wrong = [square(1, 0)], square(1, 0, 20, score=0.9)
    assert image_metrics(truths, [wrong, square(1, 0, score=0.1)], SIZES)["AP"] == pytest.approx(
        0.5
    )


def test_a_prediction_inside_a_crowd_is_ignored():
    truths = [square(1, 0, 100, is_crowd=True), square(2, 0)]
    found = [square(1, 0, 20, score=2.0), square(2, 0)]
    assert image_metrics(truths, found, SIZES)["AP"] == pytest.approx(1.0)


def test_an_annotated_area_wins_over_the_pixels():
    metrics = image_metrics([square(1, 0, 40, area=100.0)], [square(1, 0, 40)], SIZES)
    assert metrics["APs"] == pytest.approx(1.0)
    assert metrics["APm"] is None


def test_it_prints_nothing(capfd):
    image_metrics([square(1, 0)], [square(1, 0)], SIZES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(5))
def test_track_ap_of_one_frame_videos_is_the_image_ap_of_coco(seed, monkeypatch):
    """Crowds apart: their IoU in COCO is over the prediction, in YouTube-VIS over the union."""
    scene = one_frame(random_scene(seed, num_videos=8, tied_scores=seed % 2 == 0))
    by_tracks = match_tracks(scene.truths, scene.predictions, scene.video_ids).summary()

    class WithVideoRanges(COCOeval):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.params.areaRng = [list(area.areas) for area in AREA_RANGES]

    monkeypatch.setattr("vidgap_vis.evaluation.coco.COCOeval", WithVideoRanges)
    by_images = image_metrics(
        map(as_image, scene.truths),
        map(as_image, scene.predictions),
        dict.fromkeys(scene.video_ids, (HEIGHT, WIDTH)),
        library="pycocotools",
    )
    assert by_tracks == pytest.approx(by_images, abs=1e-12)
    assert 0 < by_tracks["AP"] < 1


@pytest.mark.parametrize("seed", range(6))
def test_both_libraries_give_the_same(seed):
    pytest.importorskip("faster_coco_eval", reason="needs the package faster-coco-eval")
    scene = random_scene(seed, num_videos=8, tied_scores=seed % 2 == 0, crowds=seed % 3 == 0)
    truths, found = (
        [as_image(t) for t in one_frame(scene).truths],
        [as_image(t) for t in one_frame(scene).predictions],
    )
    sizes = dict.fromkeys(scene.video_ids, (HEIGHT, WIDTH))
    first, second = (
        image_metrics(truths, found, sizes, library=name)
        for name in ("faster_coco_eval", "pycocotools")
    )
    assert first == pytest.approx(second, abs=1e-12)
    assert 0 < first["AP"] < 1


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("vidgap_vis.evaluation.coco.find_spec", lambda _: None)
    assert image_metrics([square(1, 0)], [square(1, 0)], SIZES)["AP"] == pytest.approx(1.0)
    with pytest.raises(ImportError, match=r"pip install 'vidgap-vis\[eval\]'"):
        image_metrics([], [], SIZES, library="faster_coco_eval")


def one_frame(scene: Scene) -> Scene:
    """The first frame of the tracks that are in it."""

    def first(tracks):
        return [Track(t.video_id, t.label, t.masks[:1], t.score) for t in tracks if t.masks[0]]

    return Scene(first(scene.truths), first(scene.predictions), scene.video_ids)


def as_image(track: Track) -> ImageMask:
    return ImageMask(track.video_id, track.label, track.masks[0], track.score)


def test_an_instance_in_an_unknown_image_is_an_error():
    with pytest.raises(ValueError, match=r"instance of label 4: there is no image 9"):
        image_metrics([square(1, 0)], [square(9, 4)], SIZES)


def test_a_mask_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"image 1: masks must be \(5, 6\), got \(300, 340\)"):
        image_metrics([square(1, 0)], [], {1: (5, 6)})


def test_a_score_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match=r"score must be finite, got nan in image 2"):
        square(2, 0, score=float("nan"))
