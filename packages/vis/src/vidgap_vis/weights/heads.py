"""A learned head in a weights folder: the section `head`, and `head.safetensors`.

In a file of its own, so that a segmenter is read from the folder by software that knows no heads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError

from vidgap_segmenter import ClipSegmenter, WeightsMismatch
from vidgap_segmenter.weights import (
    CONFIG_FILE,
    load_checked,
    read_config,
    read_state_dict,
    write_state_dict,
)
from vidgap_vis.errors import InputError, WeightsError, reason_of
from vidgap_vis.trackers.heads import LearnedHead, check_head, make_head, name_of

HEAD = "head"
"""The section: `name`, and the head's `config`."""

HEAD_FILE = "head.safetensors"


def write_head(folder: Path, head: LearnedHead) -> None:
    """Add a head to a weights folder that is being written."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    config[HEAD] = {"name": name_of(head), **head.config}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in head.state_dict().items()}
    write_state_dict(folder / HEAD_FILE, state)


def load_head(folder: str | Path, model: ClipSegmenter | None) -> LearnedHead | None:
    """Return the head of a weights folder, in eval mode on the CPU; None where there is none.

    Args:
        folder: holds `model`.
        model: what the head follows the queries of; None: they are not compared.

    Raises:
        InputError: the section describes no head, or one for another segmenter, or its weights are
            missing or damaged (`WeightsError`: do not fit).
    """
    folder = Path(folder)
    try:
        section = read_config(folder).get(HEAD)
    except ValueError as error:
        raise InputError(folder / CONFIG_FILE, "", reason_of(error)) from error
    if section is None:
        return None
    try:
        if not isinstance(section, Mapping):
            raise TypeError(f"wanted a section, got {section!r}")
        settings = dict(section)
        head = make_head(str(settings.pop("name", None)), settings)
        if model is not None:
            check_head(head, model)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(folder / CONFIG_FILE, HEAD, reason_of(error)) from error
    path = folder / HEAD_FILE
    if not path.is_file():
        raise InputError(folder, "", f"{HEAD_FILE} is missing, which {CONFIG_FILE} speaks of")
    try:
        load_checked(head, read_state_dict(path))
    except WeightsMismatch as error:
        raise WeightsError(path, error.report) from error
    except SafetensorError as error:
        raise InputError(path, "", f"damaged ({reason_of(error)})") from error
    return head.eval()
