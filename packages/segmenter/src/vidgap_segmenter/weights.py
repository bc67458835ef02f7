"""Weights on disk, and loading that is strict or reported, never silent.

A folder holds `config.json` (sections `segmenter`, `temporal`, `classes`) and
`model.safetensors`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidgap_segmenter import pickles
from vidgap_segmenter.temporal import SavableTemporalModule, TemporalModule

if TYPE_CHECKING:
    from vidgap_segmenter.clip_segmenter import ClipSegmenter

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ARCHITECTURE = "architecture"
CLASS_HEAD = ("decoder.class_embed.weight", "decoder.class_embed.bias")
CLASS_WEIGHTS = (*CLASS_HEAD, "decoder.label_embed.weight")
"""All weights whose shape depends on the number of classes (Mask DINO denoises labels, too)."""


@dataclass(frozen=True)
class LoadReport:
    """How weights fitted a module; `str()` gives a table.

    Attributes:
        missing: names that the module has and the weights do not.
        unexpected: names that the weights have and the module does not.
        mismatched: (name, shape in the module, shape in the weights).
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()

    def __str__(self) -> str:
        rows = [("missing", name, "") for name in self.missing]
        rows += [("unexpected", name, "") for name in self.unexpected]
        rows += [
            ("mismatched", name, f"wanted {wanted}, got {got}")
            for name, wanted, got in self.mismatched
        ]
        if not rows:
            return "all weights loaded"
        width = max(len(name) for _, name, _ in rows)
        return "\n".join(
            f"{kind:<10}  {name:<{width}}  {note}".rstrip() for kind, name, note in rows
        )


def load_checked(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> LoadReport:
    """Load weights into a module if they fit, else change nothing.

    Args:
        module: changed in place.
        state: weights by name.
        allow_missing: prefixes of names that may be missing; they keep their values.
        allow_unexpected: prefixes of names that may be left out.

    Raises:
        ValueError: something is missing, unexpected or of another shape; the message is the table.
    """
    report = compare(module, state)
    refused = LoadReport(
        missing=not_under(allow_missing, report.missing),
        unexpected=not_under(allow_unexpected, report.unexpected),
        mismatched=report.mismatched,
    )
    if refused != LoadReport():
        raise ValueError(f"weights do not fit {type(module).__name__}:\n{refused}")
    module.load_state_dict(
        {name: state[name] for name in state if name not in report.unexpected}, strict=False
    )
    return report


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Say how weights fit a module; nothing is loaded."""
    own = module.state_dict()
    return LoadReport(
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        mismatched=tuple(
            (name, tuple(own[name].shape), tuple(tensor.shape))
            for name, tensor in state.items()
            if name in own and own[name].shape != tensor.shape
        ),
    )


def save_pretrained(
    model: ClipSegmenter, folder: str | Path, classes: Sequence[Mapping[str, object]]
) -> None:
    """Write config and weights into `folder`, each under a temporary name that is then renamed.

    Args:
        model: what is written.
        folder: made where it is missing; other files in it stay.
        classes: one `{"index", "category_id", "name"}` a class, in order of index.

    Raises:
        ValueError: `classes` does not list every class of the model, or its temporal module has no
            `config`.
    """
    _check_classes(classes, model.num_classes)
    config = {
        "segmenter": {ARCHITECTURE: model.architecture, **model.config},
        "temporal": _temporal_config(model.temporal),
        "classes": [dict(info) for info in classes],
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    _write(folder / WEIGHTS_FILE, lambda path: save_file(state, path, {"format": "pt"}))
    _write(folder / CONFIG_FILE, lambda path: path.write_text(json.dumps(config, indent=2) + "\n"))


def _check_classes(classes: Sequence[Mapping[str, object]], num_classes: int) -> None:
    if len(classes) != num_classes:
        raise ValueError(f"classes must list {num_classes} classes, got {len(classes)}")
    for index, info in enumerate(classes):
        known = isinstance(info, Mapping) and set(info) == {"index", "category_id", "name"}
        if not known or info["index"] != index:
            raise ValueError(
                f'classes[{index}] must be {{"index": {index}, "category_id": ..., "name": ...}}, '
                f"got {info!r}"
            )


def _temporal_config(temporal: TemporalModule | None) -> dict[str, object] | None:
    if temporal is None:
        return None
    if not isinstance(temporal, SavableTemporalModule):
        raise ValueError(
            "temporal must have a property `config`, its constructor's arguments, to be saved; "
            f"{type(temporal).__name__} has none"
        )
    return dict(temporal.config)


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read `config.json` of a folder.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: it is not JSON, or a section is missing.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    for section in ("segmenter", "temporal", "classes"):
        if section not in config:
            raise ValueError(f"{path}: section {section!r} is missing")
    return config


def read_settings(folder: str | Path, architecture: str) -> dict[str, Any]:
    """Read the arguments of the network that a folder describes.

    Raises:
        ValueError: it describes another network (where it names none, Mask2Former).
    """
    settings = dict(read_config(folder)["segmenter"])
    found = settings.pop(ARCHITECTURE, "mask2former")
    if found != architecture:
        raise ValueError(f"{Path(folder) / CONFIG_FILE} describes a {found}, not a {architecture}")
    return settings


def load_folder(model: ClipSegmenter, folder: str | Path) -> None:
    """Load the weights of a folder into a model, strictly.

    Raises:
        ValueError: they are damaged or do not fit, or they hold a temporal module's and the model
            has none.
    """
    path = Path(folder) / WEIGHTS_FILE
    try:
        state = read_state_dict(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    if model.temporal is None and any(name.startswith("temporal.") for name in state):
        raise ValueError(
            f"{path} holds temporal.* weights: pass the temporal module they belong to"
        )
    load_checked(model, state)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read weights by name from a `.safetensors` file, or from a pickle of tensors or arrays.

    A pickle is one of `torch.save` (`.pth`) or of numpy arrays (`.pkl`), told by its content; what
    stands beside the weights (an optimiser's state) is read and dropped, and no code is run.

    Raises:
        ValueError: a pickle is broken or names anything but arrays, or there are other things than
            weights among the weights.
        SafetensorError: a `.safetensors` file is broken.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        content = pickles.load(path)
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
    """Say whether it is a tensor, dense, and no mere description of one (device "meta")."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta


def _write(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def not_under(prefixes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that begin with none of the prefixes."""
    return tuple(name for name in names if not name.startswith(tuple(prefixes)))
