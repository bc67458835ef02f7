"""Configurations: defaults, YAML in and out, and what a mistake reads like."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from vis.support.tiny_runs import finetune_config, pretrain_config

from vidgap_vis.cli.parser import Parser
from vidgap_vis.config import (
    FinetuneConfig,
    PretrainConfig,
    PseudoDataConfig,
    TemporalConfig,
    TrainConfig,
    VideoDataConfig,
)
from vidgap_vis.config.reading import to_mapping, write_yaml
from vidgap_vis.errors import ConfigError

Config = TypeVar("Config")


def read(path: Path, section: type[Config]) -> Config:
    """Read a file as `-c` does."""
    parser = Parser(prog="vidgap")
    parser.add_section(section)
    return parser.configuration(parser.parse(["-c", str(path)]), section)


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {root: .}\n")
    pretrain = read(path, PretrainConfig)
    finetune = read(path, FinetuneConfig)
    assert (pretrain.clip.num_frames, pretrain.clip.max_rotation_deg) == (3, 15.0)
    assert (pretrain.clip.size, pretrain.clip.scale_range) == ((1024, 1024), (0.1, 2.0))
    assert (pretrain.train.steps, pretrain.train.milestones) == (368_750, (327_778, 355_092))
    assert (finetune.train.steps, finetune.train.milestones) == (16_000, (6_000, 12_000))
    assert (finetune.clip.num_frames, finetune.clip.frame_range) == (10, 20)
    for config in (pretrain, finetune):
        train = config.train
        assert (train.batch_size, train.lr, train.weight_decay) == (16, 1e-4, 0.05)
        assert (train.backbone_multiplier, train.clip_norm) == (0.1, 0.01)
        assert config.temporal == TemporalConfig()


def test_a_section_given_in_part_keeps_the_stages_own_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {root: .}\ntrain: {lr: 3e-4}\n")
    train = read(tmp_path / "run.yaml", FinetuneConfig).train
    assert train == replace(FinetuneConfig(VideoDataConfig(Path())).train, lr=3e-4)


@pytest.mark.parametrize("temporal", [None, TemporalConfig(gru_channels=8)], ids=["off", "on"])
def test_yaml_gives_back_an_equal_configuration(
    tmp_path: Path, temporal: TemporalConfig | None
) -> None:
    config = replace(pretrain_config(tmp_path), temporal=temporal)
    write_yaml(tmp_path / "run.yaml", to_mapping(config))
    assert read(tmp_path / "run.yaml", PretrainConfig) == config


def test_yaml_gives_back_nested_sections_and_integer_keys(tmp_path: Path) -> None:
    config = finetune_config(tmp_path)
    pseudo = PseudoDataConfig(tmp_path, ratio=0.5, category_map={3: 7})
    config = replace(config, data=replace(config.data, pseudo=pseudo))
    write_yaml(tmp_path / "run.yaml", to_mapping(config))
    assert read(tmp_path / "run.yaml", FinetuneConfig) == config


def test_numbers_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {root: .}\ntrain: {lr: 1e-3, weight_decay: 0}\n")
    train = read(tmp_path / "run.yaml", PretrainConfig).train
    assert (train.lr, train.weight_decay) == (1e-3, 0.0)
    assert isinstance(train.weight_decay, float)


MISTAKES = {
    "clip: {num_framez: 3}": "clip.num_framez: unknown key (did you mean num_frames?)",
    "clipp: {}": "clipp: unknown key (did you mean clip?)",
    "qwxyz: 1": "qwxyz: unknown key (known: data, clip, model, temporal, loss, train)",
    "clip: 3": "clip: wanted a section of `key: value` lines, got 3",
    "clip: {num_frames: many}": "clip.num_frames: wanted a whole number, got 'many'",
    "clip: {num_frames: 2.5}": "clip.num_frames: wanted a whole number, got 2.5",
    "clip: {num_frames: true}": "clip.num_frames: wanted a whole number, got True",
    "clip: {num_frames: 0}": "clip.num_frames: wanted a number above 0, got 0",
    "clip: {flip_probability: 1.5}": "clip.flip_probability: wanted a number in 0..1, got 1.5",
    "clip: {max_rotation_deg: fast}": "clip.max_rotation_deg: wanted a number, got 'fast'",
    "clip: {max_rotation_deg: .nan}": "clip.max_rotation_deg: wanted an angle in 0..180, got nan",
    "clip: {size: [1, 2, 3]}": "clip.size: wanted a list of 2, each a whole number, or null, "
    "got [1, 2, 3]",
    "clip: {size: [1, b]}": "clip.size[1]: wanted a whole number, got 'b'",
    "clip: {scale_range: [2, 1]}": "clip.scale_range: wanted [low, high] within 0.001..1000, "
    "got (2.0, 1.0)",
    "model: {train_backbone: maybe}": "model.train_backbone: wanted true or false, got 'maybe'",
    "model: {num_heads: 3}": "model.channels: wanted a multiple of model.num_heads (3), got 256",
    "temporal: {pairing: odd}": "temporal.pairing: wanted one of half, adjacent, got 'odd'",
    "temporal: {num_gru_layers: -1}": "temporal.num_gru_layers: wanted 0 or more layers, got -1",
    "train: {steps: 10}": "train.milestones: wanted steps below train.steps (10), "
    "got (327778, 355092)",
    "train: {precision: no}": "train.precision: wanted one of fp32, bf16, fp16, got False",
    "train: {num_threads: 0}": "train.num_threads: wanted 1 or more, or null, got 0",
    "loss: {importance: 2}": "loss.importance: wanted a number in 0..1, got 2.0",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_names_file_key_and_what_is_wanted(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: .}}\n{line}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: {message}")) as caught:
        read(path, PretrainConfig)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


FILES = {
    "clip: [3\n": "line 2, column 1: broken YAML",
    "clip: {}\ntrain: {}\nclip: {}\n": "line 3, column 1: broken YAML: key 'clip' stands twice",
    "- 3\n": "wanted sections as `key: value`, got [3]",
    "data: !!python/object:os.system {}\n": "broken YAML: could not determine a constructor",
}


@pytest.mark.parametrize(("content", "message"), FILES.items(), ids=[repr(key) for key in FILES])
def test_a_broken_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: .*{re.escape(message)}"):
        read(path, PretrainConfig)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe\x00")])
def test_what_is_no_text_file_is_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=r"run\.yaml: (cannot be read|not a text file)"):
        read(tmp_path / "run.yaml", PretrainConfig)


def test_sections_check_themselves_in_python_too() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: wanted a number above 0, got 0"):
        TrainConfig(batch_size=0)
    with pytest.raises(ConfigError, match=r"data\.pseudo\.ratio: wanted a number above 0"):
        PseudoDataConfig(Path(), ratio=-1)
