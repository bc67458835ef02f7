"""HOTA and its kin: against TrackEval's whole way, and property by property."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from vis.evaluation.test_trackeval import write_trackeval_files
from vis.support.scenes import Scene, random_scene, track

from vidgap_vis.evaluation import overlaps
from vidgap_vis.evaluation.hota import SHARES, tracking_metrics
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.formats.results import Track

pytest.importorskip("trackeval", reason="needs the package trackeval")

LEFT, RIGHT, FAR = (10, 10, 40, 40), (10, 200, 40, 40), (200, 100, 40, 40)


def compared(found: list[Track], true: list[Track]) -> list[VideoOverlaps]:
    return [overlaps(1, found, true)]


def of_scene(scene: Scene) -> list[VideoOverlaps]:
    return [
        overlaps(
            i,
            [t for t in scene.predictions if t.video_id == i],
            [t for t in scene.truths if t.video_id == i],
        )
        for i in scene.video_ids
    ]


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_trackevals_own_reader(seed, tmp_path):
    """Its reader wants truth uncompressed and ids from 1, and counts empty masks as predictions.

    Crowds are left out of the scenes.
    """
    scene = without_empty_masks(random_scene(seed, num_videos=5, num_labels=2))
    got = tracking_metrics(of_scene(scene), min_score=0.0)
    wanted = trackevals_way(scene, tmp_path)
    for label, metrics in got.per_class.items():
        assert metrics == pytest.approx(wanted[f"class{label}"], abs=1e-9)
    assert got.overall["HOTA"] == pytest.approx(
        np.mean([metrics["HOTA"] for metrics in got.per_class.values()]), abs=1e-12
    )


def without_empty_masks(scene: Scene) -> Scene:
    def filled(one: Track) -> Track:
        masks = tuple(mask if mask is not None and mask.area() else None for mask in one.masks)
        return replace(one, masks=masks)

    return Scene(
        [filled(t) for t in scene.truths], [filled(t) for t in scene.predictions], scene.video_ids
    )


def trackevals_way(scene: Scene, folder) -> dict[str, dict[str, float]]:
    write_trackeval_files(scene, folder)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trackeval.datasets import YouTubeVIS
        from trackeval.metrics import CLEAR, HOTA, Identity

        folders = {"GT_FOLDER": f"{folder}/gt/", "TRACKERS_FOLDER": f"{folder}/trackers/"}
        data = YouTubeVIS({**folders, "SPLIT_TO_EVAL": "test", "PRINT_CONFIG": False})
        data.global_tid_counter = 1
        found = {}
        for name in data.class_list:
            sequences = {}
            for video in data.seq_list:
                raw = data.get_raw_seq_data("ours", video)
                sequences[video] = data.get_preprocessed_seq_data(raw, name)
                renumber(sequences[video])
            quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
            hota, identity, clear = (
                metric.combine_sequences({k: metric.eval_sequence(v) for k, v in sequences.items()})
                for metric in (HOTA(), Identity(quiet), CLEAR(quiet))
            )
            found[name] = {
                **{key: hota[key].mean() for key in ("HOTA", "DetA", "AssA")},
                "IDF1": identity["IDF1"],
                "switches": clear["IDSW"],
                "fragments": clear["Frag"],
            }
    return found


def renumber(data: dict) -> None:
    """Number the ids of a sequence from 0, and count, as its other readers do for these metrics."""
    for kind in ("gt", "tracker"):
        ids = data[f"{kind}_ids"]
        known = sorted({int(i) for frame in ids for i in frame})
        place = {number: index for index, number in enumerate(known)}
        data[f"{kind}_ids"] = [np.array([place[int(i)] for i in frame], dtype=int) for frame in ids]
        data[f"num_{kind}_ids"] = len(known)
        data[f"num_{kind}_dets"] = sum(len(frame) for frame in ids)
    data["num_timesteps"] = len(data["gt_ids"])


def test_the_truth_as_result_is_perfect():
    truths = [track(1, 0, [LEFT] * 4), track(1, 0, [RIGHT] * 4), track(1, 1, [FAR, None, FAR, FAR])]
    got = tracking_metrics(compared(truths, truths))
    assert got.overall == {**dict.fromkeys(SHARES, 1.0), "switches": 0, "fragments": 0}


def test_exchanged_identities_cost_association_and_not_detection():
    truths = [track(1, 0, [LEFT] * 4), track(1, 0, [RIGHT] * 4)]
    found = [track(1, 0, [LEFT] * 2 + [RIGHT] * 2), track(1, 0, [RIGHT] * 2 + [LEFT] * 2)]
    got = tracking_metrics(compared(found, truths)).overall
    assert got["DetA"] == 1
    assert got["AssA"] == pytest.approx(1 / 3)  # 2 of 4 + 4 - 2 frames
    assert got["HOTA"] == pytest.approx((1 / 3) ** 0.5)
    assert got["IDF1"] == 0.5
    assert got["switches"] == 2


def test_a_gap_is_a_fragment_unless_nothing_at_all_is_found_in_it():
    """The exception is TrackEval's: it passes over frames without a prediction."""
    found, truths = [track(1, 0, [LEFT, None, LEFT])], [track(1, 0, [LEFT] * 3)]
    got = tracking_metrics(compared(found, truths)).overall
    assert (got["switches"], got["fragments"]) == (0, 0)
    got = tracking_metrics(compared([*found, track(1, 0, [FAR] * 3)], truths)).overall
    assert (got["switches"], got["fragments"]) == (0, 1)


def test_weak_tracks_are_left_out():
    truths = [track(1, 0, [LEFT] * 3)]
    found = [track(1, 0, [LEFT] * 3, score=0.9), track(1, 0, [FAR] * 3, score=0.2)]
    assert tracking_metrics(compared(found, truths)).overall["HOTA"] == 1
    weak_too = tracking_metrics(compared(found, truths), min_score=0.1)
    assert weak_too.overall["DetA"] == 0.5
    assert weak_too.min_score == 0.1


def test_what_lies_in_a_crowd_does_not_count_unless_it_finds_an_instance():
    crowd = track(1, 0, [(0, 0, 120, 120)] * 3, crowd=True)
    truths = [track(1, 0, [RIGHT] * 3), crowd]
    found = [track(1, 0, [RIGHT] * 3), track(1, 0, [LEFT] * 3)]
    assert tracking_metrics(compared(found, truths)).overall["HOTA"] == 1
    inside = [track(1, 0, [LEFT] * 3), crowd]
    assert tracking_metrics(compared([track(1, 0, [LEFT] * 3)], inside)).overall["HOTA"] == 1


def test_classes_count_alike_and_those_without_truth_not_at_all():
    truths = [track(1, 0, [LEFT] * 3), track(1, 1, [RIGHT] * 3)]
    found = [track(1, 0, [LEFT] * 3), track(1, 7, [FAR] * 3)]
    got = tracking_metrics(compared(found, truths))
    assert got.overall["HOTA"] == 0.5
    assert sorted(got.per_class) == [0, 1]


def test_no_truth_at_all_gives_none():
    got = tracking_metrics(compared([track(1, 0, [LEFT])], []))
    assert got.overall == {**dict.fromkeys(SHARES), "switches": 0, "fragments": 0}


def test_a_score_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="min_score must lie between 0 and 1, got 2"):
        tracking_metrics([], min_score=2)


def test_a_missing_package_is_named(monkeypatch):
    def absent(name: str):
        raise ImportError(name)

    monkeypatch.setattr("vidgap_vis.evaluation.hota.import_module", absent)
    with pytest.raises(ImportError, match=r"trackeval: pip install 'vidgap-vis\[eval\]'"):
        tracking_metrics([])
