"""Every tensor of the network equals that of Hugging Face's Mask2Former."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from segmenter.support import random_frames, randomise, small_model
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64
from torch import Tensor, nn

from vidgap_segmenter import Mask2Former

transformers = pytest.importorskip("transformers")

from segmenter.hugging_face import twin  # noqa: E402 (needs transformers)
from transformers.utils import ModelOutput  # noqa: E402 (needs transformers)

PARITY = {torch.float64: PARITY_FLOAT64, torch.float32: PARITY_FLOAT32}


def assert_parity(ours: Tensor, theirs: Tensor, name: str) -> None:
    apart = (ours - theirs).abs().max() / theirs.std()
    assert apart <= PARITY[ours.dtype], f"{name}: {apart:.2e} standard deviations apart"


@cache
def both(backbone: str, dtype: torch.dtype) -> tuple[Mask2Former, nn.Module]:
    """Our model, with auxiliary levels, and its twin."""
    model = small_model(backbone)
    randomise(model)
    model.to(dtype).train()
    model.backbone.eval()
    return model, twin(model, backbone)


def their_levels(output: ModelOutput) -> list[tuple[Tensor, Tensor]]:
    """Class and mask logits of their decoder levels, the last one first, as ours."""
    keys = ("class_queries_logits", "masks_queries_logits")
    levels = [tuple(level[key] for key in keys) for level in output.auxiliary_logits]
    return [(output.class_queries_logits, output.masks_queries_logits), *levels]


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet26", "swin_tiny"])
@pytest.mark.parametrize("size", [(64, 96), (97, 75)], ids=str)
def test_whole_network_equals_hugging_face_in_float64(backbone: str, size: tuple[int, int]) -> None:
    model, theirs = both(backbone, torch.float64)
    frames = random_frames(1, 2, 3, *size)
    images = model._prepare(frames)
    assert images.shape[-2:] == (-(-size[0] // 32) * 32, -(-size[1] // 32) * 32)
    wanted = theirs(images, output_auxiliary_logits=True)
    levels = zip(model(frames).levels, their_levels(wanted), strict=True)
    for index, (ours, (class_logits, mask_logits)) in enumerate(levels):
        assert_parity(ours.class_logits[0].transpose(0, 1), class_logits, f"classes {index}")
        assert_parity(ours.mask_logits[0].transpose(0, 1), mask_logits, f"masks {index}")


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet50", "swin_small", "swin_base", "swin_large"])
def test_every_backbone_equals_hugging_face(backbone: str) -> None:
    model, theirs = both.__wrapped__(backbone, torch.float64)  # too large to be kept
    frames = random_frames(1, 1, 3, 33, 70)
    wanted = theirs(model._prepare(frames), output_hidden_states=True)
    maps = model.backbone(model._prepare(frames))
    for index, (ours, other) in enumerate(zip(maps, wanted.encoder_hidden_states, strict=True)):
        assert_parity(ours, other, f"backbone map {index}")
    output = model(frames)
    assert_parity(output.mask_logits[0].transpose(0, 1), wanted.masks_queries_logits, "masks")
    assert_parity(output.class_logits[0].transpose(0, 1), wanted.class_queries_logits, "classes")


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("backbone", ["resnet26", "swin_tiny"])
@pytest.mark.parametrize("size", [(64, 96), (97, 75)], ids=str)
def test_each_part_equals_hugging_face_on_the_same_input(
    backbone: str, size: tuple[int, int], dtype: torch.dtype
) -> None:
    # Each part is given theirs: a mask logit within rounding of 0 flips an entry of an attention
    # mask, which in float32 would show as a difference of the whole network.
    model, theirs = both(backbone, dtype)
    images = model._prepare(random_frames(1, 2, 3, *size))
    wanted = theirs(images, output_hidden_states=True, output_auxiliary_logits=True)
    their_maps = wanted.encoder_hidden_states
    their_encoded = wanted.pixel_decoder_hidden_states
    their_features = wanted.pixel_decoder_last_hidden_state

    maps = model.backbone(images)
    encoded = model.pixel_decoder.encode(their_maps)
    mask_features = model.pixel_decoder.mask_features(their_maps[0], their_encoded[-1])
    output = model.decoder(their_encoded, their_features, every_level=True)

    for index, (ours, other) in enumerate(zip(maps, their_maps, strict=True)):
        assert_parity(ours, other, f"backbone map {index}")
    for index, (ours, other) in enumerate(zip(encoded[::-1], their_encoded, strict=True)):
        assert_parity(ours, other, f"pixel decoder level {index}")
    assert_parity(mask_features, their_features, "mask features")
    *auxiliary, last = output.levels
    levels = zip((last, *auxiliary), their_levels(wanted), strict=True)
    for index, (ours, (class_logits, mask_logits)) in enumerate(levels):
        assert_parity(ours.class_logits, class_logits, f"classes {index}")
        assert_parity(ours.mask_logits, mask_logits, f"masks {index}")
