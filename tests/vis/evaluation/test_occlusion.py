"""OVIS's occlusion: how much of a truth is hidden, and metrics of the light, medium and heavy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vis.support.dense import RANGES, DenseTrack, one_curve
from vis.support.scenes import HEIGHT, WIDTH, Scene, random_scene, track

from vidgap_vis.evaluation import Evaluation, match_tracks
from vidgap_vis.evaluation.evaluation import OCCLUSION_SCORES, occlusion_score
from vidgap_vis.evaluation.strata import AREA_RANGES, OCCLUSION_RANGES, STRATA
from vidgap_vis.formats.results import Track

WORDS = {"no_occlusion": 0.0, "slight_occlusion": 0.25, "severe_occlusion": 0.75}
HIDDEN = {"light": (0.0, 0.25), "medium": (0.25, 0.5), "heavy": (0.5, 1.0)}
LEVELS = st.lists(st.none() | st.sampled_from(list(WORDS)), max_size=9)
SQUARE, FAR = (10, 10, 40, 40), (200, 200, 40, 40)


def slow_score(levels: list[str | None]) -> float | None:
    """Take the worst level and strike it off, until half of the levels, rounded up, are taken."""
    left = [WORDS[level] for level in levels if level is not None]
    half, taken = len(left) / 2, []
    while len(taken) < half:
        taken.append(max(left))
        left.remove(max(left))
    return sum(taken) / len(taken) if taken else None


@given(levels=LEVELS)
def test_the_score_is_the_mean_of_the_worse_half(levels: list[str | None]) -> None:
    assert occlusion_score(levels) == slow_score(levels)


@pytest.mark.parametrize(
    ("levels", "score"),
    [
        (["no_occlusion"], 0.0),
        (["severe_occlusion", "no_occlusion"], 0.75),
        (["no_occlusion", "severe_occlusion", "slight_occlusion"], 0.5),
        (["slight_occlusion", None, None, None], 0.25),
        (["severe_occlusion", "slight_occlusion", "no_occlusion", "no_occlusion"], 0.5),
        ([], None),
        ([None, None], None),
        (["no_occlusion", "some_occlusion"], None),
    ],
    ids=str,
)
def test_scores_by_hand(levels: list[str | None], score: float | None) -> None:
    assert occlusion_score(levels) == score


def test_the_ranges_and_words_are_those_of_ovis() -> None:
    assert {stratum.name: stratum.occlusion for stratum in OCCLUSION_RANGES} == HIDDEN
    assert OCCLUSION_SCORES == WORDS
    assert STRATA == AREA_RANGES + OCCLUSION_RANGES


def occluded(seed: int, **more: bool) -> Scene:
    """A scene whose truths are hidden in part, some in no known part."""
    scene = random_scene(seed, num_videos=3, num_labels=2, **more)
    rng = np.random.default_rng(seed)
    words = [None, *WORDS, *WORDS]
    levels = [[words[i] for i in rng.integers(0, 7, len(t.masks))] for t in scene.truths]
    truths = [
        replace(t, occlusion=occlusion_score(one))
        for t, one in zip(scene.truths, levels, strict=True)
    ]
    return Scene(truths, scene.predictions, scene.video_ids)


def slow_metrics(scene: Scene, hidden: tuple[float, float]) -> dict[str, float | None]:
    true, found = (
        [DenseTrack(track, (HEIGHT, WIDTH)) for track in tracks]
        for tracks in (scene.truths, scene.predictions)
    )
    thresholds = np.linspace(0.5, 0.95, 10)
    wanted = {
        "AP": (0, thresholds, 100),
        "AP50": (0, thresholds[:1], 100),
        "AP75": (0, thresholds[5:6], 100),
        "AR1": (1, thresholds, 1),
        "AR10": (1, thresholds, 10),
        "AR100": (1, thresholds, 100),
    }
    metrics: dict[str, float | None] = {}
    for name, (which, chosen, most) in wanted.items():
        curves = [
            one_curve(
                [t for t in true if t.label == label],
                [t for t in found if t.label == label],
                scene.video_ids,
                threshold,
                RANGES["all"],
                most,
                hidden,
            )
            for label in {track.label for track in true}
            for threshold in chosen
        ]
        values = [curve[which] for curve in curves if curve is not None]
        metrics[name] = float(np.mean(values)) if values else None
    return metrics


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), crowds=st.booleans(), tied_scores=st.booleans())
def test_metrics_by_occlusion_follow_the_definition(
    seed: int, crowds: bool, tied_scores: bool
) -> None:
    scene = occluded(seed, crowds=crowds, tied_scores=tied_scores)
    table = match_tracks(scene.truths, scene.predictions, scene.video_ids)
    for index, (name, hidden) in enumerate(HIDDEN.items(), start=len(AREA_RANGES)):
        got = table.only_stratum(index).summary()
        assert got == pytest.approx(slow_metrics(scene, hidden), abs=1e-12), name


def strata(truths: list[Track], predictions: list[Track]) -> list[float | None]:
    """AP50 of the light, the medium and the heavy."""
    table = match_tracks(truths, predictions, [1])
    return [table.only_stratum(STRATA.index(s)).summary()["AP50"] for s in OCCLUSION_RANGES]


@pytest.mark.parametrize(
    ("occlusion", "ranges"),
    [
        (0.0, {"light"}),
        (0.25, {"light", "medium"}),
        (0.5, {"medium", "heavy"}),
        (0.75, {"heavy"}),
        (1.0, {"heavy"}),
        (None, set()),
    ],
)
def test_ranges_include_both_ends(occlusion: float | None, ranges: set[str]) -> None:
    truth = replace(track(1, 0, [SQUARE]), occlusion=occlusion)
    found = strata([truth], [truth])
    assert found == [1.0 if name in ranges else None for name in HIDDEN]


def test_an_unmatched_prediction_counts_as_wrong_in_every_range() -> None:
    truth = replace(track(1, 0, [SQUARE]), occlusion=0.0)
    assert strata([truth], [track(1, 0, [FAR], 0.9), truth]) == [1.0, None, None]
    wrong = track(1, 0, [FAR], 2.0)
    assert strata([truth], [wrong, truth])[0] == 0.5


def test_a_prediction_that_takes_a_truth_of_another_range_is_ignored() -> None:
    light = replace(track(1, 0, [SQUARE]), occlusion=0.0)
    heavy = replace(track(1, 0, [FAR]), occlusion=0.75)
    found = [track(1, 0, [FAR], 0.9), track(1, 0, [SQUARE], 0.5)]
    assert strata([light, heavy], found) == [1.0, None, 1.0]


def test_levels_come_from_the_truths_file(tmp_path: Path) -> None:
    mask = {"size": [HEIGHT, WIDTH], "counts": track(1, 0, [SQUARE]).masks[0].counts}
    item = {"video_id": 1, "category_id": 1, "segmentations": [mask, None, mask]}
    content = {
        "categories": [{"id": 1, "name": "one"}],
        "videos": [{"id": 1, "height": HEIGHT, "width": WIDTH, "file_names": ["a", "b", "c"]}],
        "annotations": [
            item | {"id": 1, "occlusion": ["no_occlusion", None, "severe_occlusion"]},
            item | {"id": 2, "occlusion": None},
            item | {"id": 3, "iscrowd": 1, "occlusion": ["slight_occlusion", None, None]},
        ],
    }
    gt, results = tmp_path / "gt.json", tmp_path / "results.json"
    gt.write_text(json.dumps(content))
    results.write_text("[]")
    (video,) = Evaluation.of_files(results, gt).videos
    assert video.true.occlusion.tolist() == pytest.approx([0.75, np.nan, 0.25], nan_ok=True)
