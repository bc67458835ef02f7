"""Make the pictures of docs/gallery.md: `python docs/make_gallery.py`, in half a minute.

Everything shown is generated (`vidgap data synthetic` makes more of it); seeds are fixed, so the
pictures change only when the transforms do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vidgap_augment import (
    ClipCompose,
    PseudoClip,
    VideoAutoAugment,
    VideoCopyPaste,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)
from vidgap_augment.auto_augment import Augmentation, Op
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.synthetic import SyntheticOptions, clip_scene, image_scene, render
from vidgap_vis.video.overlay import draw_tracks

IMAGES = Path(__file__).parent / "images"
OPTIONS = SyntheticOptions(
    seed=3, size=(120, 160), num_frames=10, num_instances=(3, 3), occluder_share=0.0
)
GAP = 4
CAPTION = 18

OPS = [
    Op("identity"), Op("autocontrast"), Op("equalize"), Op("gaussian_blur", 2.0),
    Op("contrast", 0.3), Op("sharpness", 0.05), Op("color", 0.05), Op("brightness", 0.4),
    Op("hue", 0.3), Op("posterize", 4), Op("solarize", 120),
]  # fmt: skip


def still(index: int) -> dict[str, Any]:
    """Return a generated image sample."""
    scene = image_scene(OPTIONS, "train", index)
    seen = render(scene)
    return {
        "image": torch.from_numpy(seen.frames[0]).permute(2, 0, 1),
        "masks": torch.from_numpy(seen.masks[:, 0]),
        "labels": torch.tensor([instance.role.label for instance in scene.instances]),
    }


def video(index: int) -> dict[str, Any]:
    """Return a generated clip sample of ten frames."""
    scene = clip_scene(OPTIONS, "train", index)
    seen = render(scene)
    return {
        "video": torch.from_numpy(seen.frames).permute(0, 3, 1, 2),
        "masks": torch.from_numpy(seen.masks),
        "labels": torch.tensor([instance.role.label for instance in scene.instances]),
        "ids": torch.arange(len(scene.instances)),
    }


def frames_of(clip: dict[str, Any], overlay: bool) -> list[Picture]:
    """Return the frames (H, W, 3), with a colour and the id of each instance if asked for."""
    frames = [np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in clip["video"]]
    if not overlay:
        return frames
    ids = clip["ids"].tolist()
    return [
        draw_tracks(
            frame,
            [Rle.encode(mask) for mask in clip["masks"][:, time].numpy()],
            ids,
            [str(number) for number in ids],
        )
        for time, frame in enumerate(frames)
    ]


def strip(caption: str, frames: Sequence[Picture]) -> Picture:
    """Set frames side by side under a caption, on white."""
    row = np.concatenate(
        [np.pad(f, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for f in frames], axis=1
    )
    head = np.full((CAPTION, row.shape[1], 3), 255, np.uint8)
    cv2.putText(head, caption, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([head, row])


def write(name: str, strips: Sequence[Picture], columns: int = 1) -> None:
    """Write strips below one another, `columns` of equal size beside one another, as a JPEG."""
    width = max(one.shape[1] for one in strips)
    cells = [
        np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255)
        for one in strips
    ]
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    picture = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(IMAGES / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def operations() -> None:
    """Show each operation of the pool on a pseudo-clip; the pool's rotation as the last."""
    image, strips = still(2), []
    for op in OPS:
        made = PseudoClip(3).make_params(image, generator(3))
        turned = PseudoClip(3).with_params(
            VideoAutoAugment().with_params(image, Augmentation(((op,),), None)), made
        )
        strength = f" {op.strength:g}" if op.strength else ""
        strips.append(strip(op.name + strength, frames_of(turned, overlay=False)))
    pool = ClipCompose([PseudoClip(3, 0.0), VideoAutoAugment(1, 1, pool=["rotation"])])
    strips.append(strip("rotation", frames_of(pool(image, generator(3)), overlay=False)))
    write("gallery_operations.jpg", strips, columns=2)


def arms() -> None:
    """Show what is drawn for the clip, and for each frame apart (paper Tables 2 and 3)."""
    image, strips = still(2), []
    for per in ("video", "image"):
        strips.append(
            strip(
                f"rotation, per {per}",
                frames_of(PseudoClip(5, per=per)(image, generator(4)), False),
            )
        )
    for angle in (45.0, 60.0):
        clip = PseudoClip(5, angle)(image, generator(4))
        strips.append(strip(f"rotation within {angle:g} degrees", frames_of(clip, False)))
    for per in ("video", "image"):
        pool = ClipCompose([PseudoClip(5), VideoAutoAugment(max_rotation_deg=0, per=per)])
        clip = pool(image, generator(12))
        strips.append(strip(f"VideoAutoAugment, per {per}", frames_of(clip, overlay=False)))
    for per in ("video", "image"):
        paste = ClipCompose([PseudoClip(5), VideoCopyPaste(1.0, min_area=1, per=per)])
        clip = paste(image, generator(11))
        strips.append(strip(f"VideoCopyPaste, per {per}", frames_of(clip, overlay=True)))
    write("gallery_arms.jpg", strips)


def pipelines() -> None:
    """Show the three pipelines, the shorter ones with two clips."""
    strips = []
    pretrain = pretrain_clips(3, (120, 160), scale_range=(0.5, 1.6), paste_probability=1.0)
    for seed in (1, 4):
        clip = pretrain(still(seed), generator(seed))
        caption = "pretrain_clips (T = 3)" if seed == 1 else "the same, another image"
        strips.append(strip(caption, frames_of(clip, False) + frames_of(clip, overlay=True)))
    sizes: dict[str, Any] = {"short_edges": (100,), "max_size": 160, "crop_range": (70, 110)}
    pseudo = finetune_pseudo_clips(
        10, crop_short_edges=(120,), crop_probability=1.0, paste_probability=1.0, **sizes
    )
    clip = pseudo(still(4), generator(4))
    strips.append(strip("finetune_pseudo_clips (T = 10)", frames_of(clip, overlay=True)[::2]))
    real = finetune_real_clips(crop_probability=1.0, **sizes)
    clip = real(video(4), generator(2))
    strips.append(strip("finetune_real_clips (T = 10)", frames_of(clip, overlay=True)[::2]))
    write("gallery_pipelines.jpg", strips)


def generator(seed: int) -> torch.Generator:
    """Return a generator of a seed."""
    return torch.Generator().manual_seed(seed)


if __name__ == "__main__":
    operations()
    arms()
    pipelines()
