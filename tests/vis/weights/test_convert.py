"""`vidgap weights convert`: weights of others become a folder that works."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from vis.support.networks import SIZES, same_weights

from vidgap_segmenter import Mask2Former, Mask2FormerVIS, MaskDINO, convert
from vidgap_segmenter.mask_dino import Anchors
from vidgap_vis.cli.main import main
from vidgap_vis.config import network as config
from vidgap_vis.weights import load

Run = Callable[..., list[str]]


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


def test_a_mask2former_is_one_of_clips_on_request(
    source: Path, network: Mask2Former, run: Run, fails: Callable[..., str], tmp_path: Path
) -> None:
    words = ("weights", "convert", source, "--out", tmp_path / "weights", "--architecture")
    said = run(*words, "mask2former_vis")
    assert said[-2] == "no check against Hugging Face: it has no Mask2FormerVIS"
    model, _ = load(tmp_path / "weights")
    assert isinstance(model, Mask2FormerVIS)
    assert same_weights(model, network)
    run("weights", "export", tmp_path / "weights", "--to", "official", "--out", tmp_path / "m.pkl")
    assert (tmp_path / "m.pkl").read_bytes() == source.read_bytes()
    assert "invalid choice: 'seqformer'" in fails(2, *words, "seqformer")


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
    assert get_args(Anchors) == get_args(config.Anchors)
    words = ("weights", "convert", source, "--out", tmp_path / "w")
    for flag, value in [("--anchors", "bitmask"), ("--num_queries", 9)]:
        said = fails(2, *words, flag, value)
        assert said == f"{flag}: weights of the official Mask2Former leave no choice"
    assert "--num_queries: wanted 1 or more, got 0" in fails(2, *words, "--num_queries", 0)


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
    network: Mask2Former, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = convert.to_official(network)
    state["sem_seg_head.predictor.extra.weight"] = state.pop("backbone.stem.conv1.weight")
    torch.save(state, tmp_path / "m.pth")
    out = tmp_path / "weights"
    assert main(["weights", "convert", str(tmp_path / "m.pth"), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    headline, *table = said.err.splitlines()
    assert headline.startswith("vidgap: ")
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
        (1, [tmp_path / "no.pkl", "--out", out], "no.pkl: no such file or folder"),
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
