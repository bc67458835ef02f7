"""The seam: where a temporal module enters, what leaves the baseline alone, images and streams."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from segmenter.support import (
    Identity,
    MixFrames,
    random_frames,
    randomise,
    small_mask_dino,
    small_model,
)
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64
from torch import Tensor, nn

from vidgap_segmenter import ClipOutput, ClipSegmenter

NETWORKS = {"mask2former": small_model, "mask_dino": small_mask_dino}


@cache
def baseline(network: str) -> ClipSegmenter:
    torch.manual_seed(0)
    model = NETWORKS[network]().eval()
    randomise(model)
    return model


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    """Each network in turn."""
    return str(request.param)


def model_with(
    temporal: nn.Module | None, dtype: torch.dtype = torch.float64, network: str = "mask2former"
) -> ClipSegmenter:
    """The same random weights for every temporal module."""
    model = deepcopy(baseline(network))
    if temporal is not None:
        randomise(temporal)
        model.temporal = temporal
    return model.to(dtype)


def assert_close(ours: ClipOutput, other: ClipOutput, largest: float) -> None:
    """Compare tensors in standard deviations."""
    for name in ("class_logits", "mask_logits", "embeddings", "boxes"):
        mine, wanted = getattr(ours, name), getattr(other, name)
        if mine is None:
            continue
        assert mine.shape == wanted.shape
        assert (mine - wanted).abs().max() <= largest * wanted.std(), name


def frames_of(output: ClipOutput, which: slice) -> ClipOutput:
    return replace(
        output,
        class_logits=output.class_logits[:, :, which],
        mask_logits=output.mask_logits[:, :, which],
        embeddings=output.embeddings[:, :, which],
        boxes=None if output.boxes is None else output.boxes[:, :, which],
    )


@torch.no_grad()
def test_a_module_that_changes_nothing_gives_the_baseline_to_the_bit(network: str) -> None:
    frames = random_frames(2, 3, 3, 40, 50)
    plain = model_with(None, torch.float32, network)(frames)
    output = model_with(Identity(), torch.float32, network)(frames)
    for field in fields(output):
        ours, other = getattr(output, field.name), getattr(plain, field.name)
        same = torch.equal(ours, other) if isinstance(ours, Tensor) else ours == other
        assert same, field.name


class Spy(Identity):
    """Keeps what it is given."""

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        self.given = [map_.clone() for map_ in features]
        return features


@torch.no_grad()
def test_the_module_is_given_the_encoded_maps_fine_to_coarse(network: str) -> None:
    spy = Spy()
    model = model_with(spy, network=network)
    frames = random_frames(2, 3, 3, 64, 96)
    model(frames)
    encoded = model.pixel_decoder.encode(model.backbone(model._prepare(frames)))
    shapes = [tuple(map_.shape) for map_ in spy.given]
    wanted_shapes = [(2, 3, 64, 8, 12), (2, 3, 64, 4, 6), (2, 3, 64, 2, 3), (2, 3, 64, 1, 2)]
    assert shapes == wanted_shapes[: 4 if network == "mask_dino" else 3]
    for given, wanted in zip(spy.given, encoded, strict=True):
        assert torch.equal(given.flatten(0, 1), wanted)


class OneScale(Identity):
    """Changes one of the scales."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [map_ + (index == self.scale) for index, map_ in enumerate(features)]


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "scale"),
    [*(("mask2former", s) for s in range(3)), *(("mask_dino", s) for s in range(4))],
)
def test_every_refined_scale_reaches_the_decoder(network: str, scale: int) -> None:
    frames = random_frames(1, 2, 3, 64, 96)
    plain = model_with(None, network=network)(frames)
    output = model_with(OneScale(scale), network=network)(frames)
    assert (output.class_logits - plain.class_logits).abs().max() > 1e-3


@torch.no_grad()
def test_the_finest_refined_scale_reaches_the_mask_features() -> None:
    model = model_with(None)
    frames = random_frames(1, 2, 3, 64, 96)
    finest, features = model._encode(frames)
    plain = model._decode(finest, features, frames)
    model.decoder.layers = nn.ModuleList()  # predictions of the learned queries: features unused
    changed = model._decode(finest, [features[0] + 1, *features[1:]], frames)
    unchanged = model._decode(finest, [features[0], features[1] + 1, features[2] + 1], frames)
    base = model._decode(finest, features, frames)
    assert plain.mask_logits.shape == changed.mask_logits.shape
    assert not torch.equal(changed.mask_logits, base.mask_logits)
    assert torch.equal(unchanged.mask_logits, base.mask_logits)


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "dtype", "largest"),
    [
        ("mask2former", torch.float64, 1e-10),
        ("mask2former", torch.float32, PARITY_FLOAT32),
        ("mask_dino", torch.float64, PARITY_FLOAT64),  # its first boxes are float32
    ],
    ids=str,
)
@pytest.mark.parametrize("num_copies", [1, 4])
def test_an_image_equals_the_last_frame_of_a_clip_of_copies(
    num_copies: int, network: str, dtype: torch.dtype, largest: float
) -> None:
    model = model_with(MixFrames(), dtype, network)
    images = random_frames(2, 3, 40, 50)
    copies = model(images[:, None].expand(-1, num_copies, -1, -1, -1))
    output = model.segment_image(images, num_copies)
    assert_close(output, frames_of(copies, slice(-1, None)), largest)


@torch.no_grad()
def test_more_copies_change_the_answer_of_a_temporal_module_only() -> None:
    images = random_frames(1, 3, 40, 50)
    mixed, plain = model_with(MixFrames()), model_with(None)
    once, thrice = (mixed.segment_image(images, n).mask_logits for n in (1, 3))
    assert (once - thrice).abs().max() > 1e-3 * once.std()
    once, thrice = (plain.segment_image(images, n).mask_logits for n in (1, 3))
    assert torch.equal(once, thrice)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(5,), (1, 1, 1, 1, 1), (2, 3)], ids=str)
def test_a_stream_in_steps_equals_the_clip(lengths: tuple[int, ...], network: str) -> None:
    model = model_with(MixFrames(), network=network)
    frames = random_frames(2, 5, 3, 32, 40)
    whole, state, first = model(frames), None, 0
    for length in lengths:
        output, state = model.step(frames[:, first : first + length], state)
        assert_close(output, frames_of(whole, slice(first, first + length)), PARITY_FLOAT64)
        first += length


@torch.no_grad()
def test_a_step_without_a_temporal_module_is_a_forward_pass() -> None:
    model = model_with(None)
    frames = random_frames(1, 2, 3, 32, 32)
    output, state = model.step(frames)
    assert state is None
    assert torch.equal(output.mask_logits, model(frames).mask_logits)


def test_a_temporal_module_learns_with_the_rest(network: str) -> None:
    model = model_with(MixFrames(), torch.float32, network).train()
    output = model(random_frames(1, 3, 3, 32, 32))
    output.mask_logits.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.temporal.parameters())


class Shrinks(Identity):
    """Returns maps of another size."""

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [features[0][:, :, :, 1:], *features[1:]]


def test_what_does_not_fit_is_named() -> None:
    frames = random_frames(1, 2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"temporal must return maps of the shapes it is given"):
        model_with(Shrinks(), torch.float32)(frames)
    model = model_with(None, torch.float32)
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, W\), got shape \(1, 2, 3, "):
        model.segment_image(frames, 3)
    with pytest.raises(ValueError, match="num_copies must be at least 1, got 0"):
        model.segment_image(frames[:, 0], 0)
