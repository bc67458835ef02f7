"""Weights folders: written and read as a whole, and starting from a parent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vis.support.tiny_runs import CLASSES, HEIGHT, TEMPORAL, WIDTH, make_model

from vidgap_segmenter import NETWORKS
from vidgap_segmenter.weights import CLASS_HEAD, CLASS_WEIGHTS
from vidgap_vis.classes import ClassList, from_categories
from vidgap_vis.errors import InputError, WeightsError
from vidgap_vis.weights import initialise, load, save

OTHERS = from_categories([(1, "cat"), (2, "dog"), (3, "owl")])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of weights for `CLASSES`."""
    save(tmp_path / "weights", make_model(), CLASSES, {"stage": "test"})
    return tmp_path / "weights"


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("temporal", [TEMPORAL, None], ids=["temporal", "baseline"])
def test_a_folder_gives_back_the_model_and_its_classes(
    tmp_path: Path, temporal: object, architecture: str
) -> None:
    model = make_model(temporal=temporal, architecture=architecture)
    save(tmp_path / "w", model, CLASSES, {"stage": "test"})
    loaded, classes = load(tmp_path / "w")
    frames = torch.randint(0, 256, (1, 2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    with torch.inference_mode():
        ours, theirs = model(frames), loaded(frames)
    assert classes == CLASSES
    assert not loaded.training
    assert torch.equal(ours.class_logits, theirs.class_logits)
    assert torch.equal(ours.mask_logits, theirs.mask_logits)
    assert json.loads((tmp_path / "w" / "provenance.json").read_text()) == {"stage": "test"}


def test_saving_again_replaces_the_whole_folder(weights: Path) -> None:
    (weights / "left_over").write_text("")
    save(weights, make_model(), CLASSES, {"stage": "again"})
    names = sorted(path.name for path in weights.iterdir())
    assert names == ["config.json", "model.safetensors", "provenance.json"]


def test_a_parent_of_the_same_classes_is_taken_over_whole(weights: Path) -> None:
    child = make_model(seed=1)
    said = initialise(child, CLASSES, weights)
    parent = make_model().state_dict()
    assert all(torch.equal(tensor, parent[name]) for name, tensor in child.state_dict().items())
    assert said.endswith("0 start afresh")


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(
    "classes",
    [OTHERS, from_categories([(3, "cat"), (7, "dog")])],
    ids=["another number", "other names"],
)
def test_the_class_head_starts_afresh_where_the_classes_differ(
    tmp_path: Path, classes: ClassList, architecture: str
) -> None:
    parent = make_model(architecture=architecture)
    save(tmp_path / "weights", parent, CLASSES, {})
    child = make_model(seed=1, classes=classes, architecture=architecture)
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    said = initialise(child, classes, tmp_path / "weights")
    weights = parent.state_dict()
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, before[name] if name in CLASS_WEIGHTS else weights[name]), name
    fresh = [name for name in CLASS_WEIGHTS if name in before]
    assert fresh[:2] == list(CLASS_HEAD)
    for name in fresh:
        assert re.search(rf"{re.escape(name)} +the classes differ", said)


def test_a_parent_without_temporal_module_gives_the_rest(tmp_path: Path) -> None:
    save(tmp_path / "w", make_model(temporal=None), CLASSES, {})
    child = make_model(seed=1, temporal=replace(TEMPORAL, init="identity"))
    said = initialise(child, CLASSES, tmp_path / "w")
    frames = torch.randint(0, 256, (1, 2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    parent = make_model(temporal=None)
    with torch.inference_mode():
        ours, parents = child(frames), parent(frames)
    assert "the parent has no temporal module" in said
    torch.testing.assert_close(ours.class_logits, parents.class_logits, rtol=0, atol=0)


def test_settings_that_change_no_shape_are_said(weights: Path) -> None:
    child = make_model(seed=1, temporal=replace(TEMPORAL, pairing="adjacent"))
    said = initialise(child, CLASSES, weights)
    assert "temporal.pairing: the parent had 'half', now 'adjacent'" in said


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"num_queries": 6}, "2 mismatched"),
        ({"temporal": None}, r"\d+ unexpected"),
        ({"temporal": replace(TEMPORAL, num_short_layers=2)}, r"\d+ missing"),
        ({"num_decoder_layers": 1, "num_queries": 6}, r"\d+ unexpected, 2 mismatched"),
    ],
    ids=["shape", "temporal given up", "temporal deeper", "two kinds"],
)
def test_weights_that_do_not_fit_change_nothing_and_give_one_table(
    weights: Path, settings: dict[str, object], counts: str
) -> None:
    child = make_model(seed=1, **settings)
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    message = rf"model\.safetensors: weights do not fit the model: {counts}$"
    with pytest.raises(WeightsError, match=message) as caught:
        initialise(child, CLASSES, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in child.state_dict().items())
    lines = str(caught.value.report).splitlines()
    assert all(re.match(r"(missing|unexpected|mismatched) +[\w.]+", line) for line in lines)
    assert len(lines) == sum(map(int, re.findall(r"\d+", str(caught.value).partition(": ")[2])))


def test_what_is_no_weights_folder_is_said(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InputError, match=r"not a weights folder \(config\.json is missing\)"):
        load(tmp_path / "nowhere")
    (weights / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0broken!!")
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        load(weights)
    (weights / "config.json").write_text('{"segmenter": {}}')
    with pytest.raises(InputError, match=r"config\.json: .*section 'temporal' is missing"):
        load(weights)
    (weights / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: "):
        load(weights)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("classes", [], r"classes: wanted indices 0 to 1 in order, got \[\]"),
        ("num_classes", 3, r"classes: wanted indices 0 to 2 in order, got \[0, 1\]"),
        ("num_heads", 0, "describes no model that can be built"),
        ("channels", -32, "describes no model that can be built"),
    ],
)
def test_a_folder_that_contradicts_itself_is_said(
    weights: Path, section: str, value: object, message: str
) -> None:
    config = json.loads((weights / "config.json").read_text())
    (config if section in config else config["segmenter"])[section] = value
    (weights / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config\.json: {message}"):
        load(weights)


def test_settings_that_no_model_has_are_said(weights: Path) -> None:
    config = json.loads((weights / "config.json").read_text())
    config["segmenter"]["num_querys"] = 3
    (weights / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: .*num_querys"):
        load(weights)


def test_a_parent_that_lacks_a_setting_has_its_default(weights: Path) -> None:
    path = weights / "config.json"
    config = json.loads(path.read_text())
    del config["segmenter"]["full_precision_pixel_decoder"]
    path.write_text(json.dumps(config))
    assert "full_precision" not in initialise(make_model(), CLASSES, weights)


def test_a_parent_of_another_network_is_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"segmenter.architecture: wanted mask_dino, as this run"):
        initialise(make_model(architecture="mask_dino"), CLASSES, weights)
