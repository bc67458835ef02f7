"""The annotations of a generated scene, as COCO and YouTube-VIS write them.

An instance that shows fewer than `min_area` pixels in a picture is absent there: no annotation of
a still, null in the lists of a clip (a few pixels of it may be seen, and belong to no mask).
An instance absent from a whole clip has no annotation. The annotations of a picture stand in depth
order, the farthest first. Beyond the standard keys, each holds:

- `group`: equal for the look-alikes of one image or video.
- `visible_fraction`: of the instance's footprint inside the frame, the part that no nearer
  instance covers; a number for stills, a list with null where absent for clips.
- `occlusion` (clips): the same in OVIS's words, a list with null where absent: no_occlusion from
  0.95 on, slight_occlusion from 0.5 on, severe_occlusion below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.synthetic.render import BoolArray, Render
from vidgap_vis.synthetic.scene import CLASS_NAMES, Instance, Scene

Json = dict[str, Any]
"""An object of a JSON file."""


def categories() -> list[Json]:
    """Return the categories; the ids count from 1."""
    return [
        {"id": label + 1, "name": name, "supercategory": "shape"}
        for label, name in enumerate(CLASS_NAMES)
    ]


def image_annotations(scene: Scene, render: Render, min_area: int) -> list[Json]:
    """Return the COCO annotations of a still, without their ids and image ids."""
    annotations = []
    for n, instance in enumerate(scene.instances):
        seen = describe(render.masks[n], render.footprints[n], min_area)[0]
        if seen is not None:
            annotations.append(
                {
                    **describe_role(instance),
                    "segmentation": seen["segmentation"],
                    "bbox": seen["bbox"],
                    "area": seen["area"],
                    "visible_fraction": seen["visible_fraction"],
                }
            )
    return annotations


def clip_annotations(scene: Scene, render: Render, min_area: int) -> list[Json]:
    """Return the YouTube-VIS annotations of a clip, without their ids and video ids."""
    height, width = scene.size
    annotations = []
    for n, instance in enumerate(scene.instances):
        seen = describe(render.masks[n], render.footprints[n], min_area)
        if any(frame is not None for frame in seen):
            annotations.append(
                {
                    **describe_role(instance),
                    "height": height,
                    "width": width,
                    "length": scene.num_frames,
                    "segmentations": [frame and frame["segmentation"] for frame in seen],
                    "bboxes": [frame and frame["bbox"] for frame in seen],
                    "areas": [frame and frame["area"] for frame in seen],
                    "visible_fraction": [frame and frame["visible_fraction"] for frame in seen],
                    "occlusion": [frame and occlusion(frame["visible_fraction"]) for frame in seen],
                }
            )
    return annotations


def describe_role(instance: Instance) -> Json:
    """Return the keys of an annotation that hold for all frames."""
    return {"category_id": instance.role.label + 1, "iscrowd": 0, "group": instance.role.group}


def describe(masks: BoolArray, footprints: BoolArray, min_area: int) -> list[Json | None]:
    """Return the keys of an annotation for each frame; None where the instance is absent.

    Args:
        masks: its visible pixels, (T, H, W).
        footprints: its pixels, including those that nearer instances hide, (T, H, W).
        min_area: fewer visible pixels count as absent.
    """
    rles = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    boxes = coco_mask.toBbox(rles).tolist()
    areas = masks.sum(axis=(1, 2)).tolist()
    whole = footprints.sum(axis=(1, 2)).tolist()
    return [
        {
            "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
            "bbox": box,
            "area": area,
            "visible_fraction": round(area / full, 4),
        }
        if area >= min_area
        else None
        for rle, box, area, full in zip(rles, boxes, areas, whole, strict=True)
    ]


def occlusion(visible_fraction: float) -> str:
    """Return OVIS's word for how much of an instance is hidden."""
    if visible_fraction >= 0.95:
        return "no_occlusion"
    return "slight_occlusion" if visible_fraction >= 0.5 else "severe_occlusion"


def number(kind: str, entries: list[Json], annotations: list[list[Json]]) -> Json:
    """Return the whole file: entries and their annotations, with ids that count from 1.

    Args:
        kind: "image" or "video".
        entries: the images or videos.
        annotations: of each entry.
    """
    flat = [
        {f"{kind}_id": entry_id, **annotation}
        for entry_id, own in enumerate(annotations, start=1)
        for annotation in own
    ]
    return {
        "info": {"description": "generated by vidgap_vis.sample"},
        f"{kind}s": [{"id": id_, **entry} for id_, entry in enumerate(entries, start=1)],
        "annotations": [{"id": id_, **annotation} for id_, annotation in enumerate(flat, start=1)],
        "categories": categories(),
    }
