"""Weights by name: a folder of ours, or another project's file, folder or repository."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidgap_segmenter import ClipSegmenter
from vidgap_segmenter.weights import CONFIG_FILE
from vidgap_vis.classes import ClassList
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.weights.convert import ConvertOptions, converted, fetched
from vidgap_vis.weights.folder import load
from vidgap_vis.weights.heads import load_head
from vidgap_vis.weights.usage import Test, Usage

PREPROCESSOR_FILE = "preprocessor_config.json"
"""Where a folder of Hugging Face's says at which size its network sees images."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """What weights are good for.

    Attributes:
        model: in eval mode on the CPU.
        classes: what its labels mean.
        head: what follows the model's instances; None: nothing that is learned.
        usage: how they are to be used.
        usage_file: what says so.
    """

    model: ClipSegmenter
    classes: ClassList
    head: LearnedHead | None
    usage: Usage
    usage_file: Path


def open_weights(source: str | Path) -> Weights:
    """Load weights; those of other projects are converted in memory, which the log says.

    Args:
        source: a weights folder; a folder of Hugging Face's Mask2Former; a repository `user/name`
            of the Hugging Face Hub with either; or a file of official weights (`vidgap weights
            convert` names them all).

    Raises:
        InputError: there is no such thing, or it is at fault.
    """
    path = fetched(source)
    if is_ours(path):
        model, classes = load(path)
        head = load_head(path, model)
        return Weights(model, classes, head, Usage.read(path), path / CONFIG_FILE)
    made = converted(path, ConvertOptions())
    usage = replace(made.usage or Usage(), test=sizes_of(path))
    short, long = usage.test.short_edge, usage.test.max_size
    size = "" if short is None else f"; frames are resized to a short edge of {short}"
    size += f", a long one of {long} at most" if size and long is not None else ""
    logger.info(
        "%s: converted in memory (`vidgap weights convert` checks and keeps it): %s%s",
        source,
        made.report.partition("\n")[0],
        size,
    )
    return Weights(made.model, made.named.classes, made.head, usage, path)


def usage_of(source: str | Path) -> Usage:
    """Return how weights are to be used, as far as that is known without loading them.

    Raises:
        InputError: there is no such thing, or a section is no section.
    """
    path = fetched(source)
    return Usage.read(path) if is_ours(path) else Usage()


def is_ours(path: Path) -> bool:
    """Return whether a path is a weights folder, or nothing that could be converted either."""
    if path.is_file():
        return False
    config = _read(path / CONFIG_FILE)
    return "model_type" not in config or "segmenter" in config


def sizes_of(path: Path) -> Test:
    """Return to which edges a folder of Hugging Face's resizes images, where it says."""
    size = _read(path / PREPROCESSOR_FILE).get("size")
    size = size if isinstance(size, dict) else {}
    short, long = (size.get(f"{which}_edge") for which in ("shortest", "longest"))
    return Test(*(e if isinstance(e, int) and e > 0 else None for e in (short, long)))


def _read(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; empty for none. Faults are for who needs it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
