"""`vidgap data pseudo`: what is written is what pre-training sees, and can be read again."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tolerances import JPEG_NOISE
from vis.support.tiny_runs import write_images

from vidgap_vis import build
from vidgap_vis.cli.main import main
from vidgap_vis.config import PseudoClipConfig
from vidgap_vis.data.datasets import PseudoClipDataset
from vidgap_vis.formats import read_coco, read_youtube_vis
from vidgap_vis.prepare.pseudo import write_pseudo_clips
from vidgap_vis.video.sheet import CAPTION_HEIGHT, MARGIN


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("tiny") / "images", count=3)


def run(images: Path, out: Path, *words: str) -> int:
    arguments = ["data", "pseudo", str(images / "images.json"), "--images", str(images / "images")]
    return main([*arguments, "--out", str(out), *words])


def test_the_clips_on_disk_are_those_of_the_data_set(images: Path, tmp_path: Path) -> None:
    config = PseudoClipConfig(num_frames=3, size=None, paste_probability=1.0)
    source = read_coco(images / "images.json", images / "images")
    transform = build.image_clips(config)
    folder = write_pseudo_clips(
        tmp_path / "out", source, transform, clips_per_image=2, seed=5, progress=False
    )
    written = read_youtube_vis(folder / "annotations.json", folder / "frames")
    dataset = PseudoClipDataset(source, transform, 5)
    assert len(written.videos) == 2 * len(dataset)
    for index, video in enumerate(written.videos):
        clip = dataset[(index % 2, index // 2)]
        masks = written.read_masks(video, video.instances, range(3))
        assert np.array_equal(masks, clip["masks"].numpy())
        labels = [instance.label for instance in video.instances]
        assert labels == clip["labels"].tolist()
        for time in range(3):
            frame = written.read_frame(video, time).astype(float)
            wanted = clip["video"][time].permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
            assert np.abs(frame - wanted).mean() < JPEG_NOISE


def test_the_file_says_what_is_pasted_and_from_which_image(images: Path, tmp_path: Path) -> None:
    flags = ("--clip.num_frames", "2", "--clip.paste_probability", "1", "--max_images", "2")
    assert run(images, tmp_path / "out", *flags) == 0
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(content["videos"]) == 2
    ids = {image["id"] for image in json.loads((images / "images.json").read_text())["images"]}
    assert {video["source_image_id"] for video in content["videos"]} <= ids
    for annotation in content["annotations"]:
        assert isinstance(annotation["pasted"], bool)
        for box, area in zip(annotation["bboxes"], annotation["areas"], strict=True):
            assert (box is None) == (area is None)
            assert area is None or 0 < area <= box[2] * box[3]


def test_the_preview_has_a_caption_and_two_strips_a_clip(images: Path, tmp_path: Path) -> None:
    assert run(images, tmp_path / "out", "--clip.num_frames", "2") == 0
    preview = cv2.imread(str(tmp_path / "out" / "preview.png"))
    height, width = read_coco(images / "images.json").images[0].size
    assert preview.shape[0] == 3 * (CAPTION_HEIGHT + 2 * height + MARGIN)
    assert preview.shape[1] >= 2 * width
    # The strips differ by the masks that are painted on the lower one.
    upper, lower = np.split(preview[CAPTION_HEIGHT : CAPTION_HEIGHT + 2 * height], 2)
    assert np.any(upper != lower)


def test_the_same_seed_writes_the_same_bytes(images: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(images, tmp_path / name, "--seed", seed, "--max_images", "1") == 0
    a, b, c = ((tmp_path / n / "annotations.json").read_bytes() for n in "abc")
    frames = [sorted((tmp_path / n / "frames").rglob("*.jpg")) for n in "ab"]
    assert a == b != c
    assert [f.read_bytes() for f in frames[0]] == [f.read_bytes() for f in frames[1]]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--clips_per_image", "0"), 2, "--clips_per_image: wanted 1 or more, got 0"),
        (("--max_images", "0"), 2, "--max_images: wanted 1 or more, or null, got 0"),
        (("--seed", "-1"), 2, "--seed: wanted 0 to 2**63 - 1, got -1"),
        (("--clip.auto_augment", "frame"), 2, "--clip.auto_augment"),
        (("--clip.paste_probability", "2"), 2, "--clip.paste_probability: wanted a number in 0..1"),
        (("--clip.num_framez", "2"), 2, "--clip.num_framez: unknown option (did you mean"),
    ],
)
def test_bad_options_are_named(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert run(images, tmp_path / "out", *words) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_occupied_folder_is_left_alone(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("precious")
    assert run(images, tmp_path) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_missing_picture_leaves_nothing_behind(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "pseudo", str(images / "images.json"), "--images", str(tmp_path)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "no such image file" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_only_crowds_are_nothing_to_make_clips_of(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((images / "images.json").read_text())
    content["annotations"] = [a | {"iscrowd": 1} for a in content["annotations"]]
    crowds = tmp_path / "crowds.json"
    crowds.write_text(json.dumps(content))
    words = ["data", "pseudo", str(crowds), "--images", str(images / "images")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "no image has an instance" in capsys.readouterr().err


def test_a_paste_is_told_from_annotations_that_cover_no_pixel(images: Path, tmp_path: Path) -> None:
    content = json.loads((images / "images.json").read_text())
    first = content["images"][0]["id"]
    thin = {"image_id": first, "category_id": content["categories"][0]["id"], "iscrowd": 0}
    others = [a for a in content["annotations"] if a["image_id"] == first]
    ids = max(a["id"] for a in content["annotations"])
    content["annotations"] += [
        thin
        | {"id": ids + n, "segmentation": [[5, 5, 5, 5, 5, 5]], "bbox": [5, 5, 0, 0], "area": 0}
        for n in (1, 2)
    ]
    path = tmp_path / "thin.json"
    path.write_text(json.dumps(content))
    words = ["data", "pseudo", str(path), "--images", str(images / "images"), "--max_images", "1"]
    flags = ["--clip.paste_probability", "1", "--clip.num_frames", "2"]
    config = PseudoClipConfig(num_frames=2, size=None, paste_probability=1.0)
    assert main([*words, "--out", str(tmp_path / "out"), *flags]) == 0
    dataset = PseudoClipDataset(read_coco(path, images / "images"), build.image_clips(config), 0)
    pasted = int((dataset[(0, 0)]["ids"] >= len(others)).sum())
    found = json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"]
    assert sum(annotation["pasted"] for annotation in found) == pasted
