"""Samples, as torchvision's transforms v2 take them: what they hold, their checks, their instances.

| role | found as | of an image | of a clip |
|---|---|---|---|
| frames | `tv_tensors.Image`, `Video`; key `image`, `video` | (3, H, W) uint8 | (T, 3, H, W) |
| masks | `tv_tensors.Mask` or key `masks` | (N, H, W) bool | (N, T, H, W) bool |
| boxes | `tv_tensors.BoundingBoxes` or key `boxes` | (N, 4) | (N*T, 4), row n*T + t |
| labels | key `labels`: class indices | (N,) int64 | (N,) int64 |
| ids | key `ids`: one identity an instance | | (N,) int64 |
| crowds | key `iscrowd`: what is no single instance; a list too | (N,) | (N,) |

The structure is usually one dict; (image, target), or anything nested, will do too. Where there are
masks under a key there must be labels, and a clip with labels must have ids; a bare tuple of frames
and masks needs neither. An instance is present in a frame where its mask has a pixel. Boxes are
made from the masks and never read, except where there are no masks: then they are moved along, read
as their format says, or as XYXY where they are a plain tensor. All other leaves pass through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from vidgap_augment.boxes import boxes_from_masks, corner_boxes
from vidgap_augment.geometry import Placement
from vidgap_augment.plan import Plan, SourceMasks
from vidgap_augment.render import Rendered, kept_rows, render
from vidgap_augment.structure import Path, Role, find_roles, leaf, place, replaced

Sample: TypeAlias = Any
"""A structure that holds an image or a clip; see `vidgap_augment.sample`."""

MAX_ID = 2**62
"""Ids stay below, so that there are always new ones."""

NEW_KEYS: dict[Role, str] = {"boxes": "boxes", "ids": "ids"}
"""What a clip sample is given where it did not have it."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A sample whose parts were found and checked.

    Attributes:
        inputs: the structure.
        paths: where each part is.
        plan: the image or clip in it, as it is.
    """

    inputs: Any
    paths: Mapping[Role, Path]
    plan: Plan

    def close(self, plan: Plan) -> Any:
        """Return the structure with the clip of a plan, which this one has become.

        Instances without a pixel in any frame are left out where the sample has labels: then all
        that is known of an instance goes with it.
        """
        return self.put_back(plan, render(plan, keep_absent=plan.labels is None))

    def put_back(self, plan: Plan, rendered: Rendered) -> Any:
        """Return the structure with a rendered plan in the places of what was found."""
        found = parts_of(plan, rendered)
        new = {self.paths[role]: value for role, value in found.items() if role in self.paths}
        if "crowds" in found and isinstance(leaf(self.inputs, self.paths["crowds"]), list):
            new[self.paths["crowds"]] = found["crowds"].tolist()
        added = {
            key: found[role]
            for role, key in NEW_KEYS.items()
            if role in found and role not in self.paths and not plan.is_image
        }
        return replaced(self.inputs, new, self._home(), added)

    def _home(self) -> Path | None:
        """Return where new keys go: the dict of the labels, else of the masks, if it is one."""
        for path in (self.paths.get("labels"), self.paths.get("masks")):
            if path and isinstance(path[-1], str):
                return path[:-1]
        return None


def open_sample(inputs: Any) -> Opened:
    """Find the image or the clip in a structure.

    Raises:
        ValueError: there is none, or two, or it is malformed. The message says where it is, what
            is wanted and what came.
    """
    paths = find_roles(inputs)
    if "frames" not in paths:
        raise ValueError(f"sample must hold an image or a video, got {describe(inputs)}")
    path = paths["frames"]
    is_image = isinstance(leaf(inputs, path), tv_tensors.Image) or path[-1:] == ("image",)
    check_complete(inputs, paths, is_image)
    frames = check_frames(place(path), leaf(inputs, path), is_image)
    size = (frames.shape[-2], frames.shape[-1])
    masks, boxes = None, None
    count: int | str = "N"
    if "masks" in paths:
        masks = read_masks(inputs, paths, frames, is_image)
        count = len(masks)
    elif "boxes" in paths:
        boxes = read_boxes(place(paths["boxes"]), leaf(inputs, paths["boxes"]), len(frames))
        count = len(boxes)

    def column(role: Role, dtype: torch.dtype | None) -> Tensor | None:
        nonlocal count
        if role not in paths:
            return None
        where = paths[role]
        given = leaf(inputs, where)
        if role == "crowds" and isinstance(given, list):  # as torchvision's COCO wrapper has it
            given = torch.tensor(given, dtype=torch.int64)
        tensor = check_tensor(place(where), given, (count,), dtype)
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
        plan = replace(plan, next_id=free_id(place(paths["ids"]), plan.ids.tolist()))
    return Opened(inputs, paths, plan)


def free_id(name: str, ids: Sequence[int]) -> int:
    """Return an id above all; ValueError where two are the same or there is none above."""
    if len(set(ids)) < len(ids):
        repeated = min(number for number in ids if ids.count(number) > 1)
        raise ValueError(f"{name} must differ, got {repeated} more than once")
    largest = max(ids, default=-1)
    if largest >= MAX_ID:
        raise ValueError(f"{name} must be below {MAX_ID}, got {largest}")
    return largest + 1


def parts_of(plan: Plan, rendered: Rendered) -> dict[Role, Any]:
    """Return what a sample of a rendered plan holds."""
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
    """Remove the instances without a pixel in any frame, and set the boxes to the masks'.

    Args:
        sample: a clip sample with masks and labels; it is not changed. Its boxes are not read.

    Returns:
        The sample with the remaining instances. The ids keep their values: they are not counted
        anew.

    Raises:
        ValueError: the sample is not a clip sample; the message says where.
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


def check_complete(inputs: Any, paths: Mapping[Role, Path], is_image: bool) -> None:
    """Raise ValueError where a sample lacks what must come with what it has."""
    keyed = [path for role, path in paths.items() if role != "frames" and _in_dict(path)]
    wanted: list[Role] = []
    if keyed:
        wanted += ["labels"] if "boxes" in paths and "masks" not in paths else ["masks", "labels"]
    if "labels" in paths and not is_image:
        wanted.append("ids")
    for role in wanted:
        if role not in paths:
            keys = list(leaf(inputs, keyed[0][:-1]))
            raise ValueError(f"sample must have the key '{role}', got the keys {keys}")


def describe(inputs: Any) -> str:
    """Say what came in place of a sample."""
    if isinstance(inputs, Mapping):
        return f"the keys {list(inputs)}"
    kinds = [type(value).__name__ for value in inputs] if isinstance(inputs, (list, tuple)) else []
    name = f"{type(inputs).__name__} of {', '.join(kinds)}" if kinds else type(inputs).__name__
    hint = "; v2.ToImage() makes tensors of pictures" if "Image" in name else ""
    return name + hint


def check_frames(name: str, frames: Any, is_image: bool) -> Tensor:
    """Return frames as (S, 3, H, W); ValueError where they are not RGB in whole grey levels."""
    shape: tuple[int | str, ...] = (3, "H", "W") if is_image else ("T", 3, "H", "W")
    tensor = check_tensor(name, frames, shape, torch.uint8)
    if tensor.numel() == 0:
        raise ValueError(f"{name} must have pixels, got {tuple(tensor.shape)} uint8")
    return tensor.unsqueeze(0) if is_image else tensor


def read_masks(inputs: Any, paths: Mapping[Role, Path], frames: Tensor, is_image: bool) -> Tensor:
    """Return masks as (N, S, H, W); ValueError where they do not fit the frames."""
    name = place(paths["masks"])
    middle = () if is_image else (len(frames),)
    shape = ("N", *middle, *frames.shape[-2:])
    masks = check_tensor(name, leaf(inputs, paths["masks"]), shape, torch.bool)
    if masks.device != frames.device:
        where = place(paths["frames"])
        raise ValueError(f"{name} must be on {frames.device} as {where}, got {masks.device}")
    return masks.unsqueeze(1) if is_image else masks


def read_boxes(name: str, boxes: Any, num_frames: int) -> Tensor:
    """Return boxes as (N, S, 4) XYXY; ValueError where they are none of so many frames."""
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


def _in_dict(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], str)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
