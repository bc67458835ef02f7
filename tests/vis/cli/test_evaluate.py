"""`vidgap evaluate`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pycocotools import mask

from vidgap_vis.cli.evaluate import GROUPINGS
from vidgap_vis.cli.main import main
from vidgap_vis.evaluation.groups import Grouping

Fails = Callable[..., str]


def entries(truth: Path) -> list[dict[str, Any]]:
    """The truth as perfect results."""
    content = json.loads(truth.read_text())
    size = [content["videos"][0]["height"], content["videos"][0]["width"]]
    found = []
    for annotation in content["annotations"]:
        rles = [mask.merge(mask.frPyObjects(one, *size)) for one in annotation["segmentations"]]
        masks = [{"size": size, "counts": rle["counts"].decode()} for rle in rles]
        keys = {key: annotation[key] for key in ("video_id", "category_id")}
        found.append({**keys, "score": 0.9, "segmentations": masks})
    return found


@pytest.fixture
def truth(videos: Path) -> Path:
    return videos / "clips.json"


@pytest.fixture
def perfect(truth: Path, tmp_path: Path) -> Path:
    path = tmp_path / "perfect.json"
    path.write_text(json.dumps(entries(truth)))
    return path


@pytest.fixture
def half(truth: Path, tmp_path: Path) -> Path:
    """Right for one class, nothing for the other."""
    path = tmp_path / "half.json"
    path.write_text(json.dumps([one for one in entries(truth) if one["category_id"] == 3]))
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> list[list[str]]:
    """Run the command; return the words of each line."""
    assert main([str(word) for word in ("evaluate", *words)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_words_for_groupings_are_those_of_the_library() -> None:
    assert get_args(Grouping) == GROUPINGS


def test_a_row_for_each_group(half: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, half, "--gt", truth, "--by", "class,size")
    assert lines[2][:2] == ["half", "50.0"]
    assert ["red", "100.0"] in [line[:2] for line in lines]
    assert ["blue", "0.0"] in [line[:2] for line in lines]
    assert ["small", "50.0"] in [line[:2] for line in lines]


def test_the_file_has_numbers_intervals_and_groups(half: Path, truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    words = ["evaluate", half, "--gt", truth, "--json", out, "--by", "class,length"]
    assert main([str(word) for word in words]) == 0
    found = json.loads(out.read_text())
    assert found["AP"] == 0.5
    assert set(found["intervals"]) >= {"AP", "AP50", "AR10"}
    assert found["by"]["class"]["red"]["AP"] == 1
    assert [row["AP"] for row in found["by"]["length"].values()] == [0.5]


def test_a_list_of_long_videos_makes_two_groups(
    perfect: Path, truth: Path, tmp_path: Path, fails: Fails, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(truth.read_text())
    number = content["videos"][0]["id"]
    for text in (json.dumps([number]), json.dumps({"videos": content["videos"][:1]})):
        (tmp_path / "long.json").write_text(text)
        words = ["--gt", truth, "--by", "length", "--long", tmp_path / "long.json"]
        assert ["long", "100.0"] in [line[:2] for line in printed(capsys, perfect, *words)]
    (tmp_path / "long.json").write_text("[-5]")
    assert "none has the id -5 of a long video" in fails(1, "evaluate", perfect, *words)
    (tmp_path / "long.json").write_text('["a"]')
    assert "long.json: [0]: must be a video's id, got 'a'" in fails(1, "evaluate", perfect, *words)
    (tmp_path / "long.json").write_text("3")
    assert "must be a list of video ids, got 3" in fails(1, "evaluate", perfect, *words)
    said = fails(2, "evaluate", perfect, "--gt", truth, "--long", tmp_path / "long.json")
    assert said == "--long: wanted with --by length, got it without"


def test_a_comparison_says_what_the_results_gain(
    half: Path, perfect: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "metrics.json"
    words = ["--gt", truth, "--against", half, "--by", "class", "--json", out]
    lines = printed(capsys, perfect, *words)
    assert ["gain", "50.0"] in [line[:2] for line in lines]
    assert ["blue", "+100.0"] in [line[:2] for line in lines]
    gained = json.loads(out.read_text())["against"]
    assert gained["gain"]["AP"]["value"] == 0.5
    assert gained["by"]["class"]["red"]["AP"]["value"] == 0


def test_seeds_give_mean_and_spread(
    half: Path, perfect: Path, truth: Path, fails: Fails, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, perfect, "--gt", truth, "--seeds", half)
    assert ["mean", "75.0"] in [line[:2] for line in lines]
    assert ["standard", "deviation", "35.4"] in [line[:3] for line in lines]
    said = fails(2, "evaluate", perfect, "--gt", truth, "--seeds", half, half)
    assert said == "--seeds: wanted other files than RESULTS, each once"
    said = fails(2, "evaluate", perfect, "--gt", truth, "--against", perfect)
    assert said == "--against: wanted another file than RESULTS"
    said = fails(1, "evaluate", perfect, "--gt", truth, "--seeds", half, "none.json")
    assert said == "none.json: no such file"


def test_a_missing_package_is_said_before_any_work(
    half: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidgap_vis.cli.evaluate.find_spec", lambda _: None)
    said = fails(2, "evaluate", half, "--gt", "none.json", "--metrics", "hota")
    assert said == "--metrics: hota needs the package trackeval: pip install 'vidgap-vis[eval]'"


def test_classes_of_one_name_are_told_apart(
    half: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(truth.read_text())
    for category in content["categories"]:
        category["name"] = "thing"
    (tmp_path / "gt.json").write_text(json.dumps(content))
    lines = printed(capsys, half, "--gt", tmp_path / "gt.json", "--by", "class")
    assert ["thing", "(3)", "100.0"] in [line[:3] for line in lines]
    assert ["thing", "(7)", "0.0"] in [line[:3] for line in lines]


def test_tracking_metrics_come_when_asked_for(
    half: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackeval", reason="needs the package trackeval")
    lines = printed(capsys, half, "--gt", truth, "--metrics", "hota")
    assert lines[0][:6] == ["tracks", "of", "score", ">=", "0.3", "HOTA"]
    assert ["all", "50.0"] in [line[:2] for line in lines]
    assert ["red", "100.0"] in [line[:2] for line in lines]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "colour"], "--by: wanted words of class,size,occlusion,length, got 'colour'"),
        (["--metrics", "ap,mota"], "--metrics: wanted words of ap,hota, got 'mota'"),
        (["--min_score", "2"], "--min_score: wanted a number in [0, 1], got '2'"),
        (["--min_score", "x"], "--min_score: wanted a number in [0, 1], got 'x'"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], message: str, half: Path, truth: Path, fails: Fails
) -> None:
    assert fails(2, "evaluate", half, "--gt", truth, *words) == message


def test_occlusion_needs_a_truth_that_knows_it(half: Path, truth: Path, fails: Fails) -> None:
    said = fails(1, "evaluate", half, "--gt", truth, "--by", "occlusion")
    assert said.startswith(f"{truth}: annotation ")
    assert said.endswith("or null in each frame, got nothing")


def test_evaluation_runs_without_torch(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("[]")
    code = (
        "import sys; from vidgap_vis.cli.main import main; "
        "assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    )
    words = ["evaluate", str(tmp_path / "results.json"), "--gt", str(videos / "clips.json")]
    subprocess.run([sys.executable, "-c", code, *words], check=True)
