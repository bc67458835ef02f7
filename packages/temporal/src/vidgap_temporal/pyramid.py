"""Find the feature pyramid in what a submodule of another library's model returns."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Maps: TypeAlias = dict[Hashable, Tensor]
"""Maps (B*T, C_l, H_l, W_l) by key or index, in the order of the output."""

Repack: TypeAlias = Callable[[Maps], Any]
"""Rebuilds the output around as many other maps."""


def unpack(output: Any, kwargs: Mapping[str, Any]) -> tuple[Maps, Repack]:
    """Find the maps in what a submodule returned.

    Args:
        output: one map; a list, a tuple or a mapping of maps; or an object whose
            `last_hidden_state` holds the tokens of all levels, (B*T, S, C). Other items of a
            container stay as they are.
        kwargs: what the submodule was called with; `spatial_shapes_list` holds the (H_l, W_l) of
            the tokens, as in Hugging Face's deformable encoders.

    Returns:
        The maps, if any, and a function that rebuilds `output` around others.
    """
    sizes = kwargs.get("spatial_shapes_list")
    if sizes is not None and hasattr(output, "last_hidden_state"):
        levels = split_tokens(output.last_hidden_state, sizes)
        return dict(enumerate(levels)), lambda maps: with_tokens(output, maps)
    if isinstance(output, Mapping):
        return only_maps(output), lambda maps: with_items(output, maps)
    if isinstance(output, list | tuple):
        make = getattr(output, "_make", type(output))  # a named tuple takes one argument a field
        items: dict[Hashable, Any] = dict(enumerate(output))
        return only_maps(items), lambda maps: make({**items, **maps}.values())
    return only_maps({0: output}), lambda maps: maps[0]


def only_maps(values: Mapping[Hashable, Any]) -> Maps:
    """Return those of `values` that are maps."""
    return {
        key: value
        for key, value in values.items()
        if isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()
    }


def with_items(output: Any, maps: Maps) -> Any:
    """Return a copy of a mapping with other maps, of its class and in its order."""
    # torch.compile does not follow copy.copy into these two.
    changed = output.copy() if type(output) in (dict, OrderedDict) else copy.copy(output)
    for key, value in maps.items():  # one by one: Hugging Face's `ModelOutput` refuses `update`
        changed[key] = value
    return changed


def with_tokens(output: Any, maps: Maps) -> Any:
    """Return a copy of an encoder's output with its tokens taken from `maps`."""
    changed = copy.copy(output)
    changed.last_hidden_state = torch.cat(
        [level.flatten(2).transpose(1, 2) for level in maps.values()], dim=1
    )
    return changed


def split_tokens(tokens: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Cut tokens (B*T, S, C) into maps (B*T, C, H_l, W_l), which are views of them."""
    levels = tokens.split([height * width for height, width in sizes], dim=1)
    return [
        level.transpose(1, 2).unflatten(2, (height, width))
        for level, (height, width) in zip(levels, sizes, strict=True)
    ]


def fine_to_coarse(maps: Maps, at: str) -> list[Hashable]:
    """Return the keys of maps in the order fine to coarse, which may be reversed in `maps`.

    Maps of one size keep their order.

    Raises:
        ValueError: the sizes of `maps` go up and down.
    """
    keys = list(maps)
    areas = [level.shape[-2] * level.shape[-1] for level in maps.values()]
    if areas == sorted(areas, reverse=True):
        return keys
    if areas == sorted(areas):
        return keys[::-1]
    raise ValueError(
        f"maps of {at!r} must come fine to coarse or coarse to fine, got {describe_maps(maps)}"
    )


def choose(
    maps: Maps, num_scales: int, levels: Sequence[str | int] | None, at: str, *, keyed: bool = False
) -> list[Hashable]:
    """Return the keys of the maps that a temporal module is given, fine to coarse.

    Args:
        maps: those to choose from.
        num_scales: how many the module takes.
        levels: as for `attach`.
        at: path of their submodule, for errors.
        keyed: whether `maps` are a mapping's, so that a key that is a number goes before an index.

    Raises:
        ValueError: there are fewer maps, a level does not exist, or two levels are one map.
    """
    ordered = fine_to_coarse(maps, at)
    if levels is None:
        if len(ordered) < num_scales:
            raise ValueError(
                f"maps of {at!r} must be at least num_scales={num_scales}, got "
                f"{describe_maps(maps)}"
            )
        return ordered[:num_scales]
    indices = {key: index for index, key in enumerate(ordered)}
    chosen = []
    for level in levels:
        is_index = isinstance(level, int) and not (keyed and level in indices)
        index = int(level) if is_index else indices.get(level, len(ordered))
        if not -len(ordered) <= index < len(ordered):
            raise ValueError(
                f"levels must be among those of {at!r}, {describe_maps(maps)}, got {level!r}"
            )
        chosen.append(index % len(ordered))
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"levels must be {num_scales} different maps, got {list(levels)}")
    return [ordered[index] for index in sorted(chosen)]


def describe_maps(maps: Maps) -> str:
    """Return "{'0': (6, 256, 16, 16), '1': (6, 256, 8, 8)}", for error messages."""
    return str({key: tuple(level.shape) for key, level in maps.items()})
