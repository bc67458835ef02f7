"""The temporal module inside the segmenter: baseline, stills, streams, weights, size."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from segmenter.support import random_frames
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64, TOLERANCE
from torch import Tensor

from vidgap_segmenter import ClipOutput, ClipSegmenter, Mask2Former, MaskDINO
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.classes import from_categories
from vidgap_vis.weights import load, save

CLASSES = from_categories([(3, "disc"), (5, "square"), (9, "star")])
FLOAT64 = TOLERANCE[torch.float64]["atol"]
SCALES = {Mask2Former: 3, MaskDINO: 4}

networks = pytest.mark.parametrize("network", SCALES, ids=lambda network: network.__name__)


def make_module(seed: int = 1, **arguments: object) -> MultiScaleTemporalModule:
    small = {"channels": 64, "window_size": 4, "num_heads": 2, "ffn_channels": 48, **arguments}
    torch.manual_seed(seed)
    return MultiScaleTemporalModule(**small)  # type: ignore[arg-type]


def make_model(
    temporal: MultiScaleTemporalModule | None,
    dtype: torch.dtype = torch.float32,
    network: type[Mask2Former | MaskDINO] = Mask2Former,
) -> ClipSegmenter:
    """The same weights for every temporal module, in eval mode."""
    torch.manual_seed(0)
    model = network(
        "test_resnet.r160_in1k",
        len(CLASSES),
        temporal,
        channels=64,
        num_queries=7,
        num_encoder_layers=1,
        encoder_ffn_channels=48,
        num_decoder_layers=3,
        decoder_ffn_channels=48,
        num_heads=2,
        num_points=2,
    )
    return model.to(dtype).eval()


def cut(output: ClipOutput, frames: slice) -> ClipOutput:
    return replace(
        output,
        class_logits=output.class_logits[:, :, frames],
        mask_logits=output.mask_logits[:, :, frames],
        embeddings=output.embeddings[:, :, frames],
        boxes=None if output.boxes is None else output.boxes[:, :, frames],
    )


def largest_difference(ours: ClipOutput, other: ClipOutput) -> float:
    """The largest difference of two outputs, in standard deviations of the tensor."""
    pairs = [
        (getattr(ours, name), getattr(other, name))
        for name in ("class_logits", "mask_logits", "embeddings", "boxes")
        if getattr(ours, name) is not None
    ]
    assert all(mine.shape == wanted.shape for mine, wanted in pairs)
    return max(((mine - wanted).abs().max() / wanted.std()).item() for mine, wanted in pairs)


@torch.no_grad()
@networks
@pytest.mark.parametrize("residual", ["gated_residual", "full"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_an_identity_module_gives_the_baseline_to_the_bit(
    residual: str, training: bool, network: type[Mask2Former | MaskDINO]
) -> None:
    frames = random_frames(2, 3, 3, 40, 50)
    plain = make_model(None, network=network).train(training)(frames)
    module = make_module(init="identity", residual=residual, num_scales=SCALES[network])
    output = make_model(module, network=network).train(training)(frames)
    assert len(output.auxiliary) == len(plain.auxiliary) == (3 if training else 0)
    for ours, other in zip(output.auxiliary, plain.auxiliary, strict=True):
        assert torch.equal(ours.class_logits, other.class_logits)
        assert torch.equal(ours.mask_logits, other.mask_logits)
    for field in fields(ClipOutput):
        ours, other = getattr(output, field.name), getattr(plain, field.name)
        if isinstance(ours, Tensor):
            assert torch.equal(ours, other), field.name
    step, _ = make_model(module, network=network).step(frames)
    assert torch.equal(step.mask_logits, make_model(None, network=network)(frames).mask_logits)


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "dtype", "largest"),
    [
        (Mask2Former, torch.float64, FLOAT64),
        (Mask2Former, torch.float32, PARITY_FLOAT32),
        (MaskDINO, torch.float64, PARITY_FLOAT64),
    ],
    ids=str,
)
@pytest.mark.parametrize("residual", ["gated_residual", "full", "literal"])
@pytest.mark.parametrize("num_copies", [1, 3])
def test_an_image_is_the_last_frame_of_a_clip_of_copies(
    num_copies: int,
    residual: str,
    network: type[Mask2Former | MaskDINO],
    dtype: torch.dtype,
    largest: float,
) -> None:
    module = make_module(residual=residual, num_scales=SCALES[network])
    model = make_model(module, dtype, network)
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
@networks
@pytest.mark.parametrize("lengths", [(5,), (1, 1, 1, 1, 1), (2, 3), (4, 1)], ids=str)
def test_without_short_layers_a_stream_cut_anywhere_equals_the_clip(
    lengths: tuple[int, ...], network: type[Mask2Former | MaskDINO]
) -> None:
    module = make_module(num_short_layers=0, num_scales=SCALES[network])
    model = make_model(module, torch.float64, network)
    frames = random_frames(2, 5, 3, 32, 40)
    whole, state, first = model(frames), None, 0
    for length in lengths:
        frames_now = slice(first, first + length)
        output, state = model.step(frames[:, frames_now], state)
        assert largest_difference(output, cut(whole, frames_now)) <= PARITY_FLOAT64
        first += length


@torch.no_grad()
@networks
def test_weights_come_back_to_the_bit_through_a_folder(
    tmp_path: Path, network: type[Mask2Former | MaskDINO]
) -> None:
    module = make_module(residual="full", pairing="adjacent", num_scales=SCALES[network])
    model = make_model(module, network=network)
    save(tmp_path / "weights", model, CLASSES, {})
    loaded, classes = load(tmp_path / "weights")
    assert classes == CLASSES
    assert isinstance(loaded.temporal, MultiScaleTemporalModule)
    assert isinstance(model.temporal, MultiScaleTemporalModule)
    assert loaded.temporal.config == model.temporal.config
    theirs = loaded.state_dict()
    assert theirs.keys() == model.state_dict().keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in model.state_dict().items())
    frames = random_frames(1, 3, 3, 40, 50)
    assert torch.equal(loaded(frames).mask_logits, model(frames).mask_logits)
    with pytest.raises(ValueError, match=r"holds temporal\.\* weights: pass the temporal module"):
        network.from_pretrained(tmp_path / "weights")
    again = network.from_pretrained(
        tmp_path / "weights",
        temporal=make_module(
            seed=5, residual="full", pairing="adjacent", num_scales=SCALES[network]
        ),
    )
    assert torch.equal(again(frames).mask_logits, model(frames).mask_logits)


def test_the_default_module_makes_the_network_of_table_9() -> None:
    with torch.device("meta"):
        temporal = MultiScaleTemporalModule()
        model = Mask2Former("resnet50", 80, temporal)
    counts = [
        sum(parameter.numel() for parameter in module.parameters()) for module in (temporal, model)
    ]
    assert counts == [10_080_096, 54_050_353]
    assert counts[1] - counts[0] == 43_970_257
