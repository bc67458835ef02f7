"""`vidgap analyze`: what it prints and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vis.support.box_files import Boxes, BoxFiles, BoxVideo, swapped_cats, write_files

from vidgap_vis.analysis.groups import OUTCOMES

Run = Callable[..., list[str]]
Fails = Callable[..., str]


@pytest.fixture
def files(tmp_path: Path) -> BoxFiles:
    return write_files(tmp_path, [swapped_cats()], pictures=False)


def test_the_command_tells_and_writes(files: BoxFiles, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    out = tmp_path / "analysis.json"
    said = run("analyze", files.results, "--gt", files.truth, "--against", other, "--json", out)
    assert any(line.split() == ["association", "2", "50.0", "n/a", "50.0"] for line in said)
    assert any(line.split() == ["identity", "switch", "2"] for line in said)
    data = json.loads(out.read_text())
    assert list(data) == [str(files.results), str(other), "difference"]
    assert data["difference"]["AP50"] == {"value": 0.0, "interval": [None, None]}
    assert any(line.split()[:4] == ["results", "minus", "other", "difference"] for line in said)
    ours = data[str(files.results)]
    assert ours["ap"]["AP50"] == 0
    assert ours["oracles"]["association"]["AP50"] == pytest.approx(0.5)
    assert sum(cause["costs"] for cause in ours["causes"].values()) == pytest.approx(1.0)
    assert ours["causes"]["missed"]["count"] == 1
    assert ours["paper"] == {"wrong class": 0, "identity switch": 2, "undetected": 1}
    none = dict.fromkeys(OUTCOMES, 0)
    assert ours["truths"]["look-alikes"] == {
        "none": {"count": 1} | none | {"missed": 1},
        "1": {"count": 2} | none | {"association": 1},
    }
    assert ours["size"] == {"videos": 1, "frames": 8, "truths": 3, "predictions": 2}
    assert [row["name"] for row in ours["classes"]] == ["cat", "<b>dog</b>"]
    assert [row["ap"] for row in ours["thresholds"]] == [0] * 10
    assert data[str(other)]["causes"]["missed"]["count"] == 3


def test_thresholds_and_classes_agree_with_ap(tmp_path: Path, run: Run) -> None:
    still: Boxes = [(10, 10, 20, 20)] * 6
    shifted: list[Boxes] = [[(10, 10 + n, 20, 20)] * 6 for n in (0, 2, 5)]
    videos = [BoxVideo(6, [(1, still)], [(1, 0.9, one)]) for one in shifted]
    files = write_files(tmp_path, videos, pictures=False)
    out = tmp_path / "analysis.json"
    run("analyze", files.results, "--gt", files.truth, "--json", out)
    (data,) = json.loads(out.read_text()).values()
    at = {row["iou"]: row["ap"] for row in data["thresholds"]}
    assert sum(at.values()) / 10 == pytest.approx(data["ap"]["AP"])
    assert (at[0.5], at[0.75]) == pytest.approx((data["ap"]["AP50"], data["ap"]["AP75"]))
    assert data["classes"][0]["AP"] == pytest.approx(data["ap"]["AP"])
    for row in data["thresholds"]:
        low, high = row["interval"]
        assert low <= row["ap"] <= high
    assert all(low <= high for low, high in (c["interval"] for c in data["causes"].values()))


def test_nothing_to_analyse(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [BoxVideo(3)], pictures=False)
    said = run("analyze", files.results, "--gt", files.truth)
    assert any(line.split() == ["missed", "0", "n/a", "n/a", "n/a"] for line in said)


def test_no_videos_at_all(tmp_path: Path, fails: Fails) -> None:
    files = write_files(tmp_path, [], pictures=False)
    said = fails(1, "analyze", files.results, "--gt", files.truth)
    assert "videos: empty; at least one video is wanted" in said


def test_bad_files_are_named(files: BoxFiles, tmp_path: Path, fails: Fails) -> None:
    start = ("analyze", files.results, "--gt", files.truth)
    missing = fails(1, "analyze", tmp_path / "no.json", "--gt", files.truth)
    assert "no such file" in missing.lower()
    for flag in ("--json", "--out"):
        said = fails(2, *start, flag, files.truth)
        assert f"{flag}: {files.truth} is an input, and would be overwritten" in said
    same = tmp_path / "same"
    assert "wanted another file than --json" in fails(2, *start, "--out", same, "--json", same)
    said = fails(2, *start, "--against", files.results)
    assert "--against: wanted another file than RESULTS" in said
    said = fails(1, *start, "--images", tmp_path / "nowhere", "--out", same)
    assert "no such folder" in said
    for size in ("nan", "0", "1e303"):
        said = fails(2, *start, "--max_mb", size)
        assert said == f"--max_mb: wanted a number above 0, 1000 at most, got {size!r}"
    said = fails(1, "analyze", "/dev/null", "--gt", files.truth)
    assert said == "/dev/null: a regular file is wanted: it is read twice"
    below = tmp_path / "file"
    below.write_text("")
    assert "its folder cannot be made" in fails(1, *start, "--out", below / "page.html")
    assert "wanted a number in [0, 1]" in fails(2, *start, "--min_score", "2")
    assert not same.exists()
