"""Weights by name: from a file, whatever its format, and into one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vidgap_segmenter.weights.pickles import load as load_pickle


def write_state_dict(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights by name as a `.safetensors` file with the permissions of any new file."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(state), path, {"format": "pt"})  # for its owner's eyes alone
    path.chmod(mode)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read weights by name from a `.safetensors` file, or from a pickle of tensors or arrays.

    A pickle is one of `torch.save` (`.pth`) or of numpy arrays (`.pkl`), told apart by its content.
    What stands beside the weights (an optimiser's state) is dropped, and no code is run.

    Raises:
        ValueError: a pickle is broken or names anything but arrays, or something among the weights
            is not one.
        SafetensorError: a `.safetensors` file is broken.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        content = load_pickle(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken file can raise anything: EOFError, KeyError, OSError
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{path}: cannot be read as tensors alone: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold tensors by name, got {type(content).__name__}")
    unnamed = {type(name).__name__ for name in content if not isinstance(name, str)}
    if unnamed:
        raise ValueError(f"{path}: names must be texts, got {', '.join(sorted(unnamed))}")
    other = [name for name, tensor in content.items() if not _has_values(tensor)]
    if other:
        raise ValueError(f"{path}: must hold tensors alone, got other things under {other[:5]}")
    return content


def _has_values(value: object) -> bool:
    """Say whether `value` is a dense tensor with data (not on the device "meta")."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
