"""The page as a file: whole, bounded, harmless, and honest about what it leaves out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from vis.support.box_files import Boxes, BoxFiles, BoxVideo, swapped_cats, write_files

from vidgap_vis.analysis.page.scripts import as_script

STILL: Boxes = [(10, 10, 20, 20)] * 6
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&'\""

Run = Callable[..., list[str]]
Fails = Callable[..., str]


class Elements(HTMLParser):
    """Collects the elements of a page, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            name = self.elements[-1][1].get("id") or "code"
            self.scripts[name] = self.scripts.get(name, "") + data


def page_of(files: BoxFiles, run: Run, *flags: Any) -> tuple[str, Elements, list[str]]:
    out = files.truth.parent / "page.html"
    said = run("analyze", files.results, "--gt", files.truth, "--out", out, *flags)
    text = out.read_text(encoding="utf-8")
    parsed = Elements()
    parsed.feed(text)
    return text, parsed, said


def test_it_holds_everything_and_asks_for_nothing(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [swapped_cats()])
    text, page, _ = page_of(files, run, "--images", files.images)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", text)
    assert not re.search(r"https?://|@import|url\(", text)
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv")]
    assert policy is not None
    assert "default-src 'none'" in policy
    (line,) = json.loads(page.scripts["video-7"])
    assert line["switches"] == 2
    strips = [moment["strip"] for moment in line["moments"]]
    assert strips == [0, 1, 2]
    strip = json.loads(page.scripts["strip-0"])
    assert [frame["index"] for frame in strip["frames"]] == line["moments"][0]["frames"]
    assert all(frame["jpeg"] for frame in strip["frames"])
    assert [shape[:2] for shape in strip["frames"][0]["rows"][0]] == [
        [0, "cat 1"],
        [1, "cat 2"],
        [2, "<b>dog</b> 3"],
    ]


def test_data_cannot_leave_their_script() -> None:
    element = as_script("name", [EVIL, "\u2028é", "<!--<script>"])
    start, end = '<script type="application/json" id="name">', "</script>\n"
    assert element.startswith(start)
    assert element.endswith(end)
    text = element[len(start) : -len(end)]
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == [EVIL, "\u2028é", "<!--<script>"]


def test_the_same_page_twice(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [swapped_cats()])
    assert page_of(files, run)[0] == page_of(files, run)[0]


def test_names_are_text(tmp_path: Path, run: Run) -> None:
    video = BoxVideo(6, [(1, STILL), (2, STILL)], [(2, 0.9, STILL)], name="<i>v</i>")
    files = write_files(tmp_path, [video], pictures=False, categories=[EVIL, "<b>dog</b>"])
    results = files.results.rename(tmp_path / "<u>r&d<.json")
    files = BoxFiles(files.truth, results, files.images)
    text, page, _ = page_of(files, run, "--images", files.images)
    assert {tag for tag, _ in page.elements} & {"b", "i", "u", "img"} == set()
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert len([tag for tag, _ in page.elements if tag == "script"]) == text.count("</script>")
    assert "&lt;i&gt;v&lt;/i&gt;" in text
    (line,) = json.loads(page.scripts["video-7"])
    assert line["truths"][0]["name"] == EVIL


@pytest.mark.parametrize(
    ("video", "note"),
    [
        (BoxVideo(6, [], [(1, 0.9, STILL)]), "No video has a truth, so there is nothing to find"),
        (BoxVideo(6, [(1, STILL)], []), "results has no predictions."),
        (
            BoxVideo(6, [(1, STILL)], [(1, 0.9, [(50, 80, 9, 9)] * 6)]),
            "No prediction of results matches any truth.",
        ),
    ],
)
def test_what_is_odd_is_said(video: BoxVideo, note: str, tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [video], pictures=False)
    text, _, said = page_of(files, run)
    assert note in text
    assert any(note in line for line in said)


def test_some_videos_without_truth(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [BoxVideo(6, [(1, STILL)], [(1, 0.9, STILL)]), BoxVideo(6)])
    assert "1 of 2 videos have no truth" in page_of(files, run)[0]


def test_a_crowd_is_no_missing_truth_and_is_shown(tmp_path: Path, run: Run) -> None:
    away: Boxes = [(40, 60, 9, 9)] * 6
    files = write_files(tmp_path, [BoxVideo(6, [(1, STILL)], [(1, 0.9, STILL), (2, 0.8, away)])])
    content = json.loads(files.truth.read_text())
    content["annotations"][0]["iscrowd"] = 1
    files.truth.write_text(json.dumps(content))
    text, page, _ = page_of(files, run)
    assert "have no truth; what is found there is wrong" not in text
    (line,) = json.loads(page.scripts["video-7"])
    assert (line["truths"], line["crowds"]) == ([], 1)
    (row, *_) = json.loads(page.scripts["strip-0"])["frames"][0]["rows"]
    assert [shape[1] for shape in row] == ["crowd of cat 1"]
    assert {lane["track"]: lane["outcome"] for lane in line["tracks"]} == {
        0: "ignored",
        1: "background",
    }


def test_frames_that_are_missing_are_named_and_the_page_goes_on(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [swapped_cats()])
    gone = files.images / "v" / "7_3.png"
    gone.unlink()
    text, page, said = page_of(files, run, "--images", files.images)
    assert "1 frames cannot be shown" in text
    assert any("7_3.png: no such image file" in line for line in said)
    frames = {f["index"]: f for f in json.loads(page.scripts["strip-0"])["frames"]}
    assert frames[3]["jpeg"] is None
    assert "no such image file" in frames[3]["fault"]
    assert frames[4]["jpeg"]
    assert frames[4]["fault"] == ""


@pytest.mark.parametrize("flags", [(), ("--against", "other.json")])
def test_it_is_as_small_as_is_asked(
    flags: tuple[str, ...], tmp_path: Path, run: Run, fails: Fails
) -> None:
    files = write_files(tmp_path, [swapped_cats() for _ in range(24)])
    (tmp_path / "other.json").write_text(files.results.read_text())
    flags = tuple(str(tmp_path / flag) if "." in flag else flag for flag in flags)
    images = ("--images", files.images, *flags)
    whole = len(page_of(files, run, *images)[0])
    bare = 0
    for share in (0.9, 0.6):
        text, page, said = page_of(files, run, *images, "--max_mb", share * whole / 1e6)
        assert 0.7 * share * whole < len(text) <= share * whole
        assert any("moments are left out: the page was to have at most" in line for line in said)
        strips = [name for name in page.scripts if name.startswith("strip")]
        lines = [json.loads(t) for n, t in page.scripts.items() if n.startswith("video")]
        used = [m["strip"] for line in lines for one in line for m in one["moments"]]
        assert sorted(u for u in used if u is not None) == list(range(len(strips)))
        bare = len(text) - sum(len(t) for n, t in page.scripts.items() if n.startswith("strip"))
    small = 0.8 * bare / 1e6
    text, page, said = page_of(files, run, *images, "--max_mb", small)
    assert len(text) <= small * 1e6
    assert any("best videos are left out" in line for line in said)
    out = tmp_path / "never.html"
    arguments = ("analyze", files.results, "--gt", files.truth, "--out", out)
    assert "--max_mb: wanted 0." in fails(2, *arguments, "--max_mb", "0.001")
    assert not out.exists()


def test_a_thousand_classes(tmp_path: Path, run: Run) -> None:
    names = [f"class {number}" for number in range(1000)]
    spots: list[Boxes] = [[(6 * n, 6 * n, 5, 5)] * 2 for n in range(10)]
    videos = [
        BoxVideo(
            2,
            [(first + n, spot) for n, spot in enumerate(spots)],
            [(first + n, 0.9, spot) for n, spot in enumerate(spots) if n % 2],
        )
        for first in range(1, 1001, 10)
    ]
    files = write_files(tmp_path, videos, pictures=False, categories=names)
    _, page, _ = page_of(files, run)
    heads = [a for tag, a in page.elements if tag == "th" and a.get("data-value")]
    assert len(heads) == 1000


@pytest.mark.parametrize("length", [1, 4000])
def test_one_frame_and_four_thousand(length: int, tmp_path: Path, run: Run) -> None:
    here: Boxes = [(10, 10, 20, 20) if time % 7 else None for time in range(length)]
    one: Boxes = [box if time % 20 < 10 else None for time, box in enumerate(here)]
    other: Boxes = [None if time % 20 < 10 else box for time, box in enumerate(here)]
    files = write_files(
        tmp_path,
        [BoxVideo(length, [(1, here)], [(1, 0.9, one), (1, 0.8, other)])],
        pictures=False,
    )
    text, page, _ = page_of(files, run)
    (line,) = json.loads(page.scripts["video-7"])
    assert line["frames"] == length
    assert line["switches"] == max(0, length // 10 - 1)
    assert len(text) < 1_000_000
