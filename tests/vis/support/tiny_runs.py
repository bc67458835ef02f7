"""Data sets of a few coloured squares, and configurations that train on them in a second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from vidgap_segmenter import ClipSegmenter
from vidgap_vis import build
from vidgap_vis.classes import ClassList, from_categories
from vidgap_vis.config import (
    FinetuneConfig,
    ImageDataConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    PseudoClipConfig,
    TemporalConfig,
    TrainConfig,
    VideoClipConfig,
    VideoDataConfig,
)

HEIGHT, WIDTH, SIDE = 32, 48, 12
CATEGORIES = [{"id": 3, "name": "red"}, {"id": 7, "name": "blue"}]
CLASSES = from_categories([(3, "red"), (7, "blue")])
PALETTE = np.array(
    [(220, 40, 40), (40, 220, 40), (40, 40, 220), (220, 220, 40), (40, 220, 220), (220, 40, 220)]
)
COLOURS = {3: (220, 40, 40), 7: (40, 40, 220)}
MODEL = ModelConfig(
    backbone="test_resnet",
    channels=32,
    num_queries=5,
    num_encoder_layers=1,
    encoder_ffn_channels=16,
    num_decoder_layers=2,
    decoder_ffn_channels=16,
    num_heads=2,
    num_points=2,
)
TEMPORAL = TemporalConfig(
    window_size=4, num_heads=2, ffn_channels=16, num_short_layers=1, num_gru_layers=1
)
TRAIN = TrainConfig(
    steps=6,
    batch_size=2,
    lr=1e-3,
    schedule="cosine",
    num_workers=0,
    precision="fp32",
    device="cpu",
    checkpoint_every=100,
    log_every=2,
)


def make_model(seed: int = 0, classes: ClassList = CLASSES, **settings: object) -> ClipSegmenter:
    """Build the tiny network in eval mode; `settings` are of `ModelConfig`, and `temporal`."""
    torch.manual_seed(seed)
    temporal = settings.pop("temporal", TEMPORAL)
    model = replace(MODEL, **settings)  # type: ignore[arg-type]
    return build.segmenter(model, temporal, len(classes)).eval()  # type: ignore[arg-type]


def write_images(root: Path, count: int = 5) -> Path:
    """Write a COCO data set, `root/images.json` and `root/images`; return `root`."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        name = f"{index}.png"
        squares = [(3, 2 + index, 4), (7, 14, 26 - index)]
        write_picture(root / "images" / name, squares)
        images.append({"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for category, top, left in squares:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": category,
                    "iscrowd": 0,
                    "segmentation": [polygon(top, left)],
                    "bbox": [left, top, SIDE, SIDE],
                    "area": SIDE * SIDE,
                }
            )
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (root / "images.json").write_text(json.dumps(content))
    return root


def write_videos(root: Path, count: int = 2, length: int = 4) -> Path:
    """Write a YouTube-VIS data set, `root/clips.json` and `root/frames`; return `root`."""
    videos, annotations = [], []
    for video in range(count):
        (root / "frames" / str(video)).mkdir(parents=True)
        names = [f"{video}/{frame:05d}.png" for frame in range(length)]
        paths = {
            3: [(4, 2 + 3 * t) for t in range(length)],
            7: [(16, 30 - t) for t in range(length)],
        }
        for frame, name in enumerate(names):
            squares = [(category, *corners[frame]) for category, corners in paths.items()]
            write_picture(root / "frames" / name, squares)
        videos.append(
            {"id": video, "file_names": names, "length": length, "height": HEIGHT, "width": WIDTH}
        )
        for category, corners in paths.items():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": video,
                    "category_id": category,
                    "iscrowd": 0,
                    "segmentations": [[polygon(*corner)] for corner in corners],
                    "bboxes": [[left, top, SIDE, SIDE] for top, left in corners],
                    "areas": [SIDE * SIDE] * length,
                }
            )
    content = {"videos": videos, "annotations": annotations, "categories": CATEGORIES}
    (root / "clips.json").write_text(json.dumps(content))
    return root


def write_shuffled_squares(root: Path, count: int = 8, length: int = 5, squares: int = 4) -> Path:
    """Write videos of squares of one class, a colour each, whose cells are drawn in each frame."""
    rng = np.random.default_rng(0)
    videos, annotations = [], []
    for video in range(count):
        (root / "frames" / str(video)).mkdir(parents=True)
        names = [f"{video}/{frame:05d}.png" for frame in range(length)]
        own = PALETTE[rng.permutation(len(PALETTE))[:squares]]
        cells = np.stack([rng.permutation(6)[:squares] for _ in names], axis=1)  # (N, T) of 2 x 3
        corners = np.stack([2 + 16 * (cells // 3), 2 + 16 * (cells % 3)], axis=2)  # (N, T, 2)
        for frame, name in enumerate(names):
            picture = rng.integers(90, 130, (HEIGHT, WIDTH, 3)).astype(np.uint8)
            for (top, left), colour in zip(corners[:, frame], own, strict=True):
                picture[top : top + SIDE, left : left + SIDE] = colour
            assert cv2.imwrite(str(root / "frames" / name), picture[:, :, ::-1])
        size = {"height": HEIGHT, "width": WIDTH}
        videos.append({"id": video, "file_names": names, "length": length, **size})
        annotations += [
            {
                "id": video * squares + square + 1,
                "video_id": video,
                "category_id": 3,
                "iscrowd": 0,
                "segmentations": [[polygon(*corner)] for corner in corners[square].tolist()],
                "bboxes": [[left, top, SIDE, SIDE] for top, left in corners[square].tolist()],
                "areas": [SIDE * SIDE] * length,
            }
            for square in range(squares)
        ]
    content = {"videos": videos, "annotations": annotations, "categories": CATEGORIES}
    (root / "clips.json").write_text(json.dumps(content))
    return root


def write_picture(path: Path, squares: list[tuple[int, int, int]]) -> None:
    """Draw squares (category id, top, left), the later over the earlier, on noise."""
    noise = np.random.default_rng(len(path.name)).integers(90, 130, (HEIGHT, WIDTH, 3))
    picture: npt.NDArray[np.uint8] = noise.astype(np.uint8)
    for category, top, left in squares:
        picture[top : top + SIDE, left : left + SIDE] = COLOURS[category]
    assert cv2.imwrite(str(path), picture[:, :, ::-1])


def polygon(top: int, left: int) -> list[int]:
    bottom, right = top + SIDE, left + SIDE
    return [left, top, right, top, right, bottom, left, bottom]


def pretrain_config(root: Path, **train: object) -> PretrainConfig:
    """Return a run of 6 steps on what `write_images` wrote."""
    return PretrainConfig(
        data=ImageDataConfig(root, Path("images.json"), Path("images")),
        clip=PseudoClipConfig(num_frames=2, size=(HEIGHT, WIDTH), scale_range=(0.8, 1.2)),
        model=MODEL,
        temporal=TEMPORAL,
        loss=LossConfig(num_points=32),
        train=replace(TRAIN, **train),  # type: ignore[arg-type]
    )


def finetune_config(root: Path, **train: object) -> FinetuneConfig:
    """Return a run of 6 steps on what `write_videos` wrote."""
    return FinetuneConfig(
        data=VideoDataConfig(root, Path("clips.json"), Path("frames")),
        clip=VideoClipConfig(num_frames=2, frame_range=2, crop_probability=0.0, short_edges=()),
        model=MODEL,
        temporal=TEMPORAL,
        loss=LossConfig(num_points=32),
        train=replace(TRAIN, **train),  # type: ignore[arg-type]
    )


def flags(settings: Mapping[str, object]) -> list[str]:
    """Return nested plain values as `--clip.num_frames 2` flags."""
    words: list[str] = []
    for section, values in settings.items():
        assert isinstance(values, Mapping)
        for name, value in values.items():
            words += [f"--{section}.{name}", "null" if value is None else str(value)]
    return words


def weights_of(run: Path) -> dict[str, Tensor]:
    return load_file(run / "weights" / "model.safetensors")


def assert_bit_equal(one: Path, other: Path) -> None:
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different
