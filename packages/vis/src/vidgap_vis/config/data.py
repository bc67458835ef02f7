"""Sections `data` and `clip`: what is read, and how it becomes clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from vidgap_vis.config.checks import require, require_fraction, require_positive, require_range

Per: TypeAlias = Literal["video", "image"]
"""Whether random choices are made once for a clip or for each frame of it."""


@dataclass(frozen=True)
class ImageDataConfig:
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
class PseudoDataConfig(ImageDataConfig):
    """Still images that become pseudo-clips beside real clips (CTVIS's joint training).

    Attributes:
        root: the data set's folder.
        annotations: COCO JSON, relative to `root`.
        images: the folder that its file names start from, relative to `root`.
        ratio: pseudo-clips for each clip of a video (1 / 1.5 for YouTube-VIS 2019).
        category_map: category id of the images -> category id of the videos; null: the same names.
    """

    ratio: float = 1 / 1.5
    category_map: dict[int, int] | None = None

    def __post_init__(self) -> None:
        require_positive("data.pseudo", ratio=self.ratio)


@dataclass(frozen=True)
class VideoDataConfig:
    """Annotated videos.

    Attributes:
        root: the data set's folder.
        annotations: YouTube-VIS JSON (OVIS is the same format), relative to `root`.
        frames: the folder that its file names start from, relative to `root`.
        pseudo: still images to train on beside the videos; null: none.
    """

    root: Path
    annotations: Path = Path("train.json")
    frames: Path = Path("train/JPEGImages")
    pseudo: PseudoDataConfig | None = None


MAX_SIDE = 16384
"""The largest side of a clip, in pixels."""


@dataclass(frozen=True)
class PseudoAugmentation:
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
    """

    max_rotation_deg: float = 15.0
    rotation: Per = "video"
    auto_augment: Per | None = "video"
    copy_paste: Per | None = "video"
    paste_probability: float = 0.5

    def __post_init__(self) -> None:
        angle = self.max_rotation_deg
        require("clip.max_rotation_deg", 0 <= angle <= 180, "an angle in 0..180", angle)
        require_fraction("clip", paste_probability=self.paste_probability)


@dataclass(frozen=True)
class PseudoClipConfig(PseudoAugmentation):
    """How a still image becomes a clip: replicated, augmented, flipped, scaled, cropped.

    Attributes:
        max_rotation_deg, rotation, auto_augment, copy_paste, paste_probability: as in
            `PseudoAugmentation`.
        num_frames: copies of the image (T).
        flip_probability: of mirroring the whole clip.
        size: (H, W) of the box that is scaled and then cropped to; null: the image's own size.
        scale_range: (low, high) of the factor on `size`, drawn once per clip.
    """

    num_frames: int = 3
    flip_probability: float = 0.5
    size: tuple[int, int] | None = (1024, 1024)
    scale_range: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("clip", num_frames=self.num_frames)
        require_fraction("clip", flip_probability=self.flip_probability)
        if self.size is not None:
            wanted = f"[H, W] of 1 to {MAX_SIDE} each, or null"
            require(
                "clip.size", 0 < min(self.size) <= max(self.size) <= MAX_SIDE, wanted, self.size
            )
        low, high = self.scale_range
        wanted = "[low, high] within 0.001..1000"
        require("clip.scale_range", 1e-3 <= low <= high <= 1e3, wanted, self.scale_range)


@dataclass(frozen=True)
class PseudoExportConfig:
    """Pseudo-clips that are written to files.

    Attributes:
        clip: how a still image becomes a clip; by default it keeps its own size.
        clips_per_image: how many are made of each image.
        max_images: of the images with an instance, only the first so many; null: all.
        seed: 0 or more; the same seed gives the same clips.
    """

    clip: PseudoClipConfig = field(default_factory=lambda: PseudoClipConfig(size=None))
    clips_per_image: int = 1
    max_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require("clips_per_image", self.clips_per_image > 0, "1 or more", self.clips_per_image)
        if self.max_images is not None:
            require("max_images", self.max_images > 0, "1 or more, or null", self.max_images)
        require("seed", self.seed >= 0, "0 or more", self.seed)


@dataclass(frozen=True)
class VideoClipConfig(PseudoAugmentation):
    """How clips are cut from videos (CTVIS's recipe), and pseudo-clips beside them.

    Attributes:
        max_rotation_deg, rotation, auto_augment, copy_paste, paste_probability: as in
            `PseudoAugmentation`, of the pseudo-clips.
        num_frames: frames of a clip (T).
        frame_range: they are drawn within this many frames of a reference frame.
        flip_probability: of mirroring the whole clip.
        crop_probability: of cropping the whole clip before it is resized.
        crop_range: (low, high) of the crop's sides in pixels.
        pseudo_crop_short_edges: pseudo-clips are resized to one of these before they are cropped.
        pseudo_crop_max_size: and their long side does not exceed this.
        short_edges: one is drawn per clip for the short side; empty: the video's own size.
        max_size: the long side never exceeds this.
    """

    num_frames: int = 10
    frame_range: int = 20
    flip_probability: float = 0.5
    crop_probability: float = 0.5
    crop_range: tuple[int, int] = (384, 600)
    pseudo_crop_short_edges: tuple[int, ...] = (400, 500, 600)
    pseudo_crop_max_size: int = 1333
    short_edges: tuple[int, ...] = (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
    max_size: int = 768

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(
            "clip",
            num_frames=self.num_frames,
            max_size=self.max_size,
            pseudo_crop_max_size=self.pseudo_crop_max_size,
        )
        require("clip.frame_range", self.frame_range >= 0, "0 or more frames", self.frame_range)
        require_fraction(
            "clip", flip_probability=self.flip_probability, crop_probability=self.crop_probability
        )
        require_range("clip.crop_range", self.crop_range)
        edges = self.short_edges
        require("clip.short_edges", all(edge > 0 for edge in edges), "sizes above 0", edges)
        edges = self.pseudo_crop_short_edges
        wanted = "one or more sizes above 0"
        require("clip.pseudo_crop_short_edges", min(edges, default=0) > 0, wanted, edges)
