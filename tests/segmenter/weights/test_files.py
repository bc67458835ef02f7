"""Files of weights: what they must hold, and what is said of broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidgap_segmenter import LoadReport, weights


def test_files_that_need_pickled_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2), "config": LoadReport()}, path)
    with pytest.raises(ValueError, match=r"weights.pth: cannot be read as tensors alone"):
        weights.read_state_dict(path)
    torch.save({"weight": torch.ones(2), "epoch": 3}, path)
    with pytest.raises(ValueError, match=r"must hold tensors alone, got .* \['epoch'\]"):
        weights.read_state_dict(path)


def test_a_written_file_is_as_open_as_any_new_one(tmp_path: Path) -> None:
    path, other = tmp_path / "model.safetensors", tmp_path / "other"
    other.touch()
    weights.write_state_dict(path, {"weight": torch.ones(2)})
    assert path.stat().st_mode == other.stat().st_mode
    assert torch.equal(weights.read_state_dict(path)["weight"], torch.ones(2))


def test_broken_files_are_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(100)}, path)
    whole = path.read_bytes()
    torch.save({"weight": torch.ones(100)}, path, _use_new_zipfile_serialization=False)
    older = path.read_bytes()
    broken = {
        "EOFError: ": b"",
        "UnpicklingError": b"hello world\n",
        "UnpicklingError: invalid": b"<!DOCTYPE html>\n",
        "RuntimeError: ": older[:-100],
        "(OSError|RuntimeError)": whole[: len(whole) // 2],
    }
    for kind, content in broken.items():
        path.write_bytes(content)
        wanted = rf"weights\.pth: cannot be read as tensors alone: {kind}"
        with pytest.raises(ValueError, match=wanted) as caught:
            weights.read_state_dict(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        weights.read_state_dict(tmp_path / "nowhere.pth")
