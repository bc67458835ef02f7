"""Find the parts of a sample in whatever structure it comes in, and replace them there.

Structures are those of torchvision's transforms v2: whatever `torch.utils._pytree` takes apart
(dicts, lists, tuples, named tuples, ordered and default dicts), nested. All else is a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from torch.utils._pytree import (
    KeyPath,
    MappingKey,
    key_get,
    keystr,
    tree_leaves_with_path,
    tree_map_with_path,
)
from torchvision import tv_tensors

Role: TypeAlias = Literal["frames", "masks", "boxes", "labels", "ids", "crowds"]
"""What a part of a sample is."""

KEYS: dict[str, Role] = {
    "image": "frames",
    "video": "frames",
    "masks": "masks",
    "boxes": "boxes",
    "labels": "labels",
    "ids": "ids",
    "iscrowd": "crowds",
}
"""The keys of a dict whose value is a part, of whatever type."""

TYPES: dict[type, Role] = {
    tv_tensors.Image: "frames",
    tv_tensors.Video: "frames",
    tv_tensors.Mask: "masks",
    tv_tensors.BoundingBoxes: "boxes",
}
"""The types that are a part anywhere in the structure."""


def find_roles(inputs: Any) -> dict[Role, KeyPath]:
    """Return the key path of each part of a structure.

    Raises:
        ValueError: a part is there twice.
    """
    found: dict[Role, KeyPath] = {}
    for path, value in tree_leaves_with_path(inputs, _keyed_parts()):
        role = _role(path, value)
        if role is None:
            continue
        if role in found:
            both = f"{name_of(found[role])} and {name_of(path)}"
            raise ValueError(f"sample must hold one of its {role}, got {both}")
        found[role] = path
    return found


def name_of(path: KeyPath) -> str:
    """Return a key path as error messages have it: sample['video']."""
    return f"sample{keystr(path)}"


def is_keyed(path: KeyPath) -> bool:
    """Return whether a path ends in the key of a dict."""
    return bool(path) and isinstance(path[-1], MappingKey)


def is_image_key(path: KeyPath) -> bool:
    """Return whether a path ends in the key `image`."""
    return path[-1:] == (MappingKey("image"),)


def replaced(
    inputs: Any, new: Mapping[KeyPath, Any], home: KeyPath | None, added: Mapping[str, Any]
) -> Any:
    """Return a structure with other leaves; the given one is not changed.

    Args:
        inputs: a structure.
        new: the new leaves by their paths. A Video at the key `image` changes it to `video`.
        home: path of the dict that gets the added keys, if any.
        added: values by their keys.
    """
    result = tree_map_with_path(
        lambda path, value: new.get(path, value), inputs, is_leaf=_keyed_parts()
    )
    for path, value in new.items():
        if is_image_key(path) and isinstance(value, tv_tensors.Video):
            holder = key_get(result, path[:-1])
            items = [("video" if key == "image" else key, item) for key, item in holder.items()]
            holder.clear()
            holder.update(items)
    if home is not None:
        key_get(result, home).update(added)
    return result


def _keyed_parts() -> Callable[[Any], bool]:
    """Return what tells a tree's traversal that a node is the value of one of `KEYS`: a leaf.

    A traversal asks about a dict first, then about its values.
    """
    values: set[int] = set()

    def is_leaf(node: Any) -> bool:
        if isinstance(node, dict):
            values.update(id(node[key]) for key in KEYS if key in node)
        return id(node) in values

    return is_leaf


def _role(path: KeyPath, value: Any) -> Role | None:
    key = path[-1] if path else None
    if isinstance(key, MappingKey) and key.key in KEYS:
        return KEYS[key.key]
    return next((role for kind, role in TYPES.items() if isinstance(value, kind)), None)
