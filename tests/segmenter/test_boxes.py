"""Boxes: around masks, their logits and their embedding, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import TOLERANCE
from torchvision.ops import box_convert, masks_to_boxes

from vidgap_segmenter.boxes import cell_boxes, inverse_sigmoid, mask_boxes, sine_embedding


@pytest.mark.parametrize("whole_pixels", [True, False])
def test_a_mask_is_enclosed(whole_pixels: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, 5, 13, 17, generator=generator) < 0.03
    masks[0, 0] = False
    masks[0, 0, 4, 6] = True
    assert masks.flatten(2).any(-1).all()
    wanted = masks_to_boxes(masks.flatten(0, 1)).unflatten(0, (2, 5))
    wanted[..., 2:] += whole_pixels
    wanted = box_convert(wanted / torch.tensor([17, 13, 17, 13]), "xyxy", "cxcywh")
    torch.testing.assert_close(mask_boxes(masks, whole_pixels=whole_pixels), wanted)


def test_an_empty_mask_has_a_box_without_size() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[1, 2:4, 3:7] = True
    empty, filled = mask_boxes(masks)
    assert empty.tolist() == [0, 0, 0, 0]
    assert filled.tolist() == [5 / 8, 3 / 8, 4 / 8, 2 / 8]
    assert mask_boxes(masks, whole_pixels=False)[0].tolist() == [1, 1, 0, 0]
    assert mask_boxes(masks[:0]).shape == (0, 4)


def test_logits_are_finite_and_turn_back() -> None:
    shares = torch.tensor([0.0, 1e-6, 1e-4, 0.3, 0.5, 1 - 1e-4, 1.0], dtype=torch.float64)
    logits = inverse_sigmoid(shares)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.sigmoid()[2:-1], shares[2:-1], **TOLERANCE[torch.float64])
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-6, atol=0)
    torch.testing.assert_close(logits[0], -logits[-1], **TOLERANCE[torch.float64])


def test_a_box_is_embedded_number_by_number() -> None:
    box = torch.tensor([0.1, 0.7, 0.3, 0.9], dtype=torch.float64)
    embedding = sine_embedding(box, 6)
    x, y, width, height = box.tolist()
    wanted = []
    for value in (y, x, width, height):
        for channel in range(6):
            angle = value * 2 * math.pi / 10000 ** (2 * (channel // 2) / 6)
            wanted.append(math.sin(angle) if channel % 2 == 0 else math.cos(angle))
    torch.testing.assert_close(embedding, torch.tensor(wanted, dtype=torch.float64))


def test_cells_are_boxes_that_double_with_the_level() -> None:
    cells = cell_boxes([(1, 2), (2, 1)], torch.zeros(1, dtype=torch.float64))
    wanted = [
        [0.25, 0.5, 0.05, 0.05],
        [0.75, 0.5, 0.05, 0.05],
        [0.5, 0.25, 0.1, 0.1],
        [0.5, 0.75, 0.1, 0.1],
    ]
    torch.testing.assert_close(cells, torch.tensor(wanted, dtype=torch.float64))
