"""Every error has a cause: what is broken on purpose is found, and what it costs comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from vis.support.scenes import HEIGHT, WIDTH, disturbed, random_boxes, track

from vidgap_vis.evaluation import CAUSES, Causes, Fixes, fixes, match_videos, overlaps
from vidgap_vis.evaluation.causes import Cause, causes
from vidgap_vis.evaluation.failures import Failures, Kind
from vidgap_vis.evaluation.matching import match_at
from vidgap_vis.evaluation.oracles import Oracle, oracle_metrics, replaced
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.formats.results import Track

NUM_FRAMES = 12
EXACT = 1e-12


def box(place: int, time: int) -> tuple[int, int, int, int]:
    """Four squares far from each other, which move a little."""
    return (10 + 140 * (place // 2) + time, 10 + 160 * (place % 2) + 2 * time, 60, 60)


def truths(video: int) -> list[Track]:
    """Two of each of two classes."""
    return [
        track(video, place % 2, [box(place, time) for time in range(NUM_FRAMES)])
        for place in range(4)
    ]


def exact(video: int) -> list[Track]:
    return [
        replace(one, score=0.9 - 0.1 * place - 0.01 * video)
        for place, one in enumerate(truths(video))
    ]


def of(break_it: Callable[[list[Track]], list[Track]], num_videos: int = 3) -> list[VideoOverlaps]:
    """Compare exact results, of which those of the first video are broken, with the truth."""
    found = [exact(video) for video in range(num_videos)]
    found[0] = break_it(found[0])
    return [overlaps(video, found[video], truths(video)) for video in range(num_videos)]


def swapped(tracks: list[Track], at: int) -> list[Track]:
    """Let the tracks of places 0 and 2, of one class, change places in a frame."""
    one, other = tracks[0].masks, tracks[2].masks
    changed = list(tracks)
    changed[0] = replace(tracks[0], masks=(*one[:at], *other[at:]))
    changed[2] = replace(tracks[2], masks=(*other[:at], *one[at:]))
    return changed


def split(tracks: list[Track], at: int = 6) -> list[Track]:
    """Break the first track into two of half its frames."""
    none = (None,) * NUM_FRAMES
    masks = tracks[0].masks
    first = replace(tracks[0], masks=(*masks[: at - 1], *none[at - 1 :]))
    second = replace(tracks[0], masks=(*none[: at + 1], *masks[at + 1 :]), score=0.85)
    return [first, *tracks[1:], second]


def eroded(tracks: list[Track]) -> list[Track]:
    small = [
        (top + 15, left + 15, 38, 38)
        for top, left, _, _ in (box(0, time) for time in range(NUM_FRAMES))
    ]
    return [replace(track(0, 0, small), score=tracks[0].score), *tracks[1:]]


INJECTED: dict[str, tuple[Callable[[list[Track]], list[Track]], dict[Cause, int]]] = {
    "nothing": (lambda tracks: tracks, {}),
    "class": (lambda tracks: [replace(tracks[0], label=1), *tracks[1:]], {"class": 1}),
    "switch": (lambda tracks: swapped(tracks, 6), {"association": 2}),
    "late switch": (lambda tracks: swapped(tracks, 11), {}),
    "split": (split, {"association": 2}),
    "duplicate": (lambda tracks: [*tracks, replace(tracks[0], score=0.95)], {"duplicate": 1}),
    "miss": (lambda tracks: tracks[1:], {"missed": 1}),
    "background": (
        lambda tracks: [*tracks, track(0, 0, [(290, 330, 9, 9)] * NUM_FRAMES, 0.99)],
        {"background": 1},
    ),
    "eroded": (eroded, {"mask": 1}),
    "class and location": (
        lambda tracks: [replace(eroded(tracks)[0], label=1), *tracks[1:]],
        {"class and location": 1, "missed": 1},
    ),
}


@pytest.mark.parametrize("name", INJECTED)
def test_what_is_broken_is_found_and_comes_back(name: str) -> None:
    break_it, wanted = INJECTED[name]
    videos = of(break_it)
    found = causes(videos)
    assert {cause: count for cause, count in found.counts.items() if count} == wanted
    mended = Fixes(found)
    before = match_videos(videos).summary()["AP50"]
    assert mended.ap() == pytest.approx(before, abs=EXACT)
    assert mended.ap(CAUSES) == pytest.approx(1.0, abs=EXACT)
    assert sum(mended.shapley.values()) == pytest.approx(1.0 - before, abs=EXACT)
    for cause in CAUSES:
        if cause not in wanted:
            assert mended.shapley[cause] == pytest.approx(0.0, abs=EXACT)
            assert mended.single[cause] == pytest.approx(0.0, abs=EXACT)
    if len(wanted) == 1:
        (cause,) = wanted
        assert mended.single[cause] == pytest.approx(1.0 - before, abs=EXACT)
        assert mended.shapley[cause] == pytest.approx(1.0 - before, abs=EXACT)
        assert before < 1


@pytest.mark.parametrize(
    ("break_it", "kinds"),
    [
        (lambda tracks: swapped(tracks, 6), {"identity switch": 2}),
        (split, {"fragmentation": 2}),
    ],
    ids=["switch", "split"],
)
def test_ways_in_which_association_fails(
    break_it: Callable[[list[Track]], list[Track]], kinds: dict[Kind, int]
) -> None:
    found = causes(of(break_it))
    assert {kind: count for kind, count in found.kinds.items() if count} == kinds


def test_a_mask_over_two_truths_merges_them_and_a_short_track_has_a_gap() -> None:
    true = truths(0)
    both = [None] * 11 + [(10, 10, 250, 100)]
    short = [box(3, 0), box(3, 1), *[None] * 10]
    video = overlaps(0, [track(0, 0, both), track(0, 1, short)], true)
    failures = Failures(video, match_at(video, video.track_ious(), 0.5), 0.5)
    assert failures.kind(0, 0) == "merge"
    assert failures.kind(1, 3) == "gap"


def test_a_piece_of_a_truth_that_another_track_has_is_a_fragment() -> None:
    none = (None,) * NUM_FRAMES

    def broken(tracks: list[Track]) -> list[Track]:
        masks = tracks[0].masks
        most = replace(tracks[0], masks=(*masks[:9], *none[9:]))
        rest = replace(tracks[0], masks=(*none[:9], *masks[9:]), score=0.95)
        return [most, *tracks[1:], rest]

    found = causes(of(broken))
    (wrong,) = [one for one in found.found if one.outcome != "right"]
    assert (wrong.outcome, wrong.kind) == ("association", "fragmentation")
    assert found.counts["missed"] == 0


def test_a_crowd_takes_what_finds_it() -> None:
    crowd = track(0, 0, [(10, 10, 60, 60)] * NUM_FRAMES, crowd=True)
    on_it = track(0, 0, [(10, 10, 60, 60)] * NUM_FRAMES, 0.8)
    twice = [on_it, replace(on_it, score=0.7)]
    videos = [overlaps(0, twice, [crowd, *truths(0)[1:]])]
    found = causes(videos)
    assert [one.outcome for one in found.found] == ["ignored", "ignored"]
    assert found.counts["missed"] == 3
    assert len(found.true) == 3


def random_videos(seed: int) -> list[VideoOverlaps]:
    rng = np.random.default_rng(seed)
    videos = []
    for video in range(4):
        boxes = [random_boxes(rng, 6) for _ in range(5)]
        true = [
            track(video, int(rng.integers(3)), one, crowd=bool(rng.random() < 0.15))
            for one in boxes
        ]
        found = []
        for _ in range(12):
            source = int(rng.integers(5))
            label = true[source].label if rng.random() < 0.7 else int(rng.integers(3))
            moved = disturbed(rng, boxes[source], 0.15)
            found.append(track(video, label, moved, float(rng.integers(1, 9)) / 10))
        found.append(replace(found[0], label=(found[0].label + 1) % 3, score=0.3))
        videos.append(overlaps(video, found, true))
    return videos


@pytest.mark.parametrize("seed", range(12))
def test_mixtures_sum(seed: int) -> None:
    videos = random_videos(seed)
    found = causes(videos)
    before = match_videos(videos).summary()["AP50"]
    mended = Fixes(found)
    if before is None:
        assert mended.ap() is None
        return
    assert mended.ap() == pytest.approx(before, abs=EXACT)
    assert mended.ap(CAUSES) == pytest.approx(1.0, abs=EXACT)
    assert sum(mended.shapley.values()) == pytest.approx(1.0 - before, abs=1e-9)
    right = {(one.video, one.truth) for one in found.found if one.outcome == "right"}
    assert right == {(one.video, one.row) for one in found.true if one.outcome == "right"}
    assert all((one.kind is not None) == (one.outcome == "association") for one in found.found)


@pytest.mark.parametrize("seed", range(4))
def test_intervals_leave_out_each_video(seed: int) -> None:
    """What is computed at once is what causes cost without each video, one after another."""
    videos = random_videos(seed)
    mended = Fixes(causes(videos))
    without = [
        Fixes(causes([*videos[:left_out], *videos[left_out + 1 :]])).shapley
        for left_out in range(len(videos))
    ]
    for cause, one in mended.intervals().items():
        assert one.value == pytest.approx(mended.shapley[cause], abs=1e-9)
        values = np.array([costs[cause] for costs in without])
        num = len(values)
        error = np.sqrt((num - 1) / num * np.sum((values - values.mean()) ** 2))
        assert one.std_error == pytest.approx(error, abs=1e-9)


def test_many_videos_are_left_out_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [*random_videos(0), *random_videos(1)]
    found = causes(videos)
    monkeypatch.setattr(fixes, "MOST_GROUPS", 3)
    without = [
        Fixes(causes([one for index, one in enumerate(videos) if index % 3 != group])).shapley
        for group in range(3)
    ]
    for cause, one in Fixes(found).intervals().items():
        values = np.array([costs[cause] for costs in without])
        error = np.sqrt(2 / 3 * np.sum((values - values.mean()) ** 2))
        assert one.std_error == pytest.approx(error, abs=1e-9)
        assert one.value == pytest.approx(Fixes(found).shapley[cause], abs=1e-9)


def test_a_confidence_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"confidence must be between 0 and 1, got 1\.5"):
        Fixes(causes([])).intervals(confidence=1.5)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [("class", "class"), ("switch", "association"), ("split", "association"), ("eroded", "masks")],
)
def test_an_oracle_gives_back_what_was_broken(name: str, oracle: Oracle) -> None:
    videos = of(INJECTED[name][0])
    before = match_videos(videos).summary()["AP"]
    assert before is not None
    assert before < 1
    for one in (oracle, "all"):
        after = oracle_metrics(videos, one)["AP50"]
        assert after is not None
        assert after == pytest.approx(1.0, abs=EXACT)
    others: set[Oracle] = {"class", "masks", "association"}
    others.discard(oracle)
    for one in others:
        assert oracle_metrics(videos, one)["AP50"] == pytest.approx(
            match_videos(videos).summary()["AP50"], abs=EXACT
        )


def fragments(label: int, scores: tuple[float, float], first: int) -> list[Track]:
    """Three pieces of the first truth, each listed under two classes with the same masks."""
    none = (None,) * NUM_FRAMES
    masks = truths(0)[0].masks
    found = []
    for begin, end in ((0, 5), (5, 9), (9, 12)):
        piece = (*none[:begin], *masks[begin:end], *none[end:])
        listed = [Track(0, label, piece, scores[0]), Track(0, label + 1, piece, scores[1])]
        found += listed if first == label else listed[::-1]
    return found


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("scores", [(0.9, 0.1), (0.0, 0.0), (-0.5, -0.9)])
def test_a_new_track_has_the_class_that_most_speaks_for(
    first: int, scores: tuple[float, float]
) -> None:
    if scores[0] == scores[1] and first == 1:
        return  # nothing speaks for either
    video = overlaps(0, fragments(0, scores, first), [truths(0)[0]])
    assert oracle_metrics([video], "association")["AP50"] == pytest.approx(1.0)


def test_a_mask_that_another_tracks_class_spoils_is_a_mask_error() -> None:
    true = [track(0, 0, [(10, 10, 60, 60)])]
    wrong = track(0, 1, [(10, 10, 60, 60)], 0.9)
    poor = track(0, 0, [(10, 10, 60, 20)], 0.8)
    found = causes([overlaps(0, [wrong, poor], true)])
    assert [one.outcome for one in found.found] == ["class", "mask"]


def test_a_duplicate_takes_no_truth_from_others() -> None:
    true = [track(0, 0, [(10, 10, 60, 60)]), track(0, 0, [(10, 70, 60, 60)])]
    holds = track(0, 0, [(10, 70, 60, 60)], 0.9)
    twice = track(0, 0, [(10, 50, 60, 70)], 0.8)
    between = track(0, 0, [(10, 42, 60, 60)], 0.7)
    found = causes([overlaps(0, [holds, twice, between], true)])
    assert [one.outcome for one in found.found] == ["right", "duplicate", "mask"]
    assert [one.outcome for one in found.true] == ["mask", "right"]


@pytest.mark.parametrize("oracle", ["class", "masks", "association"])
@pytest.mark.parametrize("seed", range(20))
def test_oracles_take_nothing_away(seed: int, oracle: Oracle) -> None:
    """As many truths are found as before."""
    videos = random_videos(seed)
    after = [replaced(video, oracle, 0.5, 0.1) for video in videos]
    right, again = (
        sum(one.outcome == "right" for one in causes(some).found) for some in (videos, after)
    )
    assert again >= right


def test_nothing_at_all() -> None:
    for videos in ([], [overlaps(3, [], [], num_frames=5)]):
        found = causes(videos)
        assert isinstance(found, Causes)
        assert found.found == ()
        assert Fixes(found).ap() is None
    missed = causes([overlaps(0, [], truths(0))])
    assert missed.counts["missed"] == 4
    assert Fixes(missed).shapley["missed"] == pytest.approx(1.0)


@pytest.mark.parametrize(("tau", "beta"), [(0.1, 0.5), (0.5, 0.0), (1.5, 0.1)])
def test_thresholds_that_make_no_sense_are_refused(tau: float, beta: float) -> None:
    with pytest.raises(ValueError, match="wanted 0 < beta < tau <= 1"):
        causes([], tau, beta)


def test_the_scene_fits() -> None:
    top, left, height, width = box(3, NUM_FRAMES - 1)
    assert top + height <= HEIGHT
    assert left + width <= WIDTH
