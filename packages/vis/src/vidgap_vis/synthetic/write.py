"""Write a generated data set: COCO JSON for stills, YouTube-VIS JSON for clips."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from vidgap_vis.files import replacing_folder
from vidgap_vis.formats.images import write_picture
from vidgap_vis.synthetic.annotate import Json, clip_annotations, image_annotations, number
from vidgap_vis.synthetic.options import SyntheticOptions
from vidgap_vis.synthetic.render import render
from vidgap_vis.synthetic.scene import clip_scene, image_scene

Item = tuple[Json, list[Json]]
"""The entry of an image or a video, and the annotations of its instances; no ids yet."""

ItemMap = Callable[[Callable[[int], Item], int], Iterator[Item]]
"""Calls a function with 0, 1, ... up to a number, and yields the results in that order."""


@dataclass(frozen=True)
class Part:
    """One JSON file of the data set and its items: kind "image" or "video", split, how many."""

    name: str
    kind: str
    split: str
    num: int
    pictures_each: int
    write: Callable[[Path, SyntheticOptions, str, int], Item]


def write_synthetic(
    folder: str | os.PathLike[str],
    options: SyntheticOptions,
    *,
    progress: bool = True,
    workers: int = 1,
    overwrite: bool = False,
) -> Path:
    """Generate a data set; the same options give the same bytes, whatever the workers.

    ```text
    images/train_00000.jpg          images_train.json, images_valid.json   (COCO)
    frames/train_0000/00000.jpg     clips_train.json, clips_valid.json     (YouTube-VIS)
                                    clips_test.json, if it was asked for
    ```
    File names in the JSON are relative to images/ and to frames/. What annotations hold beyond
    the standard keys is described in `vidgap_vis.synthetic.annotate`.

    Args:
        folder: to make, whole or not at all.
        options: what the data set holds.
        progress: show a bar with the time left.
        workers: processes; 1 is this one. More need the usual `if __name__ == "__main__"` guard.
        overwrite: replace a folder that is not empty.

    Returns:
        The folder.

    Raises:
        InputError: `folder` is a file, or is not empty and `overwrite` is off.
        ValueError: `workers` is less than 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")
    length = options.num_frames
    parts = [
        Part("images_train", "image", "train", options.num_train_images, 1, write_image),
        Part("images_valid", "image", "valid", options.num_valid_images, 1, write_image),
        Part("clips_train", "video", "train", options.num_train_clips, length, write_clip),
        Part("clips_valid", "video", "valid", options.num_valid_clips, length, write_clip),
    ]
    if num := options.num_test_clips:
        parts.append(Part("clips_test", "video", "test", num, length, write_clip))
    total = sum(part.num * part.pictures_each for part in parts)
    with (
        replacing_folder(folder, overwrite=overwrite) as root,
        item_map(workers) as run,
        tqdm(total=total, desc="synthetic", unit="image", disable=not progress) as bar,
    ):
        (root / "images").mkdir()
        (root / "frames").mkdir()
        for part in parts:
            entries, annotations = [], []
            for entry, own in run(partial(part.write, root, options, part.split), part.num):
                entries.append(entry)
                annotations.append(own)
                bar.update(part.pictures_each)
            text = json.dumps(number(part.kind, entries, annotations), separators=(",", ":"))
            (root / f"{part.name}.json").write_text(text + "\n", encoding="utf-8")
    return Path(folder)


def write_image(root: Path, options: SyntheticOptions, split: str, index: int) -> Item:
    """Write one still; return its entry and its annotations, without ids."""
    scene = image_scene(options, split, index)
    rendered = render(scene)
    name = f"{split}_{index:05d}.jpg"
    write_picture(root / "images" / name, rendered.frames[0])
    height, width = scene.size
    entry = {"file_name": name, "height": height, "width": width}
    return entry, image_annotations(scene, rendered, options.min_area)


def write_clip(root: Path, options: SyntheticOptions, split: str, index: int) -> Item:
    """Write the frames of one clip; return its entry and its annotations, without ids."""
    scene = clip_scene(options, split, index)
    rendered = render(scene)
    names = [f"{split}_{index:04d}/{t:05d}.jpg" for t in range(scene.num_frames)]
    (root / "frames" / names[0]).parent.mkdir()
    for name, frame in zip(names, rendered.frames, strict=True):
        write_picture(root / "frames" / name, frame)
    height, width = scene.size
    entry = {"file_names": names, "height": height, "width": width, "length": scene.num_frames}
    return entry, clip_annotations(scene, rendered, options.min_area)


@contextmanager
def item_map(workers: int) -> Iterator[ItemMap]:
    """Yield a function that maps over items, in this process or in `workers` others."""
    if workers == 1:
        yield lambda function, num: map(function, range(num))
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
        yield lambda function, num: pool.map(
            function, range(num), chunksize=max(1, min(16, num // (4 * workers)))
        )


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and use one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
