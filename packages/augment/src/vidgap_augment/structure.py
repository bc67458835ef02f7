"""Find the parts of a sample in whatever structure it comes in, and put others in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, Literal, TypeAlias

from torchvision import tv_tensors

Role: TypeAlias = Literal["frames", "masks", "boxes", "labels", "ids", "crowds"]
"""What a part of a sample is."""

Path: TypeAlias = tuple[Any, ...]
"""The keys and indices that lead to a leaf."""

KEYS: dict[str, Role] = {
    "image": "frames",
    "video": "frames",
    "masks": "masks",
    "boxes": "boxes",
    "labels": "labels",
    "ids": "ids",
    "iscrowd": "crowds",
}
"""The keys of a dict that mean a part, whatever they hold."""

TYPES: dict[type, Role] = {
    tv_tensors.Image: "frames",
    tv_tensors.Video: "frames",
    tv_tensors.Mask: "masks",
    tv_tensors.BoundingBoxes: "boxes",
}
"""The types that mean a part wherever they are."""


def find_roles(inputs: Any) -> dict[Role, Path]:
    """Return where each part is in a structure of dicts, lists and tuples.

    Raises:
        ValueError: a part is there twice.
    """
    found: dict[Role, Path] = {}
    for path, value in _leaves(inputs, ()):
        role = _meaning(path, value)
        if role is None:
            continue
        if role in found:
            places = f"{place(found[role])} and {place(path)}"
            raise ValueError(f"sample must hold one of its {role}, got {places}")
        found[role] = path
    return found


def leaf(inputs: Any, path: Path) -> Any:
    """Return what is at a path."""
    for key in path:
        inputs = inputs[key]
    return inputs


def place(path: Path) -> str:
    """Return how a path is written: sample['video']."""
    return "sample" + "".join(f"[{key!r}]" for key in path)


def replaced(
    inputs: Any, new: Mapping[Path, Any], home: Path | None, added: Mapping[str, Any]
) -> Any:
    """Return a structure with other leaves; the structure itself is not changed.

    Args:
        inputs: a structure of dicts, lists and tuples.
        new: the leaves that are replaced, by their paths. Where a Video comes for the key `image`,
            the key becomes `video`.
        home: the dict that takes new keys, if any.
        added: the new keys.
    """

    def rebuild(node: Any, path: Path) -> Any:
        if path in new:
            return new[path]
        if isinstance(node, Mapping):
            items = {}
            for key, value in node.items():
                item = rebuild(value, (*path, key))
                items["video" if key == "image" and isinstance(item, tv_tensors.Video) else key] = (
                    item
                )
            return like(node, {**items, **added} if path == home else items)
        if isinstance(node, (list, tuple)):
            values = [rebuild(value, (*path, index)) for index, value in enumerate(node)]
            return type(node)(*values) if hasattr(node, "_fields") else type(node)(values)
        return node

    return rebuild(inputs, ())


def like(node: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return items in a dict of the kind of another: ordered, with a default, or plain."""
    if not isinstance(node, dict):
        return items
    result = copy(node)
    result.clear()
    result.update(items)
    return result


def _leaves(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if path and path[-1] in KEYS:
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _leaves(value, (*path, index))
    else:
        yield path, node


def _meaning(path: Path, value: Any) -> Role | None:
    if path and isinstance(path[-1], str) and path[-1] in KEYS:
        return KEYS[path[-1]]
    return next((role for kind, role in TYPES.items() if isinstance(value, kind)), None)
