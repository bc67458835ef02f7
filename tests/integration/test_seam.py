"""The temporal module inside the segmenter: baseline, stills, streams, weights, size."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from tolerances import PARITY_FLOAT32, TOLERANCE
from torch import Tensor

from vidgap_segmenter import ClipOutput, Mask2Former
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis import build
from vidgap_vis.classes import from_categories

CLASSES = from_categories([(3, "disc"), (5, "square"), (9, "star")])
FLOAT64 = TOLERANCE[torch.float64]["atol"]


def make_module(seed: int = 1, **arguments: object) -> MultiScaleTemporalModule:
    small = {"channels": 32, "window_size": 4, "num_heads": 2, "ffn_channels": 48, **arguments}
    torch.manual_seed(seed)
    return MultiScaleTemporalModule(**small)  # type: ignore[arg-type]


def make_model(
    temporal: MultiScaleTemporalModule | None, dtype: torch.dtype = torch.float32
) -> Mask2Former:
    """The same weights for every temporal module, in eval mode."""
    torch.manual_seed(0)
    model = Mask2Former(
        "test_resnet.r160_in1k",
        len(CLASSES),
        temporal,
        channels=32,
        num_queries=7,
        num_encoder_layers=1,
        encoder_ffn_channels=48,
        num_decoder_layers=3,
        decoder_ffn_channels=48,
        num_heads=2,
        num_points=2,
    )
    return model.to(dtype).eval()


def random_frames(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def cut(output: ClipOutput, frames: slice) -> ClipOutput:
    return replace(
        output,
        class_logits=output.class_logits[:, :, frames],
        mask_logits=output.mask_logits[:, :, frames],
        embeddings=output.embeddings[:, :, frames],
    )


def largest_difference(ours: ClipOutput, other: ClipOutput) -> float:
    """In standard deviations of the tensor, over class logits, mask logits and embeddings."""
    pairs = [
        (getattr(ours, name), getattr(other, name))
        for name in ("class_logits", "mask_logits", "embeddings")
    ]
    assert all(mine.shape == wanted.shape for mine, wanted in pairs)
    return max(((mine - wanted).abs().max() / wanted.std()).item() for mine, wanted in pairs)


@torch.no_grad()
@pytest.mark.parametrize("residual", ["gated_residual", "full"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_an_identity_module_gives_the_baseline_to_the_bit(residual: str, training: bool) -> None:
    frames = random_frames(2, 3, 3, 40, 50)
    plain = make_model(None).train(training)(frames)
    output = make_model(make_module(init="identity", residual=residual)).train(training)(frames)
    assert len(output.auxiliary) == len(plain.auxiliary) == (3 if training else 0)
    for ours, other in zip(output.auxiliary, plain.auxiliary, strict=True):
        assert torch.equal(ours.class_logits, other.class_logits)
        assert torch.equal(ours.mask_logits, other.mask_logits)
    for field in fields(ClipOutput):
        ours, other = getattr(output, field.name), getattr(plain, field.name)
        if isinstance(ours, Tensor):
            assert torch.equal(ours, other), field.name
    step, _ = make_model(make_module(init="identity", residual=residual)).step(frames)
    assert torch.equal(step.mask_logits, make_model(None)(frames).mask_logits)


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float64, FLOAT64), (torch.float32, PARITY_FLOAT32)], ids=str
)
@pytest.mark.parametrize("residual", ["gated_residual", "full", "literal"])
@pytest.mark.parametrize("num_copies", [1, 3])
def test_an_image_is_the_last_frame_of_a_clip_of_copies(
    num_copies: int, residual: str, dtype: torch.dtype, largest: float
) -> None:
    model = make_model(make_module(residual=residual), dtype)
    images = random_frames(2, 3, 40, 50)
    copies = model(images[:, None].expand(-1, num_copies, -1, -1, -1))
    output = model.segment_image(images, num_copies)
    assert largest_difference(output, cut(copies, slice(-1, None))) <= largest


@torch.no_grad()
def test_the_default_module_changes_what_the_segmenter_says() -> None:
    frames = random_frames(1, 3, 3, 40, 50)
    output, plain = make_model(make_module())(frames), make_model(None)(frames)
    assert largest_difference(output, plain) > 0.01


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(5,), (1, 1, 1, 1, 1), (2, 3), (4, 1)], ids=str)
def test_without_short_layers_a_stream_cut_anywhere_equals_the_clip(
    lengths: tuple[int, ...],
) -> None:
    model = make_model(make_module(num_short_layers=0), torch.float64)
    frames = random_frames(2, 5, 3, 32, 40)
    whole, state, first = model(frames), None, 0
    for length in lengths:
        frames_now = slice(first, first + length)
        output, state = model.step(frames[:, frames_now], state)
        assert largest_difference(output, cut(whole, frames_now)) <= FLOAT64
        first += length


@torch.no_grad()
def test_weights_come_back_to_the_bit_through_a_folder(tmp_path: Path) -> None:
    model = make_model(make_module(residual="full", pairing="adjacent"))
    build.save(tmp_path / "weights", model, CLASSES, {})
    loaded, classes = build.load(tmp_path / "weights")
    assert classes == CLASSES
    assert isinstance(loaded.temporal, MultiScaleTemporalModule)
    assert isinstance(model.temporal, MultiScaleTemporalModule)
    assert loaded.temporal.config == model.temporal.config
    theirs = loaded.state_dict()
    assert theirs.keys() == model.state_dict().keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in model.state_dict().items())
    frames = random_frames(1, 3, 3, 40, 50)
    assert torch.equal(loaded(frames).mask_logits, model(frames).mask_logits)


def test_the_default_module_makes_the_network_of_table_9() -> None:
    with torch.device("meta"):
        temporal = MultiScaleTemporalModule()
        model = Mask2Former("resnet50", 80, temporal)
    counts = [
        sum(parameter.numel() for parameter in module.parameters()) for module in (temporal, model)
    ]
    assert counts == [10_080_096, 54_050_353]
    assert counts[1] - counts[0] == 43_970_257
