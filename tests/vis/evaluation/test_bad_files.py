"""Files that are wrong, odd or empty: an error that names file and item, or the right numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vis.support.faults import assert_fault
from vis.support.run_lengths import compressed

from vidgap_vis.evaluation import Evaluation
from vidgap_vis.formats import Rle

HEIGHT, WIDTH = 12, 16
EMPTY = {"size": [HEIGHT, WIDTH], "counts": compressed([HEIGHT * WIDTH])}


def box(left: int) -> dict[str, Any]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:8, left : left + 5] = True
    return dict(Rle.encode(mask).to_dict())


def annotation(number: int, video_id: int, left: int, **more: Any) -> dict[str, Any]:
    item = {"id": number, "video_id": video_id, "category_id": 3, "iscrowd": 0}
    return item | {"segmentations": [box(left), box(left + 1)]} | more


TRUTH = {
    "categories": [{"id": 3, "name": "fish"}, {"id": 8, "name": "bird"}],
    "videos": [
        {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": ["a.jpg", "b.jpg"]}
        for i in (4, 7)
    ],
    "annotations": [annotation(11, 4, 0), annotation(12, 4, 9), annotation(13, 7, 3)],
}


@pytest.fixture(params=["native", "reference"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "reference":
        monkeypatch.setenv("VIDGAP_BACKEND", "reference")


@pytest.fixture
def truth() -> dict[str, Any]:
    return deepcopy(TRUTH)


@pytest.fixture
def results(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """The truth, scored."""
    keys = ("video_id", "category_id", "segmentations")
    found = [{key: item[key] for key in keys} | {"score": 0.9} for item in truth["annotations"]]
    return deepcopy(found)


def evaluate(
    folder: Path, results: object, truth: object, threads: int | None = None
) -> dict[str, float | None]:
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    files = folder / "results.json", folder / "gt.json"
    return Evaluation.of_files(*files, threads=threads).ap()


Change = Callable[[Any], object]


def put(index: int, **more: object) -> Change:
    return lambda items: items[index].update(more)


def put_mask(index: int, frame: int, mask: object) -> Change:
    return lambda items: items[index]["segmentations"].__setitem__(frame, mask)


NO_SCORE = r"\[1\]: score must be a number in \[0, 1\], got "
LATE = r"\[2\]: segmentations\[1\]"
RESULT_FAULTS: dict[str, tuple[Change, str]] = {
    "a video that is not": (
        put(2, video_id=5),
        r"\[2\]: video_id 5 is not among the ids of videos",
    ),
    "a video of text": (put(2, video_id="7"), r"\[2\]: video_id must be an integer, got '7'"),
    "a video of half": (put(2, video_id=7.0), r"\[2\]: video_id must be an integer, got 7\.0"),
    "a class that is not": (
        put(2, category_id=1),
        r"\[2\]: category_id 1 is not among the ids of c",
    ),
    "too few frames": (
        lambda items: items[2]["segmentations"].pop(),
        r"\[2\]: segmentations must have 2 entries, one a frame of video 7, got 1",
    ),
    "too many frames": (
        lambda items: items[2]["segmentations"].append(None),
        r"\[2\]: segmentations must have 2 entries, one a frame of video 7, got 3",
    ),
    "no masks": (put(2, segmentations=None), r"\[2\]: segmentations must be a list, got null"),
    "another size": (
        put_mask(2, 1, {"size": [WIDTH, HEIGHT], "counts": EMPTY["counts"]}),
        LATE + r": RLE size must be \[12, 16\], got \[16, 12\]",
    ),
    "runs that stop short": (
        put_mask(2, 1, {"size": [HEIGHT, WIDTH], "counts": compressed([5, 9])}),
        LATE + ": RLE counts must sum to 12x16 = 192, got 14",
    ),
    "runs that go on": (
        put_mask(2, 1, {"size": [HEIGHT, WIDTH], "counts": compressed([5, 188])}),
        LATE + ": RLE counts must sum to 12x16 = 192, got more",
    ),
    "plain runs that stop short": (
        put_mask(2, 1, {"size": [HEIGHT, WIDTH], "counts": [5, 9]}),
        LATE + ": RLE counts must sum to 12x16 = 192, got 14",
    ),
    "half a surrogate": (
        put_mask(2, 1, {"size": [HEIGHT, WIDTH], "counts": "\ud800"}),
        LATE + ": RLE counts hold a character that is not ASCII",
    ),
    "a score of text": (put(1, score="0.5"), NO_SCORE + r"'0\.5'"),
    "no score": (put(1, score=None), NO_SCORE + "null"),
    "a true score": (put(1, score=True), NO_SCORE + "True"),
    "score nan": (put(1, score=float("nan")), NO_SCORE + "nan"),
    "score infinite": (put(1, score=float("-inf")), NO_SCORE + "-inf"),
    "scores as a list": (put(1, score=[0.5]), NO_SCORE + r"\[0\.5\]"),
}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("change", "message"), RESULT_FAULTS.values(), ids=list(RESULT_FAULTS))
def test_a_fault_of_the_results_is_named(
    change: Change, message: str, threads: int, tmp_path: Path, truth: Any, results: Any
) -> None:
    change(results)
    assert_fault(
        lambda _: evaluate(tmp_path, results, truth, threads), tmp_path / "results.json", message
    )


TRUTH_FAULTS: dict[str, tuple[Change, str]] = {
    "runs that stop short": (
        put_mask(1, 0, {"size": [HEIGHT, WIDTH], "counts": compressed([5, 9])}),
        r"annotation 12: segmentations\[0\]: RLE counts must sum to 12x16 = 192, got 14",
    ),
    "another size": (
        put_mask(1, 0, {"size": [HEIGHT, 3], "counts": "0"}),
        r"annotations\[1\] \(id 12\): segmentations\[0\]: RLE size must be \[12, 16\]",
    ),
    "too few frames": (
        lambda items: items[1]["segmentations"].pop(),
        r"annotations\[1\] \(id 12\): segmentations must have 2 entries",
    ),
    "an id twice": (put(1, id=11), r"annotations\[1\] \(id 11\): id 11 stands twice"),
}


@pytest.mark.parametrize(("change", "message"), TRUTH_FAULTS.values(), ids=list(TRUTH_FAULTS))
def test_a_fault_of_the_truth_is_named(
    change: Change, message: str, tmp_path: Path, truth: Any, results: Any
) -> None:
    change(truth["annotations"])
    assert_fault(lambda _: evaluate(tmp_path, results, truth), tmp_path / "gt.json", message)


def test_the_results_of_another_kind_of_file_are_refused(tmp_path: Path, truth: Any) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    for text, message in {
        json.dumps(truth): "results must be a JSON list, got {'categories'",
        "": r"line 1 column 1: broken JSON",
        "[NaN]": r"\[0\]: must be an object, got nan",
    }.items():
        (tmp_path / "results.json").write_text(text)
        assert_fault(
            lambda path: Evaluation.of_files(path, tmp_path / "gt.json"),
            tmp_path / "results.json",
            message,
        )


@pytest.mark.parametrize("areas", ["absent", "null", "wrong"])
def test_areas_are_counted_whatever_the_truth_says(
    areas: str, tmp_path: Path, truth: Any, results: Any
) -> None:
    if areas != "absent":
        value = None if areas == "null" else [1e9, 1e9]
        for item in truth["annotations"]:
            item["areas"] = value
    metrics = evaluate(tmp_path, results, truth)
    assert metrics["AP"] == metrics["APs"] == 1
    assert metrics["APm"] is metrics["APl"] is None


def test_an_id_of_zero_is_an_id(tmp_path: Path, truth: Any, results: Any) -> None:
    truth["annotations"][0]["id"] = 0
    for item in [truth["videos"][0], *truth["annotations"][:2], *results[:2]]:
        item["id" if "file_names" in item else "video_id"] = 0
    assert evaluate(tmp_path, results, truth)["AP"] == 1


def test_the_same_entry_twice_costs_precision(tmp_path: Path, truth: Any, results: Any) -> None:
    results[2]["score"] = 0.5  # behind the copy
    metrics = evaluate(tmp_path, [results[0], *results], truth)
    # Recall 1/3 at precision 1 (34 points); the copy is wrong, so 2/3 and 1 come at 3/4.
    assert metrics["AP50"] == pytest.approx((34 + 67 * 3 / 4) / 101)
    assert metrics["AR100"] == 1


def test_an_empty_list_finds_nothing(tmp_path: Path, truth: Any) -> None:
    metrics = evaluate(tmp_path, [], truth)
    assert metrics["AP"] == metrics["AR100"] == 0


def test_a_crowd_is_neither_missed_nor_found(tmp_path: Path, truth: Any, results: Any) -> None:
    truth["annotations"][1]["iscrowd"] = 1
    assert evaluate(tmp_path, results, truth)["AP"] == 1
    assert evaluate(tmp_path, [results[0], results[2]], truth)["AP"] == 1
    truth["annotations"] = [truth["annotations"][1]]
    assert set(evaluate(tmp_path, results, truth).values()) == {None}


@pytest.mark.parametrize("masks", [[EMPTY, EMPTY], [None, None], [EMPTY, None]], ids=str)
def test_a_result_without_a_pixel_is_wrong(
    masks: list[Any], tmp_path: Path, truth: Any, results: Any
) -> None:
    nothing = results[0] | {"segmentations": masks, "score": 1.0}
    metrics = evaluate(tmp_path, [nothing, *results], truth)
    assert metrics["AR100"] == 1
    assert metrics["AP"] == pytest.approx(3 / 4)  # precision 1/2, 2/3, 3/4, and the best behind


@pytest.mark.parametrize("masks", [[EMPTY, EMPTY], [None, None]], ids=["empty", "absent"])
def test_a_truth_without_a_pixel_is_missed(
    masks: list[Any], tmp_path: Path, truth: Any, results: Any
) -> None:
    truth["annotations"].append(annotation(14, 7, 0, segmentations=masks))
    metrics = evaluate(tmp_path, results, truth)
    assert metrics["AR100"] == pytest.approx(3 / 4)
    same = results[0] | {"video_id": 7, "segmentations": masks}
    assert evaluate(tmp_path, [*results, same], truth)["AR100"] == pytest.approx(3 / 4)


def test_a_truth_without_any_instance_has_no_metric(
    tmp_path: Path, truth: Any, results: Any
) -> None:
    truth["annotations"] = []
    assert set(evaluate(tmp_path, results, truth).values()) == {None}


@pytest.mark.parametrize("side", [2**31 - 1, 2**31, 2**64, 10**30], ids=["fits", "31", "64", "100"])
def test_frames_of_any_size_are_the_same_on_both_backends(
    side: int, tmp_path: Path, truth: Any
) -> None:
    huge = {"size": [side, 1], "counts": compressed([0])}
    truth["videos"][0] |= {"height": side, "width": 1}
    truth["annotations"] = [annotation(13, 7, 3)]
    entry = {"video_id": 4, "category_id": 3, "score": 0.9, "segmentations": [huge, None]}
    file, message = tmp_path / "gt.json", r"height must be below 2\*\*31, got"
    if side < 2**31:
        file, message = tmp_path / "results.json", r"segmentations\[0\]: RLE counts must sum"
    assert_fault(lambda _: evaluate(tmp_path, [entry], truth), file, message)
