"""Reading somebody else's weights from a file or folder; their names tell whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from vidgap_segmenter.convert.converted import Converted
from vidgap_segmenter.convert.hugging_face_config import class_names_of, num_heads_of
from vidgap_segmenter.convert.sizes import mask2former_settings, mask_dino_settings
from vidgap_segmenter.names import hugging_face, official
from vidgap_segmenter.names.table import Table, merge
from vidgap_segmenter.weights import CONFIG_FILE, WEIGHTS_FILE, read_state_dict

FOLDER_FILES = (WEIGHTS_FILE, "pytorch_model.bin")
INDEX_FILES = tuple(f"{name}.index.json" for name in FOLDER_FILES)
USUAL_HEADS = 8
ASSUMED: dict[str, tuple[str, ...]] = {
    "mask2former": (),
    "mask_dino": ("num_queries", "anchors"),
}
"""Settings that no weight determines; those of the official configurations are taken."""

SAME_WEIGHTS: dict[str, tuple[str, ...]] = {
    "mask2former": ("mask2former", "mask2former_vis"),
    "mask_dino": ("mask_dino",),
}
"""The networks that have an architecture's weights, under one set of names."""


@dataclass(frozen=True)
class Origin:
    """Where weights come from, and how they are read.

    Attributes:
        name: as in "weights of NAME".
        sign: a pattern at the start of some of its names, and of no name of later origins.
        architecture: the network.
        table: of names.
        spellings: (pattern, replacement) rules from older or further names to the table's.
        left_out: (pattern, why) of names that are not used.
        settings: turns weights under our names and the number of heads into arguments.
    """

    name: str
    sign: str
    architecture: str
    table: Table
    spellings: list[tuple[str, str]]
    left_out: list[tuple[str, str]]
    settings: Callable[[Mapping[str, Tensor], int], dict[str, Any]]


ORIGINS = (
    Origin(
        "Hugging Face's Mask2Former",
        r"model\.pixel_level_module\.",
        "mask2former",
        hugging_face.MASK2FORMER,
        hugging_face.IN_MEMORY_SPELLINGS,
        hugging_face.LEFT_OUT,
        mask2former_settings,
    ),
    Origin(
        "the official Mask DINO",
        r"sem_seg_head\.predictor\.(enc_output|label_enc|decoder)\.",
        "mask_dino",
        official.MASK_DINO,
        official.SHARED,
        official.LEFT_OUT,
        mask_dino_settings,
    ),
    *(
        Origin(
            name,
            sign,
            "mask2former",
            official.MASK2FORMER,
            official.OLD_SPELLINGS,
            official.LEFT_OUT,
            mask2former_settings,
        )
        for name, sign in [
            ("CTVIS", r"sem_seg_head\.predictor\.reid_embed\."),
            ("the official Mask2Former", r"sem_seg_head\."),
        ]
    ),
)


def read(
    source: str | Path,
    *,
    num_heads: int | None = None,
    aside: Sequence[str] = (),
    architecture: str | None = None,
) -> Converted:
    """Read weights of Mask2Former, Mask2Former-VIS, CTVIS or Mask DINO as others keep them.

    Args:
        source: a file (`.pkl`, `.pth`, `.safetensors`), or a folder as Hugging Face writes it.
        num_heads: attention heads, which no weight determines; None: as in a folder's config,
            else 8.
        aside: prefixes of names that are not the segmenter's; their weights are handed out as they
            are (`Converted.aside`).
        architecture: the network, where several have such weights: "mask2former_vis" for a file of
            the official Mask2Former-VIS, or to start one from a Mask2Former; None: the network on
            frames.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, would run code, or holds something else; the message names it.
    """
    source = Path(source)
    config = _read_config(source)
    state = _read_state(source)
    try:
        others = {name: state.pop(name) for name in [*state] if name.startswith(tuple(aside))}
        return replace(_convert(state, config, num_heads, architecture), aside=others)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _convert(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    num_heads: int | None,
    architecture: str | None,
) -> Converted:
    origin = _origin(state)
    architecture = architecture or origin.architecture
    if architecture not in SAME_WEIGHTS[origin.architecture]:
        raise ValueError(
            f"architecture must be {' or '.join(SAME_WEIGHTS[origin.architecture])} for weights of "
            f"{origin.name}, got {architecture!r}"
        )
    reasons = {name: _reason(name, origin.left_out) for name in state}
    kept = {name: state[name] for name, reason in reasons.items() if reason is None}
    spelled, original = merge(kept, origin.spellings)
    renamed = origin.table.to_ours(spelled)
    sources = {
        ours: tuple(name for spelling in spellings for name in original[spelling])
        for ours, spellings in renamed.sources.items()
    }
    _check_numbers(renamed.state, sources)
    assumed = ASSUMED[origin.architecture]
    if num_heads is None and config:
        num_heads = num_heads_of(config)
    elif num_heads is None:
        num_heads, assumed = USUAL_HEADS, ("num_heads", *assumed)
    if num_heads < 1:
        raise ValueError(f"num_heads must be 1 or more, got {num_heads}")
    return Converted(
        origin=origin.name,
        architecture=architecture,
        settings=origin.settings(renamed.state, num_heads),
        state=renamed.state,
        class_names=class_names_of(config),
        left_out=tuple((name, reason) for name, reason in reasons.items() if reason is not None),
        sources=sources,
        unknown=tuple(name for spelling in renamed.unknown for name in original[spelling]),
        assumed=assumed,
    )


def _check_numbers(state: Mapping[str, Tensor], sources: Mapping[str, tuple[str, ...]]) -> None:
    for ours, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.numel():
            got = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            raise ValueError(f"{sources[ours][0]} must hold floating-point numbers, got {got}")


def _origin(state: Mapping[str, Tensor]) -> Origin:
    for origin in ORIGINS:
        if any(re.match(origin.sign, name) for name in state):
            return origin
    first = ", ".join(list(state)[:3]) or "nothing"
    raise ValueError(
        "wanted weights of " + ", ".join(origin.name for origin in ORIGINS) + f"; it holds {first} "
        "(the weights of a backbone alone go to load_backbone_weights)"
    )


def _reason(name: str, rules: Iterable[tuple[str, str]]) -> str | None:
    return next((why for pattern, why in rules if re.fullmatch(pattern, name)), None)


def _read_config(source: Path) -> dict[str, Any]:
    """Return the `config.json` of a folder of Hugging Face's; empty for a file."""
    if not source.is_dir():
        return {}
    path = source / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "mask2former":
        ours = isinstance(config, dict) and "segmenter" in config
        hint = " (the folder is vidgap's own: it needs no conversion)" if ours else ""
        raise ValueError(f"{path}: model_type must be 'mask2former', got {kind!r}{hint}")
    return config


def _read_state(source: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for path in _weight_files(source):
        try:
            state |= read_state_dict(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: damaged ({error})") from error
    return state


def files(source: str | Path) -> list[Path]:
    """Return the files that `read` reads, the weights first."""
    source = Path(source)
    return [*_weight_files(source), *([source / CONFIG_FILE] if source.is_dir() else [])]


def _weight_files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    for name in FOLDER_FILES:
        if (source / name).is_file():
            return [source / name]
    for name in INDEX_FILES:
        if (source / name).is_file():
            return _shards(source / name)
    raise ValueError(f"{source}: holds none of {', '.join((*FOLDER_FILES, *INDEX_FILES))}")


def _shards(index: Path) -> list[Path]:
    """Return the files that an index lists, all of which must lie beside it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: no index of weight files: {error!r}") from error
    if outside:
        raise ValueError(f"{index}: wanted names of files beside it, got {outside[0]}")
    return [index.with_name(name) for name in names]
