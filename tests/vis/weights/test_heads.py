"""A learned head in a weights folder: as it was written, or what is wrong with it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from vis.support.learned_heads import KINDS, small_head
from vis.support.tiny_runs import CLASSES, make_model

from vidgap_segmenter import ClipSegmenter
from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import InputError
from vidgap_vis.trackers.heads import name_of
from vidgap_vis.weights import load, load_head, save


@pytest.fixture(scope="module")
def model() -> ClipSegmenter:
    return make_model()


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_comes_back_as_it_was(kind: str, model: ClipSegmenter, tmp_path: Path) -> None:
    head = small_head(kind, model)
    save(tmp_path / "weights", model, CLASSES, {}, head=head)
    found = load_head(tmp_path / "weights", model)
    assert found is not None
    assert not found.training
    assert (name_of(found), found.config) == (name_of(head), head.config)
    ours, theirs = head.state_dict(), found.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    again, _ = load(tmp_path / "weights")
    assert again.config == model.config
    tracker = VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu").make_tracker()
    assert tracker.offline == (kind in ("dvis_offline", "vita"))


def test_weights_without_a_head_have_none(model: ClipSegmenter, tmp_path: Path) -> None:
    save(tmp_path / "weights", model, CLASSES, {})
    assert load_head(tmp_path / "weights", model) is None
    assert not (tmp_path / "weights" / "head.safetensors").exists()


def changed(key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        config: dict[str, Any] = json.loads(path.read_text())
        config["head"] = value if key == "" else config["head"] | {key: value}
        path.write_text(json.dumps(config))

    return change


def without_a_weight(folder: Path) -> None:
    path = folder / "head.safetensors"
    state = load_file(path)
    del state["query_feat.weight"]
    save_file(state, path)


def pickled(folder: Path) -> None:
    (folder / "head.safetensors").write_bytes(pickle.dumps({"query_feat.weight": 1}))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "head.safetensors").unlink(), "head.safetensors is missing"),
        (lambda folder: (folder / "head.safetensors").write_bytes(b"x"), "damaged"),
        (pickled, "damaged"),
        (without_a_weight, r"head\.safetensors: weights do not fit the model: 1 missing"),
        (changed("", [1]), r"config\.json: head: wanted a section, got \[1\]"),
        (changed("name", "sort"), "head: name: wanted one of dvis, vita, genvis, .* got 'sort'"),
        (changed("num_arms", 2), "head: .*unexpected keyword argument 'num_arms'"),
        (changed("num_queries", 3), "weights do not fit the model: .*2 "),
        (changed("channels", 16), "head: channels must be 32, as the segmenter has, got 16"),
        (changed("num_classes", 4), "head: num_classes must be 2, as the segmenter has, got 4"),
        (
            changed("num_frame_queries", 9),
            "head: num_frame_queries must be 5, as the segmenter has, got 9",
        ),
    ],
)
def test_what_is_wrong_with_a_head_is_named(
    break_it: Callable[[Path], None], message: str, model: ClipSegmenter, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    save(folder, model, CLASSES, {}, head=small_head("vita", model))
    break_it(folder)
    with pytest.raises(InputError, match=message):
        VideoSegmenter.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize("kind", ["dvis_offline", "genvis", "masktrack"])
def test_every_part_of_a_head_fits_the_segmenter(kind: str, tmp_path: Path) -> None:
    other = make_model(channels=64)
    save(tmp_path / "weights", make_model(), CLASSES, {}, head=small_head(kind, other))
    with pytest.raises(InputError, match="must be 32, as the segmenter has, got 64"):
        VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu")
