"""Weights folders by their names on a hub; what the hub's library would do is played here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from segmenter.convert_cases import model

from vidgap_segmenter.weights import hub

hugging_face_hub = pytest.importorskip("huggingface_hub")

CLASSES = [{"index": i, "category_id": i, "name": str(i)} for i in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model("mask2former resnet26").save_pretrained(tmp_path / "weights", CLASSES)
    return tmp_path / "weights"


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What was asked of the hub, which has `somebody/model` alone and takes anything."""
    asked: list[tuple[str, object]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert "config.json" in allow_patterns
        assert not any(pattern.startswith("*") for pattern in allow_patterns)  # files of weights
        if name != "somebody/model":
            raise hugging_face_hub.errors.LocalEntryNotFoundError("no network\nand more")
        return str(folder)

    def create(name: str, *, private: bool, exist_ok: bool) -> str:
        asked.append((name, private))
        assert exist_ok
        return f"https://hub/{name}"

    def upload(*, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> None:
        asked.append((repo_id, folder_path))
        assert "model.safetensors" in allow_patterns

    monkeypatch.setattr(hugging_face_hub, "snapshot_download", download)
    monkeypatch.setattr(hugging_face_hub, "create_repo", create)
    monkeypatch.setattr(hugging_face_hub, "upload_folder", upload)
    return asked


def test_a_folder_that_is_there_is_never_looked_for_elsewhere(
    folder: Path, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.resolve(folder) == folder
    (folder.parent / "somebody" / "model").mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    assert hub.resolve("somebody/model") == Path("somebody/model")
    for path in ("nowhere", "/nowhere/else", "a/b/c", "../somebody/model"):
        assert hub.resolve(path) == Path(path)
    assert asked == []


def test_a_name_is_fetched(folder: Path, asked: list[object]) -> None:
    assert hub.resolve("somebody/model", revision="v1") == folder
    assert asked == [("somebody/model", "v1")]


def test_a_name_that_is_nowhere_says_so_in_one_line(asked: list[object]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        hub.resolve("runs/weights")
    assert str(caught.value) == (
        "no folder runs/weights, and the Hugging Face Hub gave none "
        "(LocalEntryNotFoundError: no network)"
    )
    assert asked == [("runs/weights", None)]


def test_a_model_is_sent_as_a_folder_of_its_own(asked: list[object]) -> None:
    network = model("mask2former resnet26")
    assert network.push_to_hub("somebody/new", CLASSES) == "https://hub/somebody/new"
    created, (name, sent) = asked
    assert created == ("somebody/new", False)
    assert name == "somebody/new"
    assert not Path(sent).exists()  # it was a temporary one


def test_a_folder_is_sent(folder: Path, asked: list[object]) -> None:
    assert hub.push_to_hub(folder, "somebody/model", private=True) == "https://hub/somebody/model"
    assert asked == [("somebody/model", True), ("somebody/model", folder)]
    with pytest.raises(ValueError, match="repo_id must be user/name, got 'model'"):
        hub.push_to_hub(folder, "model")
    with pytest.raises(ValueError, match=r"is not a weights folder \(config.json is missing\)"):
        hub.push_to_hub(folder.parent, "somebody/model")
    assert len(asked) == 2


def test_without_the_library_the_remedy_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert hub.resolve(folder) == folder
    remedy = r"pip install 'vidgap-segmenter\[hub\]'"
    with pytest.raises(FileNotFoundError, match=rf"no folder a/b; to look for it on .*: {remedy}"):
        hub.resolve("a/b")
    with pytest.raises(ImportError, match=rf"huggingface_hub is not installed: {remedy}"):
        hub.push_to_hub(folder, "a/b")
