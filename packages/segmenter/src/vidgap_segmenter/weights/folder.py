"""A network's folder: `config.json` (segmenter, temporal, classes) and `model.safetensors`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from torch import Tensor

from vidgap_segmenter.temporal import SavableTemporalModule, TemporalModule
from vidgap_segmenter.weights.files import read_state_dict, write_state_dict

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ARCHITECTURE = "architecture"
INIT = "init"
"""The setting of a temporal module that matters to fresh weights alone."""


class Savable(Protocol):
    """A network, as far as a folder describes and holds it."""

    @property
    def architecture(self) -> str: ...

    @property
    def config(self) -> Mapping[str, object]:
        """Its constructor's arguments except `temporal`, as JSON can hold them."""
        ...

    @property
    def num_classes(self) -> int: ...

    @property
    def temporal(self) -> TemporalModule | None: ...

    def state_dict(self) -> Mapping[str, Tensor]: ...


def write_folder(
    model: Savable, folder: str | Path, classes: Sequence[Mapping[str, object]]
) -> None:
    """Write config and weights into `folder`, under temporary names that are renamed at the end.

    Args:
        model: the network.
        folder: made where it is missing; other files in it stay.
        classes: one `{"index", "category_id", "name"}` a class, in order of index.

    Raises:
        ValueError: `classes` does not list every class of the model, its temporal module has no
            `config`, or one holds what JSON cannot. Nothing is written then.
    """
    _check_classes(classes, model.num_classes)
    config = {
        "segmenter": {ARCHITECTURE: model.architecture, **model.config},
        "temporal": _temporal_config(model.temporal),
        "classes": [dict(info) for info in classes],
    }
    text = json.dumps(config, indent=2, default=_plain) + "\n"  # first: it may raise
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    writers: dict[str, Callable[[Path], object]] = {
        WEIGHTS_FILE: lambda path: write_state_dict(path, state),
        CONFIG_FILE: lambda path: path.write_text(text, encoding="utf-8"),
    }
    temporary = {folder / name: folder / f".{name}.{os.getpid()}" for name in writers}
    try:
        for path, write in zip(temporary.values(), writers.values(), strict=True):
            write(path)
        for path, written in temporary.items():
            written.replace(path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


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


def _plain(value: object) -> object:
    """Return a number of another library, as of numpy, as Python's; ValueError for what is none."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise ValueError(f"the configuration must hold what JSON can, got {value!r}")


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


def check_temporal(folder: str | Path, temporal: TemporalModule | None) -> None:
    """Raise ValueError where a module is set up otherwise than the one that a folder describes.

    Not every setting changes a weight's shape; all but `init` must be the same, or None, a default.
    A module without `config` passes, and so does one for a folder without.
    """
    before = read_config(folder)["temporal"]
    if not before or not isinstance(temporal, SavableTemporalModule):
        return
    now = json.loads(json.dumps(dict(temporal.config), default=_plain))
    for name, value in now.items():
        if name != INIT and None not in (value, before.get(name)) and before[name] != value:
            raise ValueError(
                f"temporal must have {name}={before[name]!r}, as {Path(folder) / CONFIG_FILE} "
                f"says, got {value!r}"
            )


def read_weights(folder: str | Path, *, with_temporal: bool) -> dict[str, Tensor]:
    """Read the weights of a folder.

    Args:
        folder: as `write_folder` writes it.
        with_temporal: whether the model that they are for has a temporal module.

    Raises:
        ValueError: they are damaged, or include a temporal module's and the model has none.
    """
    path = Path(folder) / WEIGHTS_FILE
    try:
        state = read_state_dict(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    if not with_temporal and any(name.startswith("temporal.") for name in state):
        raise ValueError(
            f"{path} holds temporal.* weights: pass the temporal module they belong to"
        )
    return state
