"""Sections `data` and `clip`: what is read, and how it becomes clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from vidgap_vis.config.section import (
    FROM_1,
    Count,
    Fraction,
    Positive,
    Section,
    Seed,
    Wanted,
)
from vidgap_vis.errors import ConfigError

Per: TypeAlias = Literal["video", "image"]
"""Whether random choices are made once for a clip or for each frame of it."""

MapName: TypeAlias = Literal["ytvis_2019", "ytvis_2021", "ovis"]
"""Data sets to whose categories those of COCO are mapped (`data/category_maps`)."""

MAX_SIDE = 16384
"""The largest side of a clip, in pixels."""

Angle = Annotated[float, Wanted("an angle in 0..180", lambda angle: 0 <= angle <= 180)]
Size = Annotated[
    tuple[int, int],
    Wanted(f"[H, W] of 1 to {MAX_SIDE} each", lambda size: 0 < min(size) <= max(size) <= MAX_SIDE),
]
ScaleRange = Annotated[
    tuple[float, float],
    Wanted("[low, high] within 0.001..1000", lambda pair: 1e-3 <= pair[0] <= pair[1] <= 1e3),
]
SideRange = Annotated[
    tuple[int, int],
    Wanted("[low, high] with 0 < low <= high", lambda pair: 0 < pair[0] <= pair[1]),
]
Sides = Annotated[
    tuple[int, ...], Wanted("sizes above 0", lambda sides: all(side > 0 for side in sides))
]
SomeSides = Annotated[
    tuple[int, ...], Wanted("one or more sizes above 0", lambda sides: min(sides, default=0) > 0)
]
Frames = Annotated[int, Wanted("0 or more frames", lambda frames: frames >= 0)]


@dataclass(frozen=True)
class ImageDataConfig(Section, key="data"):
    """Annotated still images.

    Attributes:
        root: the data set's folder.
        annotations: COCO JSON, relative to `root`.
        images: the folder that its file names start from, relative to `root`.
    """

    root: Path
    annotations: Path = Path("annotations/instances_train2017.json")
    images: Path = Path("train2017")


@dataclass(frozen=True)
class PseudoDataConfig(ImageDataConfig, key="data.pseudo"):
    """Still images that become pseudo-clips beside real clips (CTVIS's joint training).

    Attributes:
        root: the data set's folder.
        annotations: COCO JSON, relative to `root`.
        images: the folder that its file names start from, relative to `root`.
        ratio: pseudo-clips for each clip of a video (1 / 1.5 for YouTube-VIS 2019).
        category_map: category id of the images -> category id of the videos; null: the same names.
        coco_to: whose videos' categories COCO's images get, by CTVIS's tables, in place of a map.
    """

    ratio: Positive = 1 / 1.5
    category_map: dict[int, int] | None = None
    coco_to: MapName | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        alone = self.coco_to is None or self.category_map is None
        self.require("coco_to", alone, "null where data.pseudo.category_map is given")


@dataclass(frozen=True)
class VideoDataConfig(Section, key="data"):
    """Annotated videos, still images that become pseudo-clips, or both.

    Attributes:
        root: the videos' folder; null where there are none.
        annotations: YouTube-VIS JSON (OVIS is the same format), relative to `root`; null: no
            videos, all clips are made of the images of `pseudo`.
        frames: the folder that its file names start from, relative to `root`.
        pseudo: still images to train on beside the videos, or alone; null: none.
    """

    root: Path | None = None
    annotations: Path | None = Path("train.json")
    frames: Path = Path("train/JPEGImages")
    pseudo: PseudoDataConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.annotations is not None and self.root is None:
            raise ConfigError("", "data.root", "missing")
        if self.annotations is None:
            if self.pseudo is None:
                message = "missing; without data.annotations all clips are made of its images"
                raise ConfigError("", "data.pseudo", message)
            for name in ("category_map", "coco_to"):
                if getattr(self.pseudo, name) is not None:
                    message = "wanted null without data.annotations: no classes to map to"
                    raise ConfigError("", f"data.pseudo.{name}", message)


@dataclass(frozen=True)
class PseudoAugmentation(Section, key="clip"):
    """What makes a clip of a still image differ from copies of it (paper Tables 2, 3 and 4).

    Attributes:
        max_rotation_deg: the copies' angles are drawn from +- this and sorted; real clips are not
            rotated. 0: none, except that `auto_augment` may draw a rotation of its own.
        rotation: "video": slowly; "image": each copy for itself.
        auto_augment: "video": the same photometric operations on all copies; "image": on each its
            own; null: none.
        copy_paste: "video": an instance pasted once more, moving smoothly; "image": into each copy
            one drawn anew; null: none.
        paste_probability: of a paste in a clip.
        paste_min_area: the least pixels of an instance that is pasted.
        paste_scale_range: (low, high) of its scale at the start.
        paste_max_displacement: the longest way along each axis, as a share of the frame's side.
    """

    max_rotation_deg: Angle = 15.0
    rotation: Per = "video"
    auto_augment: Per | None = "video"
    copy_paste: Per | None = "video"
    paste_probability: Fraction = 0.5
    paste_min_area: Count = 32**2
    paste_scale_range: ScaleRange = (0.8, 1.25)
    paste_max_displacement: Fraction = 0.15


@dataclass(frozen=True)
class PseudoClipConfig(PseudoAugmentation, key="clip"):
    """How a still image becomes a clip: replicated, augmented, flipped, scaled, cropped.

    Attributes:
        max_rotation_deg, rotation, auto_augment, copy_paste, paste_probability, paste_min_area,
            paste_scale_range, paste_max_displacement: as in `PseudoAugmentation`.
        num_frames: copies of the image (T).
        flip_probability: of mirroring the whole clip.
        size: (H, W) of the box that is scaled and then cropped to; null: the image's own size.
        scale_range: (low, high) of the factor on `size`, drawn once per clip.
    """

    num_frames: Count = 3
    flip_probability: Fraction = 0.5
    size: Size | None = (1024, 1024)
    scale_range: ScaleRange = (0.1, 2.0)


@dataclass(frozen=True)
class PseudoExportConfig(Section):
    """Pseudo-clips that are written to files.

    Attributes:
        clip: how a still image becomes a clip; by default it keeps its own size.
        clips_per_image: how many are made of each image.
        max_images: of the images with an instance, only the first so many; null: all.
        seed: 0 or more; the same seed gives the same clips.
    """

    clip: PseudoClipConfig = field(default_factory=lambda: PseudoClipConfig(size=None))
    clips_per_image: Annotated[int, FROM_1] = 1
    max_images: Annotated[int, FROM_1] | None = None
    seed: Seed = 0


@dataclass(frozen=True)
class VideoClipConfig(PseudoAugmentation, key="clip"):
    """How clips are cut from videos (CTVIS's recipe), and pseudo-clips beside them.

    Attributes:
        max_rotation_deg, rotation, auto_augment, copy_paste, paste_probability, paste_min_area,
            paste_scale_range, paste_max_displacement: as in `PseudoAugmentation`, of the
            pseudo-clips.
        num_frames: frames of a clip (T).
        frame_range: they are drawn within this many frames of a reference frame; where a clip has
            2 * `frame_range` + 1 frames, they follow each other.
        with_replacement: lets a frame be drawn twice, as CTVIS's release does.
        reverse_probability: of a clip of a video that runs backwards (DVIS's offline model).
        flip_probability: of mirroring the whole clip.
        crop_probability: of cropping the whole clip before it is resized.
        crop_range: (low, high) of the crop's sides in pixels.
        pseudo_crop_probability: of the crop of a pseudo-clip, which slides; null: as of real ones.
        pseudo_crop_range: (low, high) of its sides; null: as of real ones.
        pseudo_crop_short_edges: pseudo-clips are resized to one of these before they are cropped.
        pseudo_crop_max_size: and their long side does not exceed this.
        short_edges: one is drawn per clip for the short side; empty: the video's own size.
        max_size: the long side never exceeds this.
    """

    num_frames: Count = 10
    frame_range: Frames = 20
    with_replacement: bool = False
    reverse_probability: Fraction = 0.0
    flip_probability: Fraction = 0.5
    crop_probability: Fraction = 0.5
    crop_range: SideRange = (384, 600)
    pseudo_crop_probability: Fraction | None = None
    pseudo_crop_range: SideRange | None = None
    pseudo_crop_short_edges: SomeSides = (400, 500, 600)
    pseudo_crop_max_size: Count = 1333
    short_edges: Sides = (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
    max_size: Count = 768
