"""`vidgap weights export`, there and back; nothing that is read is replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from vis.support.networks import SIZES, same_weights

from vidgap_segmenter import Mask2Former, MaskDINO, convert
from vidgap_vis.classes import from_categories
from vidgap_vis.weights import load, save

Run = Callable[..., list[str]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_mask_dino_comes_and_goes(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MaskDINO("resnet18", num_classes=2, **(SIZES | {"num_queries": 300})).eval()
    convert.write_official(network, tmp_path / "dino.pkl")
    said = run("weights", "convert", tmp_path / "dino.pkl", "--out", tmp_path / "weights")
    assert said[0].startswith("the official Mask DINO: resnet18, 2 classes; ")
    assert said[-2] == "no check against Hugging Face: it has no MaskDINO"
    assert ["assumed", "anchors=mask2box"] in [line.split()[:2] for line in said]
    model, _ = load(tmp_path / "weights")
    assert same_weights(model, network)
    run("weights", "export", tmp_path / "weights", "--to", "official", "--out", tmp_path / "2.pkl")
    again, _ = convert.read(tmp_path / "2.pkl").build()
    assert same_weights(again, network)


def test_a_source_is_never_replaced(
    source: Path, run: Run, fails: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    (folder / "deep").mkdir(parents=True)
    copy = folder / "deep" / "model.pkl"
    copy.write_bytes(source.read_bytes())
    os.symlink(folder, tmp_path / "link")
    for out in (folder, folder / "deep", tmp_path / "link", copy.parent / ".." / "deep"):
        words = ("weights", "convert", copy, "--out", out, "--no_check", "--overwrite")
        assert "is or holds the source, and would replace it" in fails(2, *words)
    assert contents(copy.parent) == {"model.pkl": source.read_bytes()}

    ours = tmp_path / "ours"
    run("weights", "convert", copy, "--out", ours, "--no_check")
    before = contents(ours)
    for to, out in [
        ("hugging_face", ours),
        ("hugging_face", tmp_path),
        ("official", ours / "model.safetensors"),
    ]:
        words = ("weights", "export", ours, "--to", to, "--out", out, "--overwrite")
        assert "is or holds the source, and would replace it" in fails(2, *words)
    assert contents(ours) == before


def test_an_export_replaces_only_what_it_is_told_to(
    source: Path, run: Run, fails: Callable[..., str], tmp_path: Path
) -> None:
    run("weights", "convert", source, "--out", tmp_path / "weights", "--no_check")
    words = ("weights", "export", tmp_path / "weights", "--to", "official", "--out")
    (tmp_path / "x.pkl").write_text("mine")
    said = fails(1, *words, tmp_path / "x.pkl")
    assert said.endswith("x.pkl: the file exists; choose another, or --overwrite replaces it")
    assert (tmp_path / "x.pkl").read_text() == "mine"
    words_of_theirs = ("weights", "export", tmp_path / "weights", "--to", "hugging_face", "--out")
    assert "a folder is wanted here, got a file" in fails(1, *words_of_theirs, tmp_path / "x.pkl")
    run(*words, tmp_path / "x.pkl", "--overwrite")
    assert (tmp_path / "x.pkl").read_bytes() == source.read_bytes()


def test_weights_go_to_hugging_face_and_come_back(
    source: Path, network: Mask2Former, run: Run, tmp_path: Path
) -> None:
    first, theirs, second = (tmp_path / name for name in ("first", "theirs", "second"))
    run("weights", "convert", source, "--out", first, "--classes", "cat,dog,cow", "--no_check")
    assert run("weights", "export", first, "--to", "hugging_face", "--out", theirs) == [str(theirs)]
    said = run("weights", "convert", theirs, "--out", second, "--no_check")
    assert said[-3] == "classes: cat, dog, cow (from the source)"
    model, classes = load(second)
    assert same_weights(model, network)
    assert [info.name for info in classes] == ["cat", "dog", "cow"]
    digests = json.loads((second / "provenance.json").read_text())["sha256"]
    assert set(digests) == {"model.safetensors", "config.json"}


def test_what_a_format_cannot_hold_is_named(fails: Callable[..., str], tmp_path: Path) -> None:
    network = Mask2Former("resnet18", num_classes=1, embedding_dim=8, **SIZES)
    save(tmp_path / "weights", network, from_categories([(1, "cat")]), {})
    words = ("weights", "export", tmp_path / "weights", "--out", tmp_path / "out", "--to")
    assert "decoder.embedding_head.0.weight has no name" in fails(1, *words, "hugging_face")
    assert not (tmp_path / "out").exists()
