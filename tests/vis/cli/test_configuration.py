"""Flags and files: `--help` lists every key, and every mistake names its key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from vis.support.tiny_runs import (
    MODEL,
    finetune_config,
)

from vidgap_vis.cli.main import main
from vidgap_vis.config import FinetuneConfig, PretrainConfig, PseudoExportConfig
from vidgap_vis.config.reading import to_mapping, write_yaml
from vidgap_vis.synthetic import SyntheticOptions, world

Fails = Callable[..., str]

SECTIONS = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "data pseudo": PseudoExportConfig,
    "data synthetic": SyntheticOptions,
}


@pytest.mark.parametrize("name", SECTIONS)
def test_help_lists_every_key_with_its_text_and_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*name.split(), "--help"]) == 0
    told = " ".join(capsys.readouterr().out.partition("options:\n")[2].split())
    said = dict(re.findall(r"(--\S+) VALUE (\S.*?; (?:default: [^)]+|required)\))", told))

    def check(section: type, around: str) -> None:
        for name, kind in get_type_hints(section).items():
            if name == "key":
                continue  # where a section stands
            inner = [part for part in (kind, *get_args(kind)) if is_dataclass(part)]
            if kind not in inner:
                assert f"--{around}{name}" in said
            for part in inner:
                check(part, f"{around}{name}.")  # type: ignore[arg-type]

    check(SECTIONS[name], "")
    if name == "finetune":  # the stage's own default, not the section's
        assert said["--train.steps"] == "optimiser steps. (a whole number; default: 16000)"
        assert "(one of half, adjacent, or null; default: null)" in said["--temporal.pairing"]


FLAGS = {
    "--clip.num_framez 3": "--clip.num_framez: unknown option (did you mean --clip.num_frames?)",
    "--clip.num_frames many": "--clip.num_frames: wanted a whole number, got 'many'",
    "--clip.num_frames=0": "--clip.num_frames: wanted a number above 0, got 0",
    "--clip.size [3,x]": "--clip.size[1]: wanted a whole number, got 'x'",
    "--temporal.windows 3": "--temporal.windows: unknown option "
    "(did you mean --temporal.window_size?)",
    "--temporal.pairing odd": "--temporal.pairing: wanted one of half, adjacent, or null, "
    "got 'odd'",
    "--temporal {windows: 3}": "--temporal.windows: unknown key (did you mean window_size?)",
    "--train.seed [3": "--train.seed: cannot be read, got '[3'",
    "--train.lr": "argument --train.lr: expected one argument",
    "--trian.lr 3": "--trian.lr: unknown option (did you mean --train.lr?)",
    "--oot x": "--oot: unknown option (did you mean --out?)",
    "surplus": "unrecognized arguments: surplus",
}


@pytest.mark.parametrize(("words", "line"), FLAGS.items(), ids=FLAGS)
def test_a_wrong_flag_is_named(config: Path, fails: Fails, words: str, line: str) -> None:
    assert fails(2, "pretrain", "-c", config, *words.split(" ", 1)) == line


def test_flags_win_over_the_file(config: Path, tmp_path: Path) -> None:
    words = ["--temporal", "null", "--train.lr", "2e-4", "--clip.size", "[16, 24]"]
    assert main(["pretrain", "-c", str(config), *words, "--out", str(tmp_path / "run")]) == 0
    said = json.loads((tmp_path / "run" / "provenance.json").read_text())["config"]
    assert said["temporal"] is None
    assert (said["train"]["lr"], said["clip"]["size"]) == (2e-4, [16, 24])
    assert said["model"]["backbone"] == MODEL.backbone


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("num_frames:", "num_framez:", "clip.num_framez: unknown key (did you mean num_frames?)"),
        ("num_frames: 2", "num_frames: two", "clip.num_frames: wanted a whole number, got 'two'"),
        ("num_frames: 2", "num_frames: -2", "clip.num_frames: wanted a number above 0, got -2"),
        ("window_size", "windows", "temporal.windows: unknown key (did you mean window_size?)"),
        ("test_resnet", "resnot", "model: backbone must be a Swin size or a network of timm, "
         "got 'resnot'"),
        ("test_resnet", "resnet50.foo", "model: Invalid pretrained tag (foo) for resnet50."),
    ],
    ids=["key", "type", "range", "optional section", "backbone", "tag"],
)  # fmt: skip
def test_a_mistake_in_the_file_names_the_file(
    config: Path, fails: Fails, old: str, new: str, line: str
) -> None:
    config.write_text(config.read_text().replace(old, new))
    assert fails(2, "pretrain", "-c", config) == f"{config}: {line}"


def test_a_broken_or_missing_file_is_named(config: Path, fails: Fails) -> None:
    config.write_text("clip: [3\n")
    assert fails(2, "pretrain", "-c", config).startswith(f"{config}: line 2, column 1: broken YAML")
    config.unlink()
    assert fails(2, "pretrain", "-c", config) == (
        f"{config}: cannot be read (No such file or directory)"
    )


def test_what_is_missing_is_said(fails: Fails, config: Path, videos: Path, tmp_path: Path) -> None:
    assert fails(2, "pretrain") == "--data.root: missing; give it here or in a file with -c"
    assert fails(2, "evaluate", "x.json") == "--gt: missing"
    assert fails(2, "evaluate") == "RESULTS: missing"
    write_yaml(tmp_path / "f.yaml", to_mapping(finetune_config(videos)))
    assert fails(2, "finetune", "-c", tmp_path / "f.yaml") == (
        "--init: missing, wanted the weights folder to start from"
    )
    ratio = ["--data.root", videos, "--data.pseudo.ratio", "2"]
    assert fails(2, "finetune", *ratio).startswith("--data.pseudo.root: missing")
    assert fails(1, "pretrain", "-c", config, "--data.root", "/nowhere").startswith("/nowhere/")


def test_synthetic_options_are_checked(tmp_path: Path, fails: Fails) -> None:
    out = ["data", "synthetic", "--out", tmp_path / "s"]
    assert fails(2, *out, "--sed", 3) == "--sed: unknown option (did you mean --seed?)"
    assert fails(2, *out, "--seed", "x") == "--seed: wanted a whole number, got 'x'"
    assert "seed must be 0 or more, got -1" in fails(2, *out, "--seed", -1)
    assert not (tmp_path / "s").exists()


def test_a_world_is_taken_as_it_is(
    tmp_path: Path, run: Callable[..., list[str]], fails: Callable[..., str]
) -> None:
    start = ("data", "synthetic", "--out", tmp_path / "w", "--world", "hard_1")
    counts = [f"--num_{name}=0" for name in ("train_images", "valid_images", "train_clips")]
    run(*start, *counts, "--num_valid_clips", 1)
    clips = json.loads((tmp_path / "w" / "clips_valid.json").read_text())
    assert clips["videos"][0]["length"] == world("hard_1").num_frames
    said = fails(2, *start, "--max_speed", "0.1")
    assert said == "--max_speed: is fixed by --world hard_1"
