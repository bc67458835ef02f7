"""`vidgap weights convert` of official files with a learned tracker, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from vis.support.learned_heads import small_head
from vis.support.networks import SIZES, same_weights

from vidgap_segmenter import Mask2Former, convert
from vidgap_segmenter.weights import read_state_dict
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.weights import Usage, load, load_head
from vidgap_vis.weights.official_heads.files import PREFIXES, official_names

Run = Callable[..., list[str]]
Write = Callable[..., Path]

OF_FILES = ("dvis", "dvis_offline", "vita", "genvis")
TITLES = {
    "dvis": "DVIS's tracker: ",
    "dvis_offline": "DVIS's tracker and refiner: ",
    "vita": "VITA's head: ",
    "genvis": "GenVIS's head: ",
}


@pytest.fixture
def write(network: Mask2Former, tmp_path: Path) -> Write:
    """Write an official file of a head beside the network, and return it."""

    def write(head: LearnedHead, **more: torch.Tensor) -> Path:
        path = tmp_path / "model_final.pkl"
        convert.write_official(network, path, official_names(head) | more)
        return path

    return write


@pytest.mark.parametrize("kind", OF_FILES)
def test_a_file_becomes_a_folder_with_head_and_tracker(
    kind: str, network: Mask2Former, write: Write, run: Run, tmp_path: Path
) -> None:
    head = small_head(kind, network)
    criteria = {f"{name}.empty_weight": torch.ones(4) for name in ("criterion", "vita_criterion")}
    out = tmp_path / "weights"
    said = run("weights", "convert", write(head, **criteria), "--out", out, "--no_check")
    num = len(official_names(head))
    assert f"{TITLES[kind]}{num} weights taken over" in said
    assert f"tracker: name={kind}" in said
    model, _ = load(out)
    found = load_head(out, model)
    assert found is not None
    assert same_weights(model, network)
    assert found.config == head.config
    assert all(torch.equal(found.state_dict()[n], t) for n, t in head.state_dict().items())
    assert Usage.read(out).tracker == {"name": kind}
    provenance = json.loads((out / "provenance.json").read_text())
    assert f"{TITLES[kind]}{num} weights taken over" in provenance["report"]


@pytest.mark.parametrize("kind", OF_FILES)
def test_a_folder_with_a_head_goes_back(
    kind: str, network: Mask2Former, write: Write, run: Run, fails: Callable[..., str],
    tmp_path: Path,
) -> None:  # fmt: skip
    head = small_head(kind, network)
    source, out = write(head), tmp_path / "weights"
    run("weights", "convert", source, "--out", out, "--no_check")
    run("weights", "export", out, "--to", "official", "--out", tmp_path / "back.pkl")
    one, other = read_state_dict(source), read_state_dict(tmp_path / "back.pkl")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    if kind == "vita":
        words = ("--to", "hugging_face", "--out", tmp_path / "folder")
        said = fails(1, "weights", "export", out, *words)
        assert said.endswith("Hugging Face's folders have no place for VITA's head")


@pytest.mark.parametrize("kind", OF_FILES)
def test_the_folder_predicts_with_its_tracker(
    kind: str, network: Mask2Former, write: Write, run: Run, tmp_path: Path
) -> None:
    out, clip = tmp_path / "weights", tmp_path / "clip"
    source = write(small_head(kind, network))
    run("weights", "convert", source, "--out", out, "--no_check")
    clip.mkdir()
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(clip / f"{index}.png"), picture)
    results = tmp_path / "results.json"
    run("predict", clip, "--model", out, "--json", results, "--device", "cpu", "--top_k", 4)
    assert 1 <= len(json.loads(results.read_text())) <= 4


def test_the_tracker_can_be_chosen(
    source: Path, network: Mask2Former, write: Write, run: Run, fails: Callable[..., str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """MinVIS's files are a Mask2Former's."""
    said = run("weights", "convert", source, "--out", tmp_path / "a", "--no_check")
    assert not any(line.startswith("tracker: ") for line in said)
    words = ("--no_check", "--tracker", "minvis")
    said = run("weights", "convert", source, "--out", tmp_path / "b", *words)
    assert "tracker: name=minvis" in said
    assert Usage.read(tmp_path / "b").tracker == {"name": "minvis"}
    line = fails(
        2, "weights", "convert", source, "--out", tmp_path / "c", "--no_check", "--tracker", "vita"
    )
    assert line == "tracker.name: vita wants weights with VITA's head, these have none"
    assert not (tmp_path / "c").exists()
    genvis = write(small_head("genvis", network))
    words = ("--no_check", "--tracker.clip_frames", 3)
    said = run("weights", "convert", genvis, "--out", tmp_path / "d", *words)
    assert "tracker: name=genvis, clip_frames=3" in said


def test_what_is_wrong_with_a_file_is_named(
    network: Mask2Former, write: Write, fails: Callable[..., str], tmp_path: Path
) -> None:
    head = small_head("dvis_offline", network)
    words = ("--out", tmp_path / "weights", "--no_check")
    extra = write(head, **{"tracker.extra.weight": torch.zeros(1)})
    said = fails(1, "weights", "convert", extra, *words)
    assert said.endswith("no table of DVIS knows tracker.extra.weight")
    only = tmp_path / "refiner.pkl"
    names = official_names(head)
    refiner = {name: t for name, t in names.items() if name.startswith("refiner.")}
    convert.write_official(network, only, refiner)
    said = fails(1, "weights", "convert", only, *words)
    assert said.endswith("state must hold DVIS's `tracker.` weights, got none")
    other = small_head("vita", Mask2Former("resnet18", num_classes=3, **SIZES | {"channels": 64}))
    said = fails(1, "weights", "convert", write(other), *words)
    assert said.endswith("channels must be 32, as the segmenter has, got 64")
    other = small_head("vita", Mask2Former("resnet18", num_classes=3, **SIZES | {"num_queries": 4}))
    said = fails(1, "weights", "convert", write(other), *words)
    assert said.endswith("num_frame_queries must be 9, as the segmenter has, got 4")
    said = fails(2, "weights", "convert", write(head), *words, "--num_classes", 2)
    assert said.startswith("--num_classes: cannot change beside a head")
    assert not (tmp_path / "weights").exists()


def test_no_name_of_a_segmenter_is_a_head_s(network: Mask2Former) -> None:
    names = convert.to_official(network)
    assert not any(name.startswith(PREFIXES) for name in names)
