"""`vidgap weights`: weights of others become a folder that works; every mistake is one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipSegmenter, Mask2Former, MaskDINO, convert
from vidgap_vis import build
from vidgap_vis.classes import ClassList, from_categories
from vidgap_vis.cli import main
from vidgap_vis.weights_classes import name_classes, read_names

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
    model, classes = build.load(out)
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
    (one, classes), (two, _) = build.load(tmp_path / "one"), build.load(tmp_path / "two")
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
    model, _ = build.load(tmp_path / "weights")
    assert same_weights(model, network)
    run("weights", "export", tmp_path / "weights", "--to", "official", "--out", tmp_path / "2.pkl")
    again, _ = convert.read(tmp_path / "2.pkl").build()
    assert same_weights(again, network)


def test_weights_go_to_hugging_face_and_come_back(
    source: Path, network: Mask2Former, run: Run, tmp_path: Path
) -> None:
    first, theirs, second = (tmp_path / name for name in ("first", "theirs", "second"))
    run("weights", "convert", source, "--out", first, "--classes", "cat,dog,cow", "--no_check")
    assert run("weights", "export", first, "--to", "hugging_face", "--out", theirs) == [str(theirs)]
    said = run("weights", "convert", theirs, "--out", second, "--no_check")
    assert said[-3] == "classes: cat, dog, cow (from the source)"
    model, classes = build.load(second)
    assert same_weights(model, network)
    assert [info.name for info in classes] == ["cat", "dog", "cow"]
    digests = json.loads((second / "provenance.json").read_text())["sha256"]
    assert set(digests) == {"model.safetensors", "config.json"}


def test_a_network_that_differs_from_the_source_is_not_written(
    source: Path,
    fails: Callable[..., str],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(convert, "parity", lambda *_: convert.Parity(1e-14, 2e-3))
    said = fails(1, "weights", "convert", source, "--out", tmp_path / "weights")
    assert "mask logits 2e-03 standard deviations apart" in said
    assert said.endswith("another network (--no_check converts it anyway)")
    assert list(tmp_path.iterdir()) == []
    run("weights", "convert", source, "--out", tmp_path / "weights", "--no_check")


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
    build.save(tmp_path / "weights", network, from_categories([(1, "cat")]), {})
    words = ("weights", "export", tmp_path / "weights", "--out", tmp_path / "out", "--to")
    assert "decoder.embedding_head.0.weight has no name" in fails(1, *words, "hugging_face")
    assert not (tmp_path / "out").exists()


def names(classes: ClassList) -> list[str]:
    return [info.name for info in classes]


def test_names_are_read_from_texts_and_files(tmp_path: Path) -> None:
    assert names(read_names("cat, dog")) == ["cat", "dog"]
    (tmp_path / "names.txt").write_text("traffic light\nfire hydrant\n\n")
    assert names(read_names(str(tmp_path / "names.txt"))) == ["traffic light", "fire hydrant"]
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    (tmp_path / "names.json").write_text(json.dumps({"categories": categories}))
    classes = read_names(str(tmp_path / "names.json"))
    assert [(info.index, info.category_id, info.name) for info in classes] == [
        (0, 3, "cat"),
        (1, 7, "dog"),
    ]


def test_eighty_classes_are_those_of_coco() -> None:
    named = name_classes(80, None, None)
    assert named.origin.startswith("COCO's")
    found = [(info.category_id, info.name) for info in named.classes]
    assert found[0] == (1, "person")
    assert found[11] == (13, "stop sign")
    assert found[79] == (90, "toothbrush")
    told = [name.replace("couch", "sofa") for _, name in found]
    named = name_classes(80, None, told)
    assert [(info.category_id, info.name) for info in named.classes][57] == (63, "sofa")
    others = [f"thing {index}" for index in range(80)]
    assert name_classes(80, None, others).classes[79].category_id == 80
    assert name_classes(2, None, told).origin.startswith("numbers")
