"""The operations on plain tensors and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import make_clip
from torch import Tensor
from torch.nn import functional as F

from vidgap_augment import functional as V
from vidgap_augment.geometry import compose, mirroring, rotation_matrix, scaling, translation

MATRICES = np.stack([rotation_matrix(a, (20.0, 15.0)) for a in (0.0, 10.0, 20.0)])


def plain(num_frames: int = 3) -> tuple[Tensor, Tensor]:
    clip = make_clip(2, num_frames, 30, 40)
    return clip["video"].as_subclass(Tensor), clip["masks"].as_subclass(Tensor)


def test_arrays_and_tensors_give_the_same() -> None:
    frames, masks = plain()
    moved, moved_masks = V.warp_clip(frames, masks, MATRICES)
    arrays = V.warp_clip(frames.permute(0, 2, 3, 1).numpy(), masks.numpy(), MATRICES)
    assert isinstance(arrays[0], np.ndarray)
    assert np.array_equal(arrays[0], moved.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(arrays[1], moved_masks.numpy())
    pasted = V.paste(frames, masks, frames, masks[0], MATRICES)
    again = V.paste(
        frames.permute(0, 2, 3, 1).numpy(), masks.numpy(), frames.permute(0, 2, 3, 1).numpy(),
        masks[0].numpy(), MATRICES,
    )  # fmt: skip
    assert np.array_equal(again[0], pasted[0].permute(0, 2, 3, 1).numpy())
    assert np.array_equal(again[1], pasted[1].numpy())


def test_whole_pixel_maps_are_exact_and_masks_keep_their_rows() -> None:
    frames, masks = plain(1)
    masks = masks.clone()
    masks[0] = False
    flip = np.stack([np.eye(2, 3), mirroring(40), translation(3, 0)])
    moved, moved_masks = V.warp_clip(frames, masks, flip, fill=9)
    assert torch.equal(moved[0], frames[0])
    assert torch.equal(moved[1], frames[0].flip(-1))
    assert torch.equal(moved[2, :, :, 3:], frames[0, :, :, :-3])
    assert (moved[2, :, :, :3] == 9).all()
    assert moved_masks.shape == (2, 3, 30, 40)
    assert not moved_masks[0].any()
    assert torch.equal(moved_masks[1, 1], masks[1, 0].flip(-1))


def test_a_size_of_its_own() -> None:
    frames, masks = plain(1)
    doubled, doubled_masks = V.warp_clip(frames, masks, scaling(2, 2)[None], (60, 80))
    assert doubled.shape == (1, 3, 60, 80)
    assert torch.equal(doubled_masks[..., ::2, ::2], masks)


def test_paste_is_eq_1_and_eq_2() -> None:
    frames, masks = plain()
    picture = torch.full((1, 3, 12, 12), 7, dtype=torch.uint8)
    mask = torch.zeros(1, 12, 12, dtype=torch.bool)
    mask[:, 2:9, 3:10] = True
    matrices = np.stack([translation(x, 5.0) for x in (0.0, 10.0, 33.0)])
    pasted, all_masks = V.paste(frames, masks, picture, mask, matrices)
    assert all_masks.shape == (3, 3, 30, 40)
    for time, x in enumerate((0, 10, 33)):
        expected = torch.zeros(30, 40, dtype=torch.bool)
        expected[7:14, x + 3 : x + 10] = True
        assert torch.equal(all_masks[2, time], expected)
        assert torch.equal(all_masks[:2, time], masks[:, time] & ~expected)
        assert torch.equal(pasted[time], torch.where(expected, 7, frames[time].int()).byte())


def test_inputs_are_not_written_to() -> None:
    frames, masks = plain()
    before = frames.clone(), masks.clone()
    moved, moved_masks = V.warp_clip(frames, masks, np.tile(np.eye(2, 3), (3, 1, 1)))
    moved.zero_()
    moved_masks.zero_()
    pasted, pasted_masks = V.paste(frames, masks, frames, masks[0], MATRICES)
    pasted.zero_()
    pasted_masks.zero_()
    assert torch.equal(frames, before[0])
    assert torch.equal(masks, before[1])


def test_matrices_compose_right_to_left() -> None:
    both = compose(translation(5, 0), scaling(2, 2))
    assert np.allclose(both @ [1, 1, 1], [7, 2])


FRAMES, MASKS = torch.zeros(3, 3, 8, 9, dtype=torch.uint8), torch.zeros(2, 3, 8, 9) > 0
EYES = np.tile(np.eye(2, 3), (3, 1, 1))
BAD: list[tuple[tuple[Any, ...], str]] = [
    ((FRAMES.float(), MASKS, EYES), r"frames must be \(T, 3, H, W\) uint8, got .* float32; v2.ToD"),
    ((FRAMES.numpy(), MASKS.numpy(), EYES), r"frames must be \(T, H, W, 3\) uint8, got \(3, 3, 8"),
    ((FRAMES[:0], MASKS[:, :0], EYES), r"frames must have pixels, got \(0, 3, 8, 9\)"),
    ((FRAMES, MASKS.byte(), EYES), r"masks must be \(N, T, 8, 9\) bool, got .* uint8"),
    ((FRAMES, MASKS[..., 1:], EYES), r"masks must be \(N, T, 8, 9\) bool, got \(2, 3, 8, 8\)"),
    ((FRAMES, MASKS, EYES[0]), r"matrices must be finite, \(T, 2, 3\), got \(2, 3\)"),
    ((FRAMES, MASKS, EYES * np.nan), r"matrices must be finite"),
    ((FRAMES, MASKS, EYES[:2]), r"matrices must be one for each of 3 frames, got 2"),
    ((FRAMES, MASKS, EYES * 0), r"matrices must be invertible, got one that is not"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_refused_by_name(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        V.warp_clip(*arguments)


def test_bad_paste_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"mask must be \(N, T, 8, 9\) bool"):
        V.paste(FRAMES, MASKS, FRAMES, MASKS[0, :, 1:], EYES)
    with pytest.raises(ValueError, match=r"picture must be \(T, 3, H, W\) uint8"):
        V.paste(FRAMES, MASKS, FRAMES.float(), MASKS[0], EYES)
    with pytest.raises(ValueError, match=r"masks must be of 3 frames as frames, got 1"):
        V.paste(FRAMES, MASKS[:, :1], FRAMES, MASKS[0], EYES)
    with pytest.raises(ValueError, match=r"matrices must be one for each of 3 frames, got 2"):
        V.paste(FRAMES, MASKS, FRAMES[:1], MASKS[0, :1], EYES[:2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fill": 300}, r"fill must be within \[0, 255\], got 300"),
        ({"size": (0, 5)}, r"size must be 2 integers of at least 1, got \(0, 5\)"),
        ({"size": 7}, r"size must be 2 integers of at least 1, got 7"),
    ],
)
def test_bad_size_and_fill_are_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        V.warp_clip(FRAMES, MASKS, EYES, **arguments)
    with pytest.raises(
        ValueError, match=r"mask must be a tensor or an array \(T, H, W\), got NoneType"
    ):
        V.paste(FRAMES, MASKS, FRAMES, None, EYES)  # type: ignore[type-var]


def test_arrays_of_any_memory_are_taken() -> None:
    """A negative stride makes RGB of OpenCV's BGR; arrays from files may be read-only."""
    frames, masks = plain()
    pixels, bits = frames.permute(0, 2, 3, 1).numpy(), masks.numpy()
    expected = V.warp_clip(np.ascontiguousarray(pixels[..., ::-1]), bits, MATRICES)
    frozen = bits.copy()
    frozen.flags.writeable = False
    for given in ((pixels[..., ::-1], bits), (np.ascontiguousarray(pixels[..., ::-1]), frozen)):
        found = V.warp_clip(*given, MATRICES)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])
    V.paste(pixels[..., ::-1], frozen, pixels[..., ::-1], frozen[0], MATRICES)


@pytest.mark.parametrize("size", [(16, 2), (16, 4), (24, 6), (9, 5)])
def test_a_picture_may_shrink_to_one_column(size: tuple[int, int]) -> None:
    frames = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    masks = torch.zeros(1, 1, *size, dtype=torch.bool)
    small = (size[0] // 2, 1)
    matrix = scaling(small[1] / size[1], small[0] / size[0])
    found, _ = V.warp_clip(frames, masks, matrix[None], small)
    # Turned round: torch 2.14 itself gives wrong values for one column.
    turned = F.interpolate(frames.double().mT, small[::-1], mode="bilinear", antialias=True)
    assert (found.double() - turned.mT).abs().max() <= 1.5  # rounded twice
