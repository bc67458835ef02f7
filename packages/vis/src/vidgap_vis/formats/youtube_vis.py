"""YouTube-VIS JSON: videos with tracked instances; YouTube-VIS 2019, 2021, 2022 and OVIS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture, read_image
from vidgap_vis.formats.records import (
    Record,
    brief,
    check_file_name,
    check_root,
    collection_paused,
    index_by_id,
    read_classes,
    read_record,
)
from vidgap_vis.formats.rle import Segmentation, Size, read_segmentation
from vidgap_vis.native import extension


@dataclass(frozen=True, slots=True)
class VideoInstance:
    """One annotated object of a video, with its identity over all frames.

    Attributes:
        id: the annotation's id.
        label: class index.
        segmentations: its mask in each frame, decoded when used; None where it is absent.
        occlusion: how much of it is hidden in each frame, in OVIS's words ("no_occlusion",
            "slight_occlusion", "severe_occlusion", None); None where the file has none.
    """

    id: int
    label: int
    segmentations: tuple[Segmentation | None, ...]
    occlusion: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """One video.

    Attributes:
        id: the video's id.
        file_names: one per frame, relative to the root of the images.
        size: (H, W).
        instances: its objects, in the file's order.
        crowds: regions of many objects: not trained on, and ignored in evaluation.
    """

    id: int
    file_names: tuple[str, ...]
    size: Size
    instances: tuple[VideoInstance, ...] = ()
    crowds: tuple[VideoInstance, ...] = ()

    def __len__(self) -> int:
        return len(self.file_names)


@dataclass(frozen=True)
class VideoSet:
    """A data set of videos.

    Attributes:
        path: the annotation file.
        root: the folder of the frames; None where only the annotations are wanted.
        classes: all classes that the file lists.
        videos: in the file's order; some may have no instance.
        annotated: whether the file has annotations; the benchmarks' valid and test files do not.
    """

    path: Path
    root: Path | None
    classes: ClassList
    videos: tuple[VideoInfo, ...]
    annotated: bool

    def __len__(self) -> int:
        return len(self.videos)

    def read_frame(self, video: VideoInfo, frame: int) -> Picture:
        """Return a frame, RGB (H, W, 3) uint8; InputError where the file is at fault."""
        return read_image(self.root, video.file_names[frame], video.size)

    def read_masks(
        self, video: VideoInfo, instances: Sequence[VideoInstance], frames: Sequence[int]
    ) -> NDArray[np.bool_]:
        """Return masks, (N, T, H, W) bool; InputError where one is malformed.

        Args:
            video: whose size the masks have.
            instances: N of its instances.
            frames: T frame indices, in any order, repeated ones too.
        """
        masks = np.zeros((len(instances), len(frames), *video.size), np.bool_)
        for n, instance in enumerate(instances):
            for t, frame in enumerate(frames):
                segmentation = instance.segmentations[frame]
                if segmentation is None:
                    continue
                try:
                    masks[n, t] = segmentation.decode()
                except ValueError as error:
                    item = f"annotation {instance.id} segmentations[{frame}]"
                    raise InputError(self.path, item, str(error)) from None
        return masks


@collection_paused()
def read_youtube_vis(
    json_path: str | PathLike[str], image_root: str | PathLike[str] | None = None
) -> VideoSet:
    """Read videos in the format of YouTube-VIS and OVIS.

    An instance is present in a frame where its segmentation is not null.

    Args:
        json_path: the annotations; `annotations` may be absent or null, as in the valid files.
        image_root: the folder that `file_names` start from; without it no frame can be read.

    Raises:
        InputError: the file or something in it is wrong. The content of compressed masks, and the
            image files, are checked when they are used.
    """
    root = check_root(image_root)
    native = extension(warns=False)
    top = read_record(json_path, None if native is None else native.with_compressed_counts)
    classes = read_classes(top)
    videos = {
        number: _read_video(record) for number, record in index_by_id(top.records("videos")).items()
    }
    if not videos:
        raise InputError(top.file, "videos", "empty; at least one video is wanted")
    annotated = top.fields.get("annotations") is not None
    labels = {entry.category_id: entry.index for entry in classes}
    instances: dict[int, list[VideoInstance]] = defaultdict(list)
    crowds: dict[int, list[VideoInstance]] = defaultdict(list)
    for record in index_by_id(top.records("annotations") if annotated else []).values():
        video_id = record.reference("video_id", videos, "videos")
        label = labels[record.reference("category_id", labels, "categories")]
        kind = crowds if record.is_crowd() else instances
        kind[video_id].append(_read_instance(record, videos[video_id], label))
    return VideoSet(
        top.file,
        root,
        classes,
        tuple(
            replace(video, instances=tuple(instances[number]), crowds=tuple(crowds[number]))
            for number, video in videos.items()
        ),
        annotated,
    )


def _read_video(record: Record) -> VideoInfo:
    """Read a video without its instances."""
    names = record.items("file_names")
    if not names:
        raise record.error("file_names is empty; at least one frame is wanted")
    if "length" in record.fields and record.integer("length") != len(names):
        raise record.error(
            f"length must be the number of file_names, {len(names)}, got {record.integer('length')}"
        )
    checked = (
        check_file_name(record, f"file_names[{frame}]", name) for frame, name in enumerate(names)
    )
    return VideoInfo(record.integer("id"), tuple(checked), record.size())


def _read_instance(record: Record, video: VideoInfo, label: int) -> VideoInstance:
    values = one_per_frame(record, "segmentations", record.items("segmentations"), video)
    for key in ("bboxes", "areas"):  # not read: both follow from the masks
        _optional_one_per_frame(record, key, video)
    segmentations = tuple(
        None
        if value is None
        else read_segmentation(record, f"segmentations[{frame}]", value, video.size)
        for frame, value in enumerate(values)
    )
    occlusion = _read_occlusion(record, video)
    return VideoInstance(record.integer("id"), label, segmentations, occlusion)


def _read_occlusion(record: Record, video: VideoInfo) -> tuple[str | None, ...] | None:
    levels: list[str | None] = []
    values = _optional_one_per_frame(record, "occlusion", video)
    for frame, value in enumerate(values or []):
        if value is not None and not isinstance(value, str):
            raise record.error(f"occlusion[{frame}] must be a word or null, got {brief(value)}")
        levels.append(value)
    return None if values is None else tuple(levels)


def _optional_one_per_frame(record: Record, key: str, video: VideoInfo) -> list[object] | None:
    values = record.optional_items(key)
    return None if values is None else one_per_frame(record, key, values, video)


def one_per_frame(record: Record, key: str, values: list[object], video: VideoInfo) -> list[object]:
    """Return the values of a key; InputError unless there is one for each frame of a video."""
    if len(values) != len(video):
        raise record.error(
            f"{key} must have {len(video)} entries, one a frame of video {video.id}, "
            f"got {len(values)}"
        )
    return values
