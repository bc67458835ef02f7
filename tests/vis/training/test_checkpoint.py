"""Checkpoints: read without running them, named where they are damaged or cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from vis.support.tiny_runs import pretrain_config

from vidgap_vis.errors import InputError
from vidgap_vis.training.checkpoint import checkpoints
from vidgap_vis.training.pretrain import pretrain


def test_checkpoints_are_read_without_running_them(images: Path, tmp_path: Path) -> None:
    config, out = pretrain_config(images, steps=1), tmp_path / "run"
    pretrain(config, out)
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    for name in ("optimizer.bin", "random_states_0.pkl"):
        torch.save({"state": Bomb()}, out / "checkpoint" / "step_000001" / name)
    with pytest.raises(InputError, match=r"step_000001: damaged checkpoint"):
        pretrain(config, out, resume=True)
    assert not marker.exists()


def test_a_checkpoint_that_a_power_cut_emptied_is_named(images: Path, tmp_path: Path) -> None:
    config, out = pretrain_config(images, steps=1), tmp_path / "run"
    pretrain(config, out)
    (out / "checkpoint" / "step_000001" / "optimizer.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"step_000001: damaged checkpoint"):
        pretrain(config, out, resume=True)


def test_a_full_disk_is_named_and_the_checkpoint_before_stays(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, save = tmp_path / "run", Accelerator.save_state

    def half(accelerator: Accelerator, folder: str) -> None:
        if checkpoints(out):
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise SafetensorError("No space left on device")
        save(accelerator, folder)

    monkeypatch.setattr(Accelerator, "save_state", half)
    config = pretrain_config(images, steps=2, checkpoint_every=1)
    with pytest.raises(InputError, match=r"no checkpoint can be written \(No space left"):
        pretrain(config, out)
    assert os.listdir(out / "checkpoint") == ["step_000001"]
