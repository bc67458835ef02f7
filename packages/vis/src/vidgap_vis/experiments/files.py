"""Data sets that are there already: which files an experiment trains and tests on."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """

    annotations: Path
    frames: Path
    truth: bool = True


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

    def write_some(self, root: Path, folder: Path, seed: int, num: int) -> None:
        """Write the annotations of some clips: so many from the seed's on, and round.

        Raises:
            InputError: there are not so many.
        """
        source = root / self.clips.annotations
        content = json.loads(source.read_text(encoding="utf-8"))
        total = len(content["videos"])
        if num > total:
            raise InputError(source, "videos", f"{num} or more are wanted, got {total}")
        videos = [content["videos"][(seed + index) % total] for index in range(num)]
        wanted = {video["id"] for video in videos}
        kept = [one for one in content["annotations"] if one["video_id"] in wanted]
        path = some_clips(folder, seed, num)
        with replacing(path) as temporary:
            text = json.dumps(content | {"videos": videos, "annotations": kept})
            temporary.write_text(text + "\n", encoding="utf-8")


def some_clips(folder: Path, seed: int, num: int) -> Path:
    """Return the file of the annotations of some clips."""
    return (folder / f"clips_{num}_from_{seed}.json").resolve()
