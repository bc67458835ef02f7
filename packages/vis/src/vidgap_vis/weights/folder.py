"""Weights folders: written whole, read with every fault named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from vidgap_segmenter import ClipSegmenter, WeightsMismatch
from vidgap_segmenter.backbones.weights import LITE0_PACKAGE
from vidgap_segmenter.weights import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_checked,
    read_config,
    read_state_dict,
)
from vidgap_vis import build
from vidgap_vis.classes import ClassInfo, ClassList
from vidgap_vis.errors import InputError, WeightsError, reason_of
from vidgap_vis.files import replacing_folder
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.weights.heads import write_head
from vidgap_vis.weights.provenance import PROVENANCE_FILE
from vidgap_vis.weights.usage import Usage

BACKBONE, BACKBONE_FROM = "backbone.", "backbone_from"
"""Prefix of a backbone's weights; key of the installed package that has them in their place."""


def save(
    folder: Path,
    model: ClipSegmenter,
    classes: ClassList,
    provenance: Mapping[str, object],
    usage: Usage | None = None,
    head: LearnedHead | None = None,
) -> None:
    """Write a weights folder: `config.json`, `model.safetensors`, `provenance.json`, a head's.

    Args:
        folder: replaced as a whole where it exists.
        model: what is saved.
        classes: what its labels mean.
        provenance: what it was made from, as JSON can hold it.
        usage: how it is to be used; None: as its parts suggest.
        head: what follows the model's instances.
    """
    with replacing_folder(folder, overwrite=True) as temporary:
        model.save_pretrained(temporary, [asdict(info) for info in classes])
        if usage is not None:
            usage.write(temporary)
        if head is not None:
            write_head(temporary, head)
        text = json.dumps(dict(provenance), indent=2)
        (temporary / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: str | Path) -> tuple[ClipSegmenter, ClassList]:
    """Build the model that a weights folder holds, in eval mode on the CPU, and its classes.

    Raises:
        InputError: something is missing or damaged (`WeightsError`: does not fit), by file.
    """
    folder = Path(folder)
    config, state, classes = read_folder(folder)
    model = network_of(config, folder)
    fit(model, state, folder)
    return model.eval(), classes


def network_of(config: Mapping[str, Any], folder: Path) -> ClipSegmenter:
    """Build the network that a folder's configuration describes; InputError where it is none."""
    try:
        return build.saved_network(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        message = f"describes no model that can be built ({reason_of(error)})"
        raise InputError(folder / CONFIG_FILE, "", message) from error


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], ClassList]:
    """Return what a weights folder holds: its configuration, its weights, its classes.

    Where the configuration says so (`slim`), the backbone's weights are an installed package's.

    Raises:
        InputError: something is missing or damaged, by file; or the package is not installed.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(folder, "", f"not a weights folder ({name} is missing)")
    try:
        config = read_config(folder)
        classes = classes_of(config)
        num_classes = config["segmenter"]["num_classes"]
        if [info.index for info in classes] != list(range(num_classes)):
            got = [info.index for info in classes]
            raise ValueError(f"classes: wanted indices 0 to {num_classes - 1} in order, got {got}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(folder / CONFIG_FILE, "", reason_of(error)) from error
    try:
        state = dict(read_state_dict(folder / WEIGHTS_FILE))
    except SafetensorError as error:
        raise InputError(folder / WEIGHTS_FILE, "", f"damaged ({reason_of(error)})") from error
    if BACKBONE_FROM in config:
        state |= packaged_backbone(config, config[BACKBONE_FROM], folder)
    return config, state, classes


def packaged_backbone(config: Mapping[str, Any], package: str, folder: Path) -> dict[str, Tensor]:
    """Return an installed package's weights of the backbone of a folder's network, by name.

    Raises:
        InputError: there is no such package, it is not installed, or is for another backbone.
    """
    path = folder / CONFIG_FILE
    if package != LITE0_PACKAGE:
        message = f"wanted {LITE0_PACKAGE}, the one package that has weights, got {package!r}"
        raise InputError(path, BACKBONE_FROM, message)
    model = network_of(config, folder)
    try:
        build.load_backbone(model, package)
    except InputError as error:
        raise InputError(path, BACKBONE_FROM, error.message) from error
    return {name: one for name, one in model.state_dict().items() if name.startswith(BACKBONE)}


def classes_of(config: Mapping[str, Any]) -> ClassList:
    """Return the classes that a folder's configuration lists.

    Raises:
        KeyError, TypeError: it lists none.
    """
    return tuple(ClassInfo(**info) for info in config["classes"])


def fit(
    model: ClipSegmenter,
    state: Mapping[str, Tensor],
    folder: Path,
    allow_missing: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Load a folder's weights into a model; return the names that were missing as allowed.

    Args:
        model: changed in place.
        state: what the folder holds.
        folder: for messages.
        allow_missing: prefixes of names that may be missing.

    Raises:
        WeightsError: they do not fit.
    """
    try:
        return load_checked(model, state, allow_missing=allow_missing).missing
    except WeightsMismatch as error:
        raise WeightsError(folder / WEIGHTS_FILE, error.report) from error
