"""Data sets that are there already: which files an experiment trains and tests on."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import replacing

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
        if self.clips.videos:
            message = f"wanted for held-out sets alone, got {[*self.clips.videos]}"
            raise ConfigError("", "files.clips.videos", message)

    def check(self, root: Path | None) -> Path:
        """Return the root; ConfigError where it is missing, InputError where a file is."""
        if root is None:
            raise ConfigError("", "--root", "missing; it is the folder of the experiment's files")
        files = [self.stills.annotations, self.clips.annotations]
        for path in (*files, *(one.annotations for one in self.held_out.values())):
            if not (root / path).is_file():
                raise InputError(root / path, "", "no such file")
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
            InputError: there are not so many.
        """
        source = root / self.clips.annotations
        content = json.loads(source.read_text(encoding="utf-8"))
        known = [video["id"] for video in content["videos"]]
        if num > len(known):
            raise InputError(source, "videos", f"{num} or more are wanted, got {len(known)}")
        wanted = [known[(seed + index) % len(known)] for index in range(num)]
        write_content(some_clips(folder, seed, num), of_videos(content, wanted))

    def write_set(self, root: Path, folder: Path, name: str) -> None:
        """Write the annotations of the videos that a held-out set takes.

        Raises:
            InputError: one of them is not there, or is of a class that the clips do not have.
        """
        found = self.held_out[name]
        source = root / found.annotations
        content = json.loads(source.read_text(encoding="utf-8"))
        known = sorted(video["id"] for video in content["videos"])
        if missing := [video for video in found.videos if video not in known]:
            raise InputError(source, "videos", f"wanted one of id {missing[0]}, got {known}")
        classes = json.loads((root / self.clips.annotations).read_text("utf-8"))["categories"]
        ids = {one["name"]: one["id"] for one in classes}
        names = {one["id"]: one["name"] for one in content["categories"]}
        content = of_videos(content, found.videos) | {"categories": classes}
        for one in content["annotations"] or []:
            if (own := names[one["category_id"]]) not in ids:
                message = f"wanted classes of the clips, {sorted(ids)}, got {own!r}"
                raise InputError(source, "categories", message)
            one["category_id"] = ids[own]
        write_content(videos_of(folder, name), content)


Content: TypeAlias = dict[str, Any]
"""What a YouTube-VIS JSON holds."""


def of_videos(content: Content, ids: Collection[int]) -> Content:
    """Return the same of some videos alone, in the order of their ids here."""
    videos = {video["id"]: video for video in content["videos"]}
    annotations = content["annotations"]
    if annotations is not None:
        annotations = [one for one in annotations if one["video_id"] in ids]
    return content | {"videos": [videos[one] for one in ids], "annotations": annotations}


def write_content(path: Path, content: Content) -> None:
    """Write a YouTube-VIS JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def some_clips(folder: Path, seed: int, num: int) -> Path:
    """Return the file of the annotations of some clips."""
    return (folder / f"clips_{num}_from_{seed}.json").resolve()


def videos_of(folder: Path, name: str) -> Path:
    """Return the file of the annotations of a held-out set's videos."""
    return (folder / f"held_out_{name}.json").resolve()
