"""Data sets that are there already: which files an experiment trains and tests on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import replacing
from vidgap_vis.formats.records import Record, index_by_id, read_classes, read_record

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class ClipFiles:
    """Videos.

    Attributes:
        annotations: YouTube-VIS JSON.
        frames: the folder that its file names start from.
        truth: off: the annotations have none, or it is not to be looked at; results are kept alone.
        videos: of a held-out set, the ids of those that are taken; their classes get the ids that
            those of `Files.clips` have. Empty: all, as they are.
    """

    annotations: Path
    frames: Path
    truth: bool = True
    videos: tuple[int, ...] = ()


@dataclass(frozen=True)
class StillFiles:
    """Stills.

    Attributes:
        annotations: COCO JSON.
        images: the folder that its file names start from.
    """

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Files:
    """The files of an experiment, all below one folder (`--root`).

    Attributes:
        stills: for pre-training, and beside the clips in fine-tuning.
        clips: for fine-tuning.
        held_out: what arms are measured on, by name.
    """

    stills: StillFiles
    clips: ClipFiles
    held_out: dict[str, ClipFiles]

    def __post_init__(self) -> None:
        if not any(one.truth for one in self.held_out.values()):
            raise ConfigError("", "files.held_out", "wanted one with truth or more, got none")
        for name, one in self.held_out.items():
            if Path(name).name != name:
                message = f"wanted a name that a file can have, got {name!r}"
                raise ConfigError("", "files.held_out", message)
            if len({*one.videos}) < len(one.videos):
                message = f"wanted each id once, got {[*one.videos]}"
                raise ConfigError("", f"files.held_out.{name}.videos", message)
        if self.clips.videos:
            message = f"wanted for held-out sets alone, got {[*self.clips.videos]}"
            raise ConfigError("", "files.clips.videos", message)

    def check(self, root: Path | None) -> Path:
        """Return the root; ConfigError where it is missing, InputError where one of these is."""
        if root is None:
            raise ConfigError("", "--root", "missing; it is the folder of the experiment's files")
        videos = (self.clips, *self.held_out.values())
        for path in (self.stills.annotations, *(one.annotations for one in videos)):
            if not (root / path).is_file():
                raise InputError(root / path, "", "no such file")
        for path in (self.stills.images, *(one.frames for one in videos)):
            if not (root / path).is_dir():
                raise InputError(root / path, "", "no such folder")
        return root

    def of_stills(self, root: Path) -> dict[Key, Any]:
        """Return the keys of a pre-training's `data`."""
        return {
            ("data", "root"): str(root),
            ("data", "annotations"): str(self.stills.annotations),
            ("data", "images"): str(self.stills.images),
        }

    def of_clips(self, root: Path, seed: int, num: int | None, folder: Path) -> dict[Key, Any]:
        """Return the keys of a fine-tuning's `data`, without those of the stills beside the clips.

        Args:
            root: the files' folder.
            seed: by which some of the clips are taken.
            num: how many; None: all. 0: none, so that all clips are made of the stills.
            folder: where the seed's annotations of some clips are, as `write_some` writes them.
        """
        if num == 0:
            return {("data", "annotations"): None}
        path = self.clips.annotations if num is None else some_clips(folder, seed, num)
        return {
            ("data", "root"): str(root),
            ("data", "annotations"): str(path),
            ("data", "frames"): str(self.clips.frames),
        }

    def of_pseudo(self, root: Path) -> dict[Key, Any]:
        """Return the keys of the stills beside the clips."""
        return {("data", "pseudo", *key[1:]): value for key, value in self.of_stills(root).items()}

    def set_of(self, name: str, folder: Path) -> ClipFiles:
        """Return a held-out set.

        Args:
            name: the set's.
            folder: where the seed's annotations of some of its videos are, as `write_set` writes
                them.
        """
        found = self.held_out[name]
        return replace(found, annotations=videos_of(folder, name)) if found.videos else found

    def write_some(self, root: Path, folder: Path, seed: int, num: int) -> None:
        """Write the annotations of some clips: so many from the seed's on, and round.

        Raises:
            InputError: there are not so many, or the file is broken.
        """
        top = read_record(root / self.clips.annotations)
        known = [*index_by_id(top.records("videos"))]
        if num > len(known):
            raise InputError(top.file, "videos", f"{num} or more are wanted, got {len(known)}")
        wanted = [known[(seed + index) % len(known)] for index in range(num)]
        write_content(some_clips(folder, seed, num), of_videos(top, wanted))

    def write_set(self, root: Path, folder: Path, name: str) -> None:
        """Write the annotations of the videos that a held-out set takes.

        Raises:
            InputError: one of them is not there, or is of a class that the clips do not have, or a
                file is broken.
        """
        taken = self.held_out[name]
        top, clips = (read_record(root / one.annotations) for one in (taken, self.clips))
        ids = {one.name: one.category_id for one in read_classes(clips)}
        shared = {one.category_id: ids[one.name] for one in read_classes(top) if one.name in ids}
        content = of_videos(top, taken.videos, shared)
        content["categories"] = clips.items("categories")
        write_content(videos_of(folder, name), content)


def of_videos(
    top: Record, ids: Collection[int], class_ids: Mapping[int, int] | None = None
) -> dict[str, object]:
    """Return what a YouTube-VIS JSON says of some videos alone, in the order of their ids here.

    Args:
        top: the file.
        ids: of the videos.
        class_ids: new ids of classes by theirs; None: they keep them.

    Raises:
        InputError: a video is not there, or one of its instances is of another class.
    """
    videos = index_by_id(top.records("videos"))
    if missing := [one for one in ids if one not in videos]:
        message = f"wanted one of id {missing[0]}, got {sorted(videos)}"
        raise InputError(top.file, "videos", message)
    annotations = None
    if top.optional_items("annotations") is not None:
        kept = [one for one in top.records("annotations") if one.integer("video_id") in ids]
        annotations = [dict(one.fields) for one in kept]
        if class_ids is not None:
            for record, fields in zip(kept, annotations, strict=True):
                own = record.reference("category_id", class_ids, "the clips' classes")
                fields["category_id"] = class_ids[own]
    chosen = [videos[one].fields for one in ids]
    return {**top.fields, "videos": chosen, "annotations": annotations}


def write_content(path: Path, content: Mapping[str, object]) -> None:
    """Write a YouTube-VIS JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def some_clips(folder: Path, seed: int, num: int) -> Path:
    """Return the file of the annotations of some clips."""
    return (folder / f"clips_{num}_from_{seed}.json").resolve()


def videos_of(folder: Path, name: str) -> Path:
    """Return the file of the annotations of a held-out set's videos."""
    return (folder / f"held_out_{name}.json").resolve()
