"""Experiments on data that are there already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from vis.support.tiny_experiment import COMMON, TINY, here
from vis.support.tiny_runs import write_images, write_videos

from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.experiments import read_experiment, runner
from vidgap_vis.experiments.files import ClipFiles, Files, StillFiles
from vidgap_vis.experiments.plan import FILE

RENAMED = {"annotations": "renamed.json", "frames": "clips/frames", "videos": [2, 0]}

CONTENT: dict[str, Any] = {
    "about": "Does it run on files?",
    "against": "index",
    "seeds": [1, 2],
    "files": {
        "stills": {"annotations": "stills/images.json", "images": "stills/images"},
        "clips": {"annotations": "clips/clips.json", "frames": "clips/frames"},
        "held_out": {
            "own": {"annotations": "clips/clips.json", "frames": "clips/frames"},
            "sealed": {
                "annotations": "sealed.json",
                "frames": "clips/frames",
                "truth": False,
            },
            "other": {"annotations": "clips/clips.json", "frames": "clips/frames"},
            "renamed": RENAMED,
        },
    },
    "common": {
        "pretrain": {**COMMON, "clip": {"num_frames": 2, "size": None, "paste_min_area": 4}},
        "finetune": {
            **COMMON,
            "data": {"pseudo": {"ratio": 1.0}},
            "clip": {"num_frames": 2, "short_edges": [], "paste_min_area": 4},
        },
    },
    "runs": {
        "stills": {"stage": "pretrain"},
        "none": {"stage": "finetune", "init": "stills", "clips": 0},
        "one": {"stage": "finetune", "init": "stills", "clips": 1},
        "all": {"stage": "finetune", "init": "stills"},
    },
    "arms": {
        "index": {"run": "none", "tracker": {"name": "index"}},
        "one": {"run": "one", "tracker": {"name": "minvis"}},
        "all": {"run": "all", "tracker": {"name": "minvis"}},
    },
    "pairs": [["all", "one"]],
}


def write(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(yaml.safe_dump({**CONTENT, **changes}, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_images(folder / "stills", count=3)
    write_videos(folder / "clips", count=3)
    sealed = json.loads((folder / "clips" / "clips.json").read_text()) | {"annotations": None}
    (folder / "sealed.json").write_text(json.dumps(sealed))
    (folder / "renamed.json").write_text(json.dumps(renamed(folder / "clips" / "clips.json")))
    return folder


def renamed(path: Path) -> dict[str, Any]:
    """The same videos, whose classes have other ids; one more class, which no video has."""
    content = json.loads(path.read_text())
    for one in [*content["categories"], *content["annotations"]]:
        one["id" if "name" in one else "category_id"] += 20
    content["categories"].insert(0, {"id": 3, "name": "boat"})
    result: dict[str, Any] = content
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = write(tmp_path_factory.mktemp("experiment") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "run_jobs", here)
        summary = runner.run_experiment(folder, folder / "out", root=root)
    (folder / "said.txt").write_text(str(summary))
    return folder


def test_each_arm_is_measured_on_each_set(finished: Path) -> None:
    data = json.loads((finished / "out" / "results.json").read_text())
    sets = ("own", "sealed", "other", "renamed")
    assert set(data["arms"]) == {f"{arm} on {s}" for s in sets for arm in CONTENT["arms"]}
    for name, arm in data["arms"].items():
        for record in arm["seeds"].values():
            assert ("metrics" in record) == ("sealed" not in name)
        assert (arm["gain"] is None) == (name.startswith("index") or "sealed" in name)
    assert [*data["pairs"]] == [f"all on {s} - one on {s}" for s in ("own", "other", "renamed")]
    for seed in ("1", "2"):
        apart = [
            data["arms"][f"{arm} on other"]["seeds"][seed]["metrics"]["AP50"]
            for arm in ("one", "index")
        ]
        gain = data["arms"]["one on other"]["gain"]["AP50"]["seeds"][seed][0]
        assert gain == pytest.approx(apart[0] - apart[1])
    over = {name: arm["gain over"] for name, arm in data["arms"].items()}
    assert over["one on other"] == "index on other"
    assert over["one on sealed"] is over["index on own"] is None
    said = (finished / "said.txt").read_text()
    assert "gain over index " in said
    assert "gain over index on" not in said
    assert "one on other" in said
    assert "sealed" not in said


def test_results_without_truth_are_kept(finished: Path, root: Path) -> None:
    path = finished / "out" / "seed_1" / "arms" / "all on sealed.json"
    known = {video["id"] for video in json.loads((root / "sealed.json").read_text())["videos"]}
    assert {entry["video_id"] for entry in json.loads(path.read_text())} <= known


def test_some_clips_are_others_for_other_seeds(finished: Path, root: Path) -> None:
    videos = json.loads((root / "clips" / "clips.json").read_text())["videos"]
    for seed in (1, 2):
        folder = finished / "out" / f"seed_{seed}"
        chosen = json.loads((folder / "data" / f"clips_1_from_{seed}.json").read_text())
        assert chosen["videos"] == [videos[seed % len(videos)]]
        assert {one["video_id"] for one in chosen["annotations"]} == {chosen["videos"][0]["id"]}
        config = yaml.safe_load((folder / "runs" / "one" / "config.yaml").read_text())
        assert config["data"]["annotations"].endswith(f"clips_1_from_{seed}.json")
        config = yaml.safe_load((folder / "runs" / "none" / "config.yaml").read_text())
        assert config["data"]["annotations"] is None


def test_clips_go_round(finished: Path, root: Path, tmp_path: Path) -> None:
    files = read_experiment(finished).files
    assert files is not None
    files.write_some(root, tmp_path, seed=2, num=3)
    videos = json.loads((root / "clips" / "clips.json").read_text())["videos"]
    chosen = json.loads((tmp_path / "clips_3_from_2.json").read_text())["videos"]
    assert chosen == [videos[2], videos[0], videos[1]]
    with pytest.raises(InputError, match="videos: 4 or more are wanted, got 3"):
        files.write_some(root, tmp_path, seed=0, num=4)


def test_a_set_takes_some_videos(finished: Path, root: Path) -> None:
    folder = finished / "out" / "seed_1"
    of_clips = json.loads((root / "clips" / "clips.json").read_text())
    taken = json.loads((folder / "data" / "held_out_renamed.json").read_text())
    assert taken["videos"] == [of_clips["videos"][2], of_clips["videos"][0]]
    assert taken["categories"] == of_clips["categories"]
    own = [one for one in of_clips["annotations"] if one["video_id"] in (0, 2)]
    assert taken["annotations"] == own
    results = {
        name: json.loads((folder / "arms" / f"all on {name}.json").read_text())
        for name in ("own", "renamed")
    }
    assert results["renamed"] == [
        one for video in (2, 0) for one in results["own"] if one["video_id"] == video
    ]


@pytest.mark.parametrize(
    ("videos", "boat", "message"),
    [
        ([0, 5], False, r"videos: wanted one of id 5, got \[0, 1, 2\]"),
        ([0], True, r"annotations\[0\] .*category_id 3 is not among the ids of the clips' classes"),
    ],
)
def test_a_set_that_cannot_be_taken(
    videos: list[int], boat: bool, message: str, root: Path, tmp_path: Path
) -> None:
    content = renamed(root / "clips" / "clips.json")
    if boat:
        content["annotations"][0]["category_id"] = 3
    (tmp_path / "renamed.json").write_text(json.dumps(content))
    (tmp_path / "clips.json").write_bytes((root / "clips" / "clips.json").read_bytes())
    one = ClipFiles(Path("renamed.json"), Path("frames"), videos=tuple(videos))
    clips = ClipFiles(Path("clips.json"), Path("frames"))
    files = Files(StillFiles(Path(), Path()), clips, {"renamed": one})
    with pytest.raises(InputError, match=message):
        files.write_set(tmp_path, tmp_path / "out", "renamed")
    (tmp_path / "clips.json").write_text("{")
    with pytest.raises(InputError, match=r"clips.json: .*broken JSON"):
        files.write_set(tmp_path, tmp_path / "out", "renamed")
    with pytest.raises(InputError, match=r"clips.json: .*broken JSON"):
        files.write_some(tmp_path, tmp_path / "out", 0, 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"world": "hard_1"}, "files: wanted without .* arms on stills, got world beside it"),
        (
            {"files": {**CONTENT["files"], "held_out": {"a/b": CONTENT["files"]["clips"]}}},
            "files.held_out: wanted a name that a file can have, got 'a/b'",
        ),
        (
            {"files": {**CONTENT["files"], "held_out": {"a": RENAMED | {"videos": [0, 0]}}}},
            r"files.held_out.a.videos: wanted each id once, got \[0, 0\]",
        ),
        ({"runs": {"stills": {"stage": "pretrain", "clips": -1}}}, r"runs\.stills\.clips: "),
        (
            {"arms": {"index": {"run": "stills"}, "floor": {"run": "", "memory": False}}},
            r"arms\.floor\.run: wanted a run; none is for experiments on files, and stands alone",
        ),
        (
            {"files": {**CONTENT["files"], "clips": RENAMED}},
            r"files\.clips\.videos: wanted for held-out sets alone, got \[2, 0\]",
        ),
        (
            {"arms": {"index": {"run": ""}}},
            "against: wanted one of the arms on clips, with a run, got 'index'",
        ),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    changes = {"arms": {"index": {"run": "stills"}}, "pairs": []} | changes
    with pytest.raises(ConfigError, match=message):
        read_experiment(write(tmp_path / "tiny", **changes))


def test_a_root_is_wanted_for_files_alone(
    finished: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    said = fails(2, "experiment", finished, "--out", tmp_path / "out")
    assert said == "--root: missing; it is the folder of the experiment's files"
    said = fails(1, "experiment", finished, "--out", tmp_path / "out", "--root", tmp_path)
    assert said.endswith("stills/images.json: no such file")
    for path in ("stills/images.json", "clips/clips.json", "sealed.json", "renamed.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    said = fails(1, "experiment", finished, "--out", tmp_path / "out", "--root", tmp_path)
    assert said.endswith("stills/images: no such folder")
    runs = {"stills": {"stage": "pretrain"}}
    common = {"pretrain": {"model": TINY}}
    folder = write(
        tmp_path / "generated",
        files=None,
        runs=runs,
        common=common,
        arms={"index": {"run": "stills"}},
        pairs=[],
    )
    said = fails(2, "experiment", folder, "--out", tmp_path / "o", "--root", tmp_path)
    assert said == "--root: wanted for experiments on files alone"
