"""Pseudo-clips on disk, as YouTube-VIS JSON, frames and a preview for people to judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from vidgap_augment import Sample
from vidgap_vis.classes import ClassList
from vidgap_vis.data.datasets import PseudoClipDataset, Transform, clip_generator
from vidgap_vis.files import replacing_folder
from vidgap_vis.formats.coco import ImageSet
from vidgap_vis.formats.images import Picture, write_picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.overlay import draw_tracks
from vidgap_vis.video.sheet import captioned, fitted, strip, write_sheet

ANNOTATIONS, FRAMES, PREVIEW = "annotations.json", "frames", "preview.png"
MAX_SHEET_CLIPS = 8
MAX_SHEET_FRAMES = 6
SHEET_HEIGHT = 240
MAX_NUMBERED = 15  # more numbers than this would cover what they name

Json = dict[str, Any]


def write_pseudo_clips(
    folder: str | PathLike[str],
    images: ImageSet,
    transform: Transform,
    *,
    clips_per_image: int = 1,
    max_images: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Make pseudo-clips of images and write them; the same seed gives the same clips.

    ```text
    annotations.json             YouTube-VIS JSON; a video names its `source_image_id`, and an
                                 annotation says whether its instance is `pasted`
    frames/IMAGE_ID_0/00000.jpg  one folder per clip
    preview.png                  the first clips: frames above, ids below, those of pastes with "+"
    ```

    Args:
        folder: to make, whole or not at all.
        images: annotated stills; those without an instance are left out.
        transform: image sample in, clip sample out.
        clips_per_image: of each image.
        max_images: only the first so many; None: all.
        seed: 0 or more.
        progress: show a bar with the time left.

    Raises:
        InputError: the folder is not empty, or an image cannot be read, or none has an instance.
    """
    dataset = PseudoClipDataset(images, transform, seed)
    count = len(dataset) if max_images is None else min(max_images, len(dataset))
    videos: list[Json] = []
    annotations: list[Json] = []
    sheet: list[list[Picture]] = []
    with (
        replacing_folder(folder) as root,
        tqdm(total=count * clips_per_image, unit="clip", disable=not progress) as bar,
    ):
        for index in range(count):
            image, sample = dataset.image(index), dataset.sample(index)
            num_sources = len(sample["labels"])
            for number in range(clips_per_image):
                clip = transform(sample, clip_generator(seed, number, index))
                name = f"{image.id}_{number}"
                video = write_frames(root / FRAMES, name, clip)
                videos.append({"id": len(videos) + 1, **video, "source_image_id": image.id})
                for own in describe_instances(clip, num_sources, images.classes):
                    given = {"id": len(annotations) + 1, "video_id": len(videos)}
                    annotations.append(given | own)
                if len(sheet) < MAX_SHEET_CLIPS:
                    sheet.append(preview(clip, num_sources, image.file_name, images.classes))
                bar.update()
        content = {
            "info": {"description": f"pseudo-clips of {images.path.name}, seed {seed}"},
            "videos": videos,
            "annotations": annotations,
            "categories": [{"id": c.category_id, "name": c.name} for c in images.classes],
        }
        text = json.dumps(content, separators=(",", ":"))
        (root / ANNOTATIONS).write_text(text + "\n", encoding="utf-8")
        write_sheet(root / PREVIEW, sheet)
    return Path(folder)


def write_frames(folder: Path, name: str, clip: Sample) -> Json:
    """Write the frames of a clip as JPEG; return its entry without an id."""
    (folder / name).mkdir(parents=True)
    num_frames, _, height, width = clip["video"].shape
    names = [f"{name}/{time:05d}.jpg" for time in range(num_frames)]
    for file_name, frame in zip(names, frames_of(clip), strict=True):
        write_picture(folder / file_name, frame)
    return {"file_names": names, "height": height, "width": width, "length": num_frames}


def describe_instances(clip: Sample, num_sources: int, classes: ClassList) -> list[Json]:
    """Return the annotations of a clip, without their ids and video ids."""
    num_frames, _, height, width = clip["video"].shape
    boxes = clip["boxes"].reshape(-1, num_frames, 4).tolist()
    found = []
    for masks, own, label, instance in zip(
        clip["masks"], boxes, clip["labels"].tolist(), clip["ids"].tolist(), strict=True
    ):
        seen = [bool(box[2]) for box in own]
        rles = [
            Rle.encode(mask.numpy()).to_dict() if there else None
            for mask, there in zip(masks, seen, strict=True)
        ]
        found.append(
            {
                "category_id": classes[label].category_id,
                "iscrowd": 0,
                "height": height,
                "width": width,
                "length": num_frames,
                "segmentations": rles,
                "bboxes": [
                    [x0, y0, x1 - x0, y1 - y0] if there else None
                    for (x0, y0, x1, y1), there in zip(own, seen, strict=True)
                ],
                "areas": [
                    int(mask.sum()) if there else None
                    for mask, there in zip(masks, seen, strict=True)
                ],
                "pasted": instance >= num_sources,
            }
        )
    return found


def preview(clip: Sample, num_sources: int, file_name: str, classes: ClassList) -> list[Picture]:
    """Return a caption and two strips of a clip: its frames, and its instances with their ids."""
    frames = frames_of(clip)
    shown = np.linspace(0, len(frames) - 1, min(MAX_SHEET_FRAMES, len(frames))).round().astype(int)
    ids, labels = clip["ids"].tolist(), clip["labels"].tolist()
    names = [f"{classes[label].name} {number}" for number, label in zip(ids, labels, strict=True)]
    pasted = [number >= num_sources for number in ids]
    captions = [
        f"{name}+" if new else str(number) if len(ids) <= MAX_NUMBERED else ""
        for name, number, new in zip(names, ids, pasted, strict=True)
    ]
    plain = [fitted(frames[time], SHEET_HEIGHT) for time in shown]
    drawn = []
    for time, small in zip(shown, plain, strict=True):
        rles = [Rle.encode(shrunk(mask, small)) for mask in clip["masks"][:, time].numpy()]
        drawn.append(draw_tracks(small, rles, ids, captions))
    new_names = [name for name, new in zip(names, pasted, strict=True) if new]
    text = f"{file_name}: {len(ids)} instances, pasted: {', '.join(new_names) or 'none'}"
    rows = [strip(plain), strip(drawn)]
    return [captioned(text, rows[0].shape[1]), *rows]


def shrunk(mask: Any, frame: Picture) -> Any:
    """Resize a mask (H, W) to the size of a frame."""
    size = (frame.shape[1], frame.shape[0])
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def frames_of(clip: Sample) -> Sequence[Picture]:
    """Return the frames as pictures (H, W, 3)."""
    return [np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in clip["video"]]
