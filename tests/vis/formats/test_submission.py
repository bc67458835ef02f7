"""`vidgap submit`: what servers take, checked before it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from vidgap_vis.cli.main import main
from vidgap_vis.formats.rle import Rle

VIDEOS = {3: 2, 8: 3}  # id: frames


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    videos = [
        {"id": id_, "width": 6, "height": 4, "length": length,
         "file_names": [f"{id_}/{k}.jpg" for k in range(length)]}
        for id_, length in VIDEOS.items()
    ]  # fmt: skip
    path = tmp_path / "valid.json"
    path.write_text(json.dumps({"videos": videos, "categories": [{"id": 5, "name": "cat"}]}))
    return path


def entry(video: int, **other: Any) -> dict[str, Any]:
    mask = Rle.encode(np.ones((4, 6), np.bool_)).to_dict()
    masks = [mask, *[None] * (VIDEOS.get(video, 1) - 1)]
    return {"video_id": video, "category_id": 5, "score": 0.5, "segmentations": masks} | other


def test_a_zip_holds_the_results(
    tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, out = tmp_path / "r.json", tmp_path / "new" / "submission.zip"
    results.write_text(json.dumps([entry(8), entry(8, score=0.1)]))
    assert main(["submit", str(results), "--gt", str(truth), "--out", str(out)]) == 0
    with ZipFile(out) as archive:
        assert archive.namelist() == ["results.json"]
        assert archive.read("results.json") == results.read_bytes()
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{out}: results.json with 2 tracks in 1 videos, at most 2 each",
        "videos without a track: 3",
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "results must be a JSON list"),
        ([entry(4)], "[0]: video_id 4 is not among the ids of videos"),
        ([entry(3, category_id=9)], "[0]: category_id 9 is not among the ids of categories"),
        ([entry(3), entry(3, segmentations=[None])], "[1]: segmentations"),
        ([entry(3, score=1.5)], "[0]: score must be a number in [0, 1], got 1.5"),
        ([entry(3, segmentations=[{"size": [6, 4], "counts": "04"}, None])], "segmentations[0]"),
        ([entry(3, segmentations=[{"size": [4, 6], "counts": "~~"}, None])], "segmentations[0]"),
    ],
    ids=range(7),
)
def test_what_a_server_would_refuse_is_named(
    entries: Any, message: str, tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, out = tmp_path / "r.json", tmp_path / "submission.zip"
    results.write_text(json.dumps(entries))
    assert main(["submit", str(results), "--gt", str(truth), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(results) in said
    assert message in said
    assert not out.exists()


def test_files_are_not_replaced(tmp_path: Path, truth: Path, fails: Callable[..., str]) -> None:
    results = tmp_path / "r.json"
    results.write_text("[]")
    words = ("submit", results, "--gt", truth, "--out")
    assert "is an input, and would be overwritten" in fails(2, *words, results)
    assert "no such" in fails(1, "submit", tmp_path / "no.json", *words[2:], tmp_path / "x.zip")
