"""Weights without their backbone, where that was left as an installed package has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidgap_segmenter.backbones.weights import LITE0_PACKAGE
from vidgap_segmenter.weights import CONFIG_FILE, WEIGHTS_FILE, write_state_dict
from vidgap_vis.errors import InputError
from vidgap_vis.files import check_keeps_source, replacing_folder
from vidgap_vis.weights.folder import BACKBONE, BACKBONE_FROM, packaged_backbone, read_folder
from vidgap_vis.weights.heads import HEAD_FILE
from vidgap_vis.weights.provenance import PROVENANCE_FILE
from vidgap_vis.weights.usage import Usage


def slim(
    source: Path,
    out: Path,
    *,
    tracker: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> str:
    """Write a weights folder without its backbone, which is read from the package from then on.

    The folder opens wherever `vidgap_vis` opens weights, to the same numbers to the bit;
    `vidgap_segmenter` alone does not know of the package.

    Args:
        source: a weights folder.
        out: the folder to make.
        tracker: `name` and options for its section `tracker`; None: as the source says.
        overwrite: replace what is at `out`.

    Returns:
        A line on what was left out.

    Raises:
        InputError: the source is none, its backbone is not as the package has it, or `out` is not
            free. Nothing is written.
        ConfigError: `out` is or holds the source.
    """
    config, state, _ = read_folder(source)
    backbone = packaged_backbone(config, LITE0_PACKAGE, source)
    for name, tensor in backbone.items():
        if name in state and not torch.equal(state[name], tensor):
            message = f"differs from {LITE0_PACKAGE}'s: a trained backbone cannot be left out"
            raise InputError(source / WEIGHTS_FILE, name, message)
    kept = {name: one for name, one in state.items() if not name.startswith(BACKBONE)}
    check_keeps_source(out, [source])
    with replacing_folder(out, overwrite=overwrite) as temporary:
        text = json.dumps({**config, BACKBONE_FROM: LITE0_PACKAGE}, indent=2)
        (temporary / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        write_state_dict(temporary / WEIGHTS_FILE, kept)
        for name in (HEAD_FILE, PROVENANCE_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, temporary / name)
        if tracker:
            Usage(tracker, Usage.read(source).test).write(temporary)
        size = sum(path.stat().st_size for path in temporary.iterdir())
    return f"{out}: {len(kept)} weights, {size / 1e6:.1f} MB; {len(backbone)} are {LITE0_PACKAGE}'s"
