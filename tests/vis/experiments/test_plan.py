"""What an experiment's `arms.yaml` may say, and what is said where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from vis.support.tiny_experiment import CONTENT, write

from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.errors import ConfigError
from vidgap_vis.experiments import read_experiment
from vidgap_vis.experiments.plan import FILE, QUICK_STEPS


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ("seeds", [], "seeds: wanted different ones from 0 on, got"),
        ("seeds", [1, 1], "seeds: wanted different ones"),
        ("against", "sort", "against: wanted one of the arms on clips, with a run, got 'sort'"),
        ("against", "one copy", "against: wanted one of the arms on clips, with a run, got"),
        ("pairs", [["index", "sort"]], r"pairs\[0\]: wanted two arms, both on clips or both on"),
        ("pairs", [["index", "one copy"]], r"pairs\[0\]: wanted two arms, both on clips or"),
        ("pairs", [["index", "index"]], r"pairs\[0\]: wanted two arms"),
        ("arms.one copy.copies", 0, r"arms\.one copy\.copies: wanted 1 or more, with memory"),
        ("arms.stills.copies", 3, r"arms\.stills\.copies: wanted .* and no tracker, got 3"),
        ("arms.one copy.memory", False, r"arms\.one copy\.copies: wanted 1 or more, with memory"),
        ("arms.minvis.held_out", "own", r"arms\.minvis\.held_out: wanted none, .* got 'own'"),
        ("arms.a/b", {"run": "clips"}, "arms: wanted names that a file can have, got 'a/b'"),
        ("synthetic.num_valid_images", 0, "synthetic.num_valid_images: wanted 1 or more for arms"),
        ("arms.minvis.run", "nowhere", r"arms\.minvis\.run: wanted a run, got 'nowhere'"),
        ("runs.clips.init", "later", r"runs\.clips\.init: wanted a run that stands before"),
        ("runs.clips.init", None, r"runs\.clips\.init: missing"),
        ("runs.stills.stage", "test", r"runs\.stills\.stage: wanted one of pretrain, finetune"),
        ("runs.stills.config", {"train": {"step": 3}}, r"runs\.stills\.config\.train\.step: "),
        ("arms.minvis.tracker", {"name": "sort"}, r"arms\.minvis\.tracker\.name: wanted one of"),
        ("arms.minvis.tracker", {"max_gaps": 3}, r"arms\.minvis\.tracker\.max_gaps: unknown key"),
        ("synthetic.num_clips", 3, "num_clips: unknown key"),
        ("arm", {}, r"arm: unknown key \(did you mean arms\?\)"),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_key(
    keys: str, value: object, message: str, tmp_path: Path
) -> None:
    content = deepcopy(CONTENT)
    within = content
    *around, last = keys.split(".")
    for key in around:
        within = within[key]
    within[last] = value
    with pytest.raises(ConfigError, match=f"{FILE}: {message}"):
        read_experiment(write(tmp_path / "tiny", **content))


def test_a_folder_without_an_experiment_is_refused(
    tmp_path: Path, fails: Callable[..., str]
) -> None:
    said = fails(2, "experiment", tmp_path)
    assert said.endswith(f"holds no experiment ({FILE} is missing)")
    said = fails(2, "experiment", write(tmp_path / "tiny"), "--gpus", "99")
    assert said.startswith("--gpus: cuda:99 is not there")
    said = fails(2, "experiment", write(tmp_path / "tiny"), "--seeds", "1,b")
    assert said == "--seeds: wanted a whole number, got 'b'"


def test_a_run_may_be_without_the_stills_that_all_have(tmp_path: Path) -> None:
    content = deepcopy(CONTENT)
    content["common"]["finetune"]["data"] = {"pseudo": {"ratio": 0.5}}
    content["runs"]["clips"]["config"]["data"] = {"pseudo": None}
    experiment = read_experiment(write(tmp_path / "tiny", **content))
    alone, mixed = (experiment.config(name, 1, tmp_path) for name in ("clips", "embedded"))
    assert isinstance(alone, FinetuneConfig)
    assert isinstance(mixed, FinetuneConfig)
    assert alone.data.pseudo is None
    content["runs"]["clips"]["config"]["data"] = {"pseudo": {"coco_to": None}}
    other = read_experiment(write(tmp_path / "other", **content)).config("clips", 1, tmp_path)
    assert isinstance(other, FinetuneConfig)
    assert other.data.pseudo is not None
    assert mixed.data.pseudo is not None
    assert mixed.data.pseudo.ratio == 0.5


@pytest.mark.parametrize("name", ["/elsewhere", "..", ".", "", "a/../../b", "a//b"])
def test_a_run_cannot_have_a_folder_elsewhere(name: str, tmp_path: Path) -> None:
    content = deepcopy(CONTENT)
    content["runs"] = {**content["runs"], name: {"stage": "pretrain"}}
    with pytest.raises(ConfigError, match=f"{FILE}: runs: wanted names of folders in one another"):
        read_experiment(write(tmp_path / "tiny", **content))


def test_a_run_cannot_have_a_folder_in_anothers(tmp_path: Path) -> None:
    content = deepcopy(CONTENT)
    content["runs"] = {
        **content["runs"],
        "one": {"stage": "pretrain"},
        "one/more": {"stage": "pretrain"},
    }
    with pytest.raises(ConfigError, match="runs: wanted no run in another's folder, got 'one' and"):
        read_experiment(write(tmp_path / "tiny", **content))


def test_an_experiment_is_one_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")
    (folder / FILE).rename(folder / "base.yaml")
    (folder / FILE).write_text("base: base.yaml\n")
    with pytest.raises(ConfigError, match="base: wanted none: results go with one file"):
        read_experiment(folder)


def test_quick_keeps_everything_but_sizes(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path / "tiny"))
    quick = experiment.quick()
    assert quick.arms == experiment.arms
    config = quick.config("clips", 1, tmp_path)
    assert (config.train.steps, config.train.lr) == (QUICK_STEPS, 0.001)
    assert quick.data(1).num_valid_clips == 3
    assert isinstance(quick.config("stills", 1, tmp_path), PretrainConfig)
