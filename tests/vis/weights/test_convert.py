"""`vidgap weights`: weights of others become a folder that works; every mistake is one line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipSegmenter, Mask2Former, MaskDINO, convert
from vidgap_segmenter.mask_dino import Anchors
from vidgap_vis.classes import from_categories
from vidgap_vis.cli.main import main
from vidgap_vis.cli.weights import ANCHORS
from vidgap_vis.weights import load, save

SIZES = {
    "channels": 32,
    "num_queries": 9,
    "num_encoder_layers": 1,
    "encoder_ffn_channels": 16,
    "num_decoder_layers": 2,
    "decoder_ffn_channels": 16,
}
Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def network() -> Mask2Former:
    torch.manual_seed(0)
    return Mask2Former("resnet18", num_classes=3, **SIZES).eval()


@pytest.fixture(scope="module")
def source(network: Mask2Former, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An official file of three classes."""
    path = tmp_path_factory.mktemp("official") / "model_final.pkl"
    convert.write_official(network, path)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line that must succeed; return its lines on stdout."""

    def run(*words: object) -> list[str]:
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line that must fail; return what it says on stderr, without `vidgap: `."""

    def run(code: int, *words: object) -> str:
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("vidgap: ")
        return said.err.removeprefix("vidgap: ").rstrip("\n")

    return run


def same_weights(one: ClipSegmenter, other: ClipSegmenter) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_an_official_file_becomes_a_weights_folder(
    source: Path, network: Mask2Former, run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    out = tmp_path / "weights"
    said = run("weights", "convert", source, "--out", out)
    assert said[0].startswith("the official Mask2Former: resnet18, 3 classes; ")
    assert said[0].endswith(" weights taken over, 0 left out, 0 start afresh")
    assert said[-3] == (
        "classes: class 0, class 1, class 2 (numbers, as nothing names them: see --classes)"
    )
    assert said[-2].startswith("parity with Hugging Face: class logits ")
    assert said[-1] == str(out)
    model, classes = load(out)
    assert same_weights(model, network)
    assert [info.name for info in classes] == ["class 0", "class 1", "class 2"]
    provenance = json.loads((out / "provenance.json").read_text())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert provenance["sha256"] == {"model_final.pkl": digest}
    assert provenance["report"] == said[:-3]
    assert provenance["parity"] == said[-2]


def test_the_folder_predicts(source: Path, run: Run, tmp_path: Path) -> None:
    run("weights", "convert", source, "--out", tmp_path / "weights", "--no_check")
    frames = tmp_path / "clip"
    frames.mkdir()
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(frames / f"{index}.png"), picture)
    results = tmp_path / "results.json"
    run("predict", frames, "--model", tmp_path / "weights", "--json", results, "--device", "cpu")
    assert isinstance(json.loads(results.read_text()), list)


def test_another_number_of_classes_is_said_and_is_the_same_each_time(
    source: Path, network: Mask2Former, run: Run, tmp_path: Path
) -> None:
    words = ("--num_classes", 2, "--classes", "cat, dog", "--no_check")
    said = run("weights", "convert", source, "--out", tmp_path / "one", *words)
    assert "2 start afresh" in said[0]
    assert "  starts afresh  decoder.class_embed.bias    the source has 3 classes, not 2" in said
    assert said[-3] == "classes: cat, dog (as given)"
    assert said[-2] == "no check, as asked"
    run("weights", "convert", source, "--out", tmp_path / "two", *words)
    (one, classes), (two, _) = load(tmp_path / "one"), load(tmp_path / "two")
    assert [info.name for info in classes] == ["cat", "dog"]
    assert same_weights(one, two)
    assert one.num_classes == 2
    assert torch.equal(one.decoder.norm.weight, network.decoder.norm.weight)


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


def test_what_no_weight_of_mask_dino_tells_can_be_given(
    source: Path, run: Run, fails: Callable[..., str], tmp_path: Path
) -> None:
    network = MaskDINO("resnet18", num_classes=2, **SIZES)
    convert.write_official(network, tmp_path / "dino.pkl")
    words = ("weights", "convert", tmp_path / "dino.pkl", "--out", tmp_path / "weights")
    said = run(*words, "--anchors", "bitmask", "--num_queries", 9)
    assert [line.split()[:2] for line in said if "no weight tells" in line] == [
        ["assumed", "num_heads=8"],
        ["given", "num_queries=9"],
        ["given", "anchors=bitmask"],
    ]
    model, _ = load(tmp_path / "weights")
    assert (model.config["anchors"], model.config["num_queries"]) == ("bitmask", 9)
    said = run(*words, "--overwrite")
    assumed = [line.split(maxsplit=2)[1:] for line in said if "assumed" in line]
    assert assumed == [
        [setting, "no weight tells; as in the official configuration"]
        for setting in ("num_heads=8", "num_queries=300", "anchors=mask2box")
    ]
    assert get_args(Anchors) == ANCHORS
    words = ("weights", "convert", source, "--out", tmp_path / "w")
    for flag, value in [("--anchors", "bitmask"), ("--num_queries", 9)]:
        said = fails(2, *words, flag, value)
        assert said == f"{flag}: weights of the official Mask2Former leave no choice"
    assert "--num_queries: wanted 1 or more, got 0" in fails(2, *words, "--num_queries", 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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


@pytest.mark.parametrize(
    ("apart", "shown"), [((1e-14, 2e-3), "2e-03"), ((1e-14, nan), "nan"), ((nan, 1e-14), "1e-14")]
)
def test_a_network_that_differs_from_the_source_is_not_written(
    apart: tuple[float, float],
    shown: str,
    source: Path,
    fails: Callable[..., str],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(convert, "parity", lambda *_: convert.Parity(*apart))
    said = fails(1, "weights", "convert", source, "--out", tmp_path / "weights")
    assert f"mask logits {shown} standard deviations apart" in said
    assert said.endswith("another network (--no_check converts it anyway)")
    assert list(tmp_path.iterdir()) == []
    run("weights", "convert", source, "--out", tmp_path / "weights", "--no_check")


def test_weights_that_are_no_numbers_are_not_written(
    network: Mask2Former, fails: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    state = convert.to_official(network)
    name = "sem_seg_head.pixel_decoder.mask_features.bias"
    torch.save(state | {name: torch.full_like(state[name], nan)}, tmp_path / "m.pth")
    said = fails(1, "weights", "convert", tmp_path / "m.pth", "--out", tmp_path / "weights")
    assert "mask logits nan standard deviations apart" in said
    assert not (tmp_path / "weights").exists()


def test_what_does_not_fit_is_a_table(
    network: Mask2Former, fails: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    state = convert.to_official(network)
    state["sem_seg_head.predictor.extra.weight"] = state.pop("backbone.stem.conv1.weight")
    torch.save(state, tmp_path / "m.pth")
    out = tmp_path / "weights"
    headline, *table = fails(1, "weights", "convert", tmp_path / "m.pth", "--out", out).splitlines()
    assert headline.endswith("m.pth: weights do not fit the model: 1 missing, 1 unexpected")
    assert [line.split() for line in table] == [
        ["missing", "backbone.body.conv1.weight"],
        ["unexpected", "sem_seg_head.predictor.extra.weight"],
    ]
    assert not out.exists()
    state["backbone.stem.conv1.weight"] = torch.ones(64, 3, 7, 7)
    torch.save(state, tmp_path / "m.pth")
    words = ("--no_check", "--leave_out", "sem_seg_head.predictor.extra.")
    said = run("weights", "convert", tmp_path / "m.pth", "--out", out, *words)
    assert ["left", "out", "sem_seg_head.predictor.extra.weight"] in [x.split()[:3] for x in said]
    state["sem_seg_head.predictor.mask_embed.layers.1.scale"] = torch.ones(1)
    torch.save(state, tmp_path / "m.pth")
    words = (*words[:-1], "sem_seg_head.predictor.extra.,sem_seg_head.predictor.mask_embed.layers")
    said = run("weights", "convert", tmp_path / "m.pth", "--out", tmp_path / "two", *words)
    assert ["left", "out", "decoder.mask_embed.2.scale"] in [line.split()[:3] for line in said]


def test_mistakes_are_one_line(source: Path, fails: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "weights"
    (tmp_path / "cut.pkl").write_bytes(source.read_bytes()[:-1000])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "classes.json").write_text('{"categories": []}')
    for code, words, wanted in [
        (1, [tmp_path / "no.pkl", "--out", out], "no.pkl: No such file or directory"),
        (1, [tmp_path / "cut.pkl", "--out", out], "cut.pkl: cannot be read as tensors alone: "),
        (1, [source, "--out", tmp_path / "full"], "full: the output folder is not empty; choose"),
        (1, [source, "--out", out, "--num_heads", "7"], "num_heads must divide the 32 samples"),
        (2, [source, "--out", out, "--num_classes", "0"], "--num_classes: wanted 1 or more, got 0"),
        (2, [source, "--out", out, "--classes", "a,b"], "--classes: names 2 classes, the weights"),
        (2, [source, "--out", out, "--classes", "a,b,a"], "--classes: names must differ, got 'a'"),
        (2, [source, "--out", out, "--classes", ","], "--classes: wanted a file or names as cat,"),
        (
            1,
            [source, "--out", out, "--classes", tmp_path / "classes.json"],
            "classes.json: categories: empty; at least one category is wanted",
        ),
        (1, [source, "--out", out, "--classes", "nams.txt"], "nams.txt: no such file (--classes"),
        (2, [source], "--out: missing"),
        (2, [], "SOURCE: missing"),
    ]:
        said = fails(code, "weights", "convert", *words)
        assert wanted in said
        assert "\n" not in said
        assert not out.exists()
    assert "one of: weights convert, weights export" in fails(2, "weights")
    said = fails(1, "weights", "export", tmp_path, "--to", "official", "--out", tmp_path / "x.pkl")
    assert "not a weights folder" in said


def test_what_a_format_cannot_hold_is_named(fails: Callable[..., str], tmp_path: Path) -> None:
    network = Mask2Former("resnet18", num_classes=1, embedding_dim=8, **SIZES)
    save(tmp_path / "weights", network, from_categories([(1, "cat")]), {})
    words = ("weights", "export", tmp_path / "weights", "--out", tmp_path / "out", "--to")
    assert "decoder.embedding_head.0.weight has no name" in fails(1, *words, "hugging_face")
    assert not (tmp_path / "out").exists()
