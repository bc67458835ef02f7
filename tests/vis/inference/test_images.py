"""Still images through a video model, up to COCO AP."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vidgap_segmenter import Mask2Former
from vidgap_vis.classes import ClassInfo
from vidgap_vis.cli.main import main
from vidgap_vis.errors import InputError
from vidgap_vis.evaluation import evaluate_images
from vidgap_vis.formats import read_coco
from vidgap_vis.inference.images import segment_images
from vidgap_vis.weights import Test, Usage, save

HEIGHT, WIDTH = 40, 56


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write two pictures with one square each; return the annotations' path."""
    entries, annotations = [], []
    for number in (1, 2):
        picture = np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        entries.append(
            {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
        )
        square = [4, 4, 24, 4, 24, 24, 4, 24]
        annotations.append(
            {
                "id": number, "image_id": number, "category_id": 7, "iscrowd": 0,
                "segmentation": [square], "bbox": [4, 4, 20, 20], "area": 400,
            }
        )  # fmt: skip
    data = {
        "images": entries, "annotations": annotations, "categories": [{"id": 7, "name": "square"}]
    }  # fmt: skip
    path = tmp_path / "images.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def model() -> Mask2Former:
    torch.manual_seed(0)
    return Mask2Former(
        "test_resnet.r160_in1k", 1, channels=32, num_queries=3, num_encoder_layers=1,
        encoder_ffn_channels=32, num_decoder_layers=1, decoder_ffn_channels=32,
    ).eval()  # fmt: skip


def test_masks_have_the_size_of_the_image_whatever_the_model_saw(
    images: Path, model: Mask2Former
) -> None:
    truth = read_coco(images, images.parent)
    for short_edge in (None, 64):
        found = list(segment_images(model, truth, num_copies=2, short_edge=short_edge, top_k=5))
        assert found, "a random model predicts something"
        assert {mask.mask.size for mask in found} == {(HEIGHT, WIDTH)}
        assert {mask.image_id for mask in found} <= {1, 2}
        assert set(evaluate_images(truth, found)) >= {"AP", "AP50"}


def test_a_missing_image_is_named(images: Path, model: Mask2Former) -> None:
    truth = read_coco(images, images.parent)
    (images.parent / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png"):
        list(segment_images(model, truth, num_copies=1))


def test_command_resizes_as_the_weights_say_or_as_it_is_told(
    images: Path, model: Mask2Former, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int | None, int]] = []

    def resized(picture: Tensor, short_edge: int | None, max_size: int) -> Tensor:
        asked.append((short_edge, max_size))
        return picture

    monkeypatch.setattr("vidgap_vis.inference.images.with_short_edge", resized)
    usage = Usage(test=Test(short_edge=40, max_size=99))
    save(tmp_path / "weights", model, (ClassInfo(0, 7, "square"),), {}, usage)
    command = ["evaluate", "images", str(tmp_path / "weights"), "--gt", str(images)]
    command += ["--images", str(tmp_path), "--device", "cpu"]
    assert main(command) == 0
    assert set(asked) == {(40, 99)}
    asked.clear()
    assert main([*command, "--short_edge", "64", "--max_size", "80"]) == 0
    assert set(asked) == {(64, 80)}


def test_command_prints_image_ap_and_names_other_classes(
    images: Path, model: Mask2Former, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, metrics = tmp_path / "weights", tmp_path / "metrics.json"
    save(weights, model, (ClassInfo(0, 7, "square"),), {})
    command = ["evaluate", "images", str(weights), "--gt", str(images), "--images", str(tmp_path)]
    assert main([*command, "--json", str(metrics)]) == 0
    assert "AP50" in capsys.readouterr().out
    assert 0 <= json.loads(metrics.read_text(encoding="utf-8"))["AP"] <= 1
    assert main([*command, "--copies", "0"]) == 2
    assert "--copies" in capsys.readouterr().err
    save(weights, model, (ClassInfo(0, 7, "disc"),), {})
    assert main(command) == 1
    assert "images.json: categories: must be the model's" in capsys.readouterr().err
