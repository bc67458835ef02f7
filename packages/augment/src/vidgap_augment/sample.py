"""Samples, as torchvision's transforms v2 take them: their parts, and the checks of these.

| role | found as | of an image | of a clip |
|---|---|---|---|
| frames | `tv_tensors.Image`, `Video`; key `image`, `video` | (3, H, W) uint8 | (T, 3, H, W) |
| masks | `tv_tensors.Mask` or key `masks` | (N, H, W) bool | (N, T, H, W) bool |
| boxes | `tv_tensors.BoundingBoxes` or key `boxes` | (N, 4) | (N*T, 4), row n*T + t |
| labels | key `labels`: class indices | (N,) int64 | (N,) int64 |
| ids | key `ids`: one identity an instance | | (N,) int64 |
| crowds | key `iscrowd`: marks groups of instances; tensor or list | (N,) | (N,) |

The structure is usually one dict; (image, target) or any nested one works too. Masks under a key
need labels, and a clip with labels needs ids; a bare tuple of frames and masks needs neither. An
instance is present in a frame if its mask has a pixel there. Boxes are made from the masks and
never read, unless there are no masks: then they are transformed, read in their format, or as XYXY
if they are a plain tensor. All other leaves pass through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import KeyPath, key_get
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from vidgap_augment.boxes import boxes_from_masks, corner_boxes
from vidgap_augment.geometry import Placement
from vidgap_augment.plan import Plan, SourceMasks
from vidgap_augment.render import Rendered, kept_rows, render
from vidgap_augment.structure import (
    Role,
    find_roles,
    is_image_key,
    is_keyed,
    name_of,
    replaced,
)

Sample: TypeAlias = Any
"""A structure that holds an image or a clip; see `vidgap_augment.sample`."""

MAX_ID = 2**62
"""Ids are below, so that a new one can always be given."""

NEW_KEYS: dict[Role, str] = {"boxes": "boxes", "ids": "ids"}
"""The parts that are added to a clip sample without them, and their keys."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A sample whose parts are found and checked.

    Attributes:
        inputs: the structure.
        paths: the key path of each part.
        plan: of the image or clip in it, unchanged.
    """

    inputs: Any
    paths: Mapping[Role, KeyPath]
    plan: Plan

    def close(self, plan: Plan) -> Any:
        """Return the structure with the clip of a plan that began as this one's.

        Instances without a pixel in any frame are dropped if the sample has labels; else every
        instance keeps its row.
        """
        return self.put_back(plan, render(plan, keep_absent=plan.labels is None))

    def put_back(self, plan: Plan, rendered: Rendered) -> Any:
        """Return the structure with the parts of a rendered plan instead of those found."""
        found = parts_of(plan, rendered)
        new = {self.paths[role]: value for role, value in found.items() if role in self.paths}
        if "crowds" in found and isinstance(key_get(self.inputs, self.paths["crowds"]), list):
            new[self.paths["crowds"]] = found["crowds"].tolist()
        added = {
            key: found[role]
            for role, key in NEW_KEYS.items()
            if role in found and role not in self.paths and not plan.is_image
        }
        return replaced(self.inputs, new, self._home(), added)

    def _home(self) -> KeyPath | None:
        """Return the path of the dict for new keys: that of the labels, else of the masks."""
        for path in (self.paths.get("labels"), self.paths.get("masks")):
            if path is not None and is_keyed(path):
                return path[:-1]
        return None


def open_sample(inputs: Any) -> Opened:
    """Find the image or the clip in a structure.

    Raises:
        ValueError: there is none, or two, or it is malformed. The message names the part, what is
            wanted and what came.
    """
    paths = find_roles(inputs)
    if "frames" not in paths:
        raise ValueError(f"sample must hold an image or a video, got {describe(inputs)}")
    path = paths["frames"]
    is_image = isinstance(key_get(inputs, path), tv_tensors.Image) or is_image_key(path)
    check_complete(inputs, paths, is_image)
    frames = check_frames(name_of(path), key_get(inputs, path), is_image)
    size = (frames.shape[-2], frames.shape[-1])
    masks, boxes = None, None
    count: int | str = "N"
    if "masks" in paths:
        masks = read_masks(inputs, paths, frames, is_image)
        count = len(masks)
    elif "boxes" in paths:
        boxes = read_boxes(name_of(paths["boxes"]), key_get(inputs, paths["boxes"]), len(frames))
        count = len(boxes)

    def column(role: Role, dtype: torch.dtype | None) -> Tensor | None:
        nonlocal count
        if role not in paths:
            return None
        where = paths[role]
        given = key_get(inputs, where)
        if role == "crowds" and isinstance(given, list):  # as torchvision's COCO wrapper has it
            if not all(value in (0, 1) for value in given):
                raise ValueError(f"{name_of(where)} must be 0 or 1 each, got {given!r}")
            given = torch.tensor(given, dtype=torch.int64)
        tensor = check_tensor(name_of(where), given, (count,), dtype)
        count = len(tensor)
        return tensor

    plan = Plan(
        frames,
        Placement.start(len(frames), size),
        None if masks is None else SourceMasks(masks),
        boxes,
        column("labels", torch.int64),
        column("ids", torch.int64),
        column("crowds", None),
        is_image=is_image,
    )
    if plan.ids is not None:
        plan = replace(plan, next_id=free_id(name_of(paths["ids"]), plan.ids.tolist()))
    return Opened(inputs, paths, plan)


def free_id(name: str, ids: Sequence[int]) -> int:
    """Return an id above all given; ValueError if two are equal or one is not below `MAX_ID`."""
    if len(set(ids)) < len(ids):
        repeated = min(number for number in ids if ids.count(number) > 1)
        raise ValueError(f"{name} must differ, got {repeated} more than once")
    largest = max(ids, default=-1)
    if largest >= MAX_ID:
        raise ValueError(f"{name} must be below {MAX_ID}, got {largest}")
    return largest + 1


def parts_of(plan: Plan, rendered: Rendered) -> dict[Role, Any]:
    """Return the parts of the sample of a rendered plan."""
    found: dict[Role, Any] = {}
    if plan.is_image:
        found["frames"] = tv_tensors.Image(rendered.frames[0])
    else:
        found["frames"] = tv_tensors.Video(rendered.frames)
    if rendered.masks is not None:
        masks = rendered.masks[:, 0] if plan.is_image else rendered.masks
        found["masks"] = tv_tensors.Mask(masks)
    if rendered.boxes is not None:
        found["boxes"] = corner_boxes(rendered.boxes.flatten(0, 1), plan.placement.size)
    columns: dict[Role, Tensor | None] = {
        "labels": kept_rows(plan.labels, rendered.kept),
        "ids": kept_rows(plan.ids, rendered.kept),
        "crowds": kept_rows(plan.crowds, rendered.kept),
    }
    found |= {role: column for role, column in columns.items() if column is not None}
    return found


def drop_empty(sample: Sample) -> Sample:
    """Remove the instances without a pixel in any frame, and make the boxes from the masks.

    Args:
        sample: a clip sample with masks and labels; it is not changed. Its boxes are not read.

    Returns:
        The sample with the remaining instances, which keep their ids.

    Raises:
        ValueError: the sample is malformed or has no masks.
    """
    opened = open_sample(sample)
    if opened.plan.masks is None:
        raise ValueError("sample must have masks")
    masks = opened.plan.masks.masks
    boxes = boxes_from_masks(masks).reshape(*masks.shape[:2], 4)
    seen = (boxes[..., 2] > 0).any(dim=1)
    kept = seen.nonzero()[:, 0].cpu()
    if not seen.all():
        masks, boxes = masks[seen], boxes[seen]
    rendered = Rendered(opened.plan.frames, masks, boxes.as_subclass(Tensor), kept)
    return opened.put_back(opened.plan, rendered)


def check_complete(inputs: Any, paths: Mapping[Role, KeyPath], is_image: bool) -> None:
    """Raise ValueError if a part is missing that the others need."""
    keyed = [path for role, path in paths.items() if role != "frames" and is_keyed(path)]
    wanted: list[Role] = []
    if keyed:
        wanted += ["labels"] if "boxes" in paths and "masks" not in paths else ["masks", "labels"]
    if "labels" in paths and not is_image:
        wanted.append("ids")
    for role in wanted:
        if role not in paths:
            keys = list(key_get(inputs, keyed[0][:-1]))
            raise ValueError(f"sample must have the key '{role}', got the keys {keys}")


def describe(inputs: Any) -> str:
    """Return what an error says of something that is no sample."""
    if isinstance(inputs, Mapping):
        return f"the keys {list(inputs)}"
    kinds = [type(value).__name__ for value in inputs] if isinstance(inputs, (list, tuple)) else []
    name = f"{type(inputs).__name__} of {', '.join(kinds)}" if kinds else type(inputs).__name__
    hint = "; v2.ToImage() makes tensors of pictures" if "Image" in name else ""
    return name + hint


def check_frames(name: str, frames: Any, is_image: bool) -> Tensor:
    """Return frames as (S, 3, H, W); ValueError unless they are RGB, uint8."""
    shape: tuple[int | str, ...] = (3, "H", "W") if is_image else ("T", 3, "H", "W")
    tensor = check_tensor(name, frames, shape, torch.uint8)
    if tensor.numel() == 0:
        raise ValueError(f"{name} must have pixels, got {tuple(tensor.shape)} uint8")
    return tensor.unsqueeze(0) if is_image else tensor


def read_masks(
    inputs: Any, paths: Mapping[Role, KeyPath], frames: Tensor, is_image: bool
) -> Tensor:
    """Return masks as (N, S, H, W); ValueError unless they fit the frames."""
    name = name_of(paths["masks"])
    middle = () if is_image else (len(frames),)
    shape = ("N", *middle, *frames.shape[-2:])
    masks = check_tensor(name, key_get(inputs, paths["masks"]), shape, torch.bool)
    if masks.device != frames.device:
        where = name_of(paths["frames"])
        raise ValueError(f"{name} must be on {frames.device} as {where}, got {masks.device}")
    return masks.unsqueeze(1) if is_image else masks


def read_boxes(name: str, boxes: Any, num_frames: int) -> Tensor:
    """Return boxes as (N, S, 4) XYXY; ValueError unless they fit `num_frames`."""
    tensor = check_tensor(name, boxes, ("N*T", 4), None)
    if len(tensor) % num_frames:
        raise ValueError(
            f"{name} must have a row for each of the {num_frames} frames of each instance, "
            f"got {len(tensor)} rows"
        )
    if isinstance(boxes, tv_tensors.BoundingBoxes):
        xyxy = F.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY)
        tensor = xyxy.as_subclass(Tensor)
    if tensor.is_complex() or not tensor.double().isfinite().all():
        raise ValueError(f"{name} must be finite numbers, got others")
    return tensor.reshape(-1, num_frames, 4)


def check_tensor(
    name: str, tensor: Any, shape: tuple[int | str, ...], dtype: torch.dtype | None
) -> Tensor:
    """Return a plain tensor; ValueError unless it has `dtype` and `shape` (a name: any number)."""
    wanted = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    if dtype is not None:
        wanted += f" {_name(dtype)}"
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor {wanted}, got {type(tensor).__name__}")
    fits = tensor.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, tensor.shape, strict=True)
    )
    if not fits or dtype not in (None, tensor.dtype):
        got = f"{tuple(tensor.shape)} {_name(tensor.dtype)}"
        hint = ""
        if dtype == torch.uint8 and tensor.is_floating_point():
            hint = "; v2.ToDtype(torch.uint8, scale=True) turns 0..1 into grey levels"
        if dtype == torch.bool and tensor.dtype != torch.bool:
            hint = "; masks > 0 makes them bool"
        raise ValueError(f"{name} must be {wanted}, got {got}{hint}")
    return tensor.as_subclass(Tensor)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
