"""The experiments of this project can be run, and compare what they say they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vidgap_vis import build
from vidgap_vis.config import FinetuneConfig, PretrainConfig
from vidgap_vis.demo import plan
from vidgap_vis.experiments import read_experiment
from vidgap_vis.experiments.plan import QUICK_STEPS, Config

FOLDER = Path(__file__).parents[3] / "experiments"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/arms.yaml"))


@pytest.mark.parametrize("folder", [*(FOLDER / name for name in NAMES), plan.FOLDER])
def test_an_experiment_is_right_in_every_key(folder: Path, tmp_path: Path) -> None:
    experiment = read_experiment(folder)
    assert experiment.on_each().arms
    for run in experiment.runs:
        assert experiment.quick().config(run, 1, tmp_path).train.steps == QUICK_STEPS
    assert set(experiment.runs) >= {arm.run for arm in experiment.arms.values()} - {""}


def trained(config: Config) -> int:
    """How many weights are trained."""
    model = build.segmenter(config.model, config.temporal, 4)
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def frames(config: Config) -> int:
    """How many frames a run shows."""
    assert config.clip.num_frames is not None
    return config.train.steps * config.train.batch_size * config.clip.num_frames


def test_the_claims_arms_differ_in_what_they_say_alone(tmp_path: Path) -> None:
    experiment = read_experiment(FOLDER / "claim")
    configs = {name: experiment.config(name, 1, tmp_path) for name in experiment.runs}
    pre = {name: one for name, one in configs.items() if isinstance(one, PretrainConfig)}
    fine = {name: one for name, one in configs.items() if isinstance(one, FinetuneConfig)}
    for runs in (pre, fine):
        assert len({frames(one) for one in runs.values()}) == 1
        assert len({one.train.lr for one in runs.values()}) == 1
    assert trained(pre["pre_larger"]) == pytest.approx(trained(pre["pre_module"]), rel=0.02)
    assert pre["pre_image"].temporal is None
    assert pre["pre_module"].clip.num_frames == 1
    assert pre["pre_module"].temporal == pre["pre_video"].temporal == fine["late"].temporal
    starts = {name: experiment.runs[name].init for name in fine}
    assert starts["late"] == starts["image"] == "pre_image"
    for name in experiment.on_clips:
        wanted = experiment.arms["video, overlap" if name.endswith(", overlap") else "video"]
        assert experiment.arms[name].tracker == wanted.tracker


@pytest.mark.parametrize("name", ["longer", "cells"])
def test_pre_trainings_differ_in_what_joins_the_same_frames(name: str, tmp_path: Path) -> None:
    experiment = read_experiment(FOLDER / name)
    runs = ("pre_image", "pre_module", "pre_video")
    image, module, video = (experiment.config(run, 1, tmp_path) for run in runs)
    start = experiment.config("start", 1, tmp_path)
    assert {experiment.runs[run].init for run in runs} == {"start"}
    assert start == replace(image, train=replace(image.train, steps=start.train.steps))
    assert isinstance(video, PretrainConfig)
    assert not video.frames_apart
    assert module == replace(video, frames_apart=True)
    assert image == replace(video, temporal=None)


def test_trained_with_one_frame_is_trained_with_the_same_frames(tmp_path: Path) -> None:
    experiment = read_experiment(FOLDER / "temporal")
    both, alone = (experiment.config(run, 1, tmp_path) for run in ("both", "both_1"))
    assert isinstance(both, PretrainConfig)
    assert alone == replace(both, frames_apart=True)


def test_augmentations_arms_differ_in_their_clips_alone(tmp_path: Path) -> None:
    experiment = read_experiment(FOLDER / "augmentation")
    configs = {name: experiment.config(name, 1, tmp_path) for name in experiment.runs}
    fine = {name: one for name, one in configs.items() if isinstance(one, FinetuneConfig)}
    assert {experiment.runs[name].init for name in fine} == {"image"}
    for name, one in fine.items():
        assert replace(one, clip=fine["fine_180"].clip) == fine["fine_180"], name
    assert len({one.clip for one in fine.values()}) == len(fine)


def test_pseudo_clips_of_one_start_differ_in_augmentation_alone(tmp_path: Path) -> None:
    experiment = read_experiment(FOLDER / "pseudo_clips")
    configs = {name: experiment.config(name, 1, tmp_path) for name in experiment.runs}
    pre = {name: one for name, one in configs.items() if isinstance(one, PretrainConfig)}
    start = pre.pop("start")
    assert {experiment.runs[name].init for name in pre} == {"start"}
    assert len({frames(one) for one in pre.values()}) == 1
    still, rotation = pre.pop("still"), pre["rotation"]
    assert start == replace(still, train=replace(still.train, steps=start.train.steps))
    assert still.temporal is None
    assert (still.clip.num_frames, still.clip.max_rotation_deg) == (1, 0.0)
    for name, one in pre.items():
        assert replace(one, clip=rotation.clip) == rotation, name
    assert len({one.clip for one in pre.values()}) == len(pre)


def test_test_clips_are_others_for_each_seed() -> None:
    for name in NAMES:
        experiment = read_experiment(FOLDER / name)
        if experiment.files is None:
            assert 0 not in experiment.seeds  # settings are chosen on it
            assert len({experiment.data(seed).seed for seed in experiment.seeds}) == len(
                experiment.seeds
            )
