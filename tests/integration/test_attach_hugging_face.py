"""The temporal module in Hugging Face's Mask2Former does the same as in ours."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tolerances import PARITY_FLOAT64
from torch import Tensor, nn

from vidgap_segmenter import Mask2Former
from vidgap_temporal import MultiScaleTemporalModule, attach

transformers = pytest.importorskip("transformers")

from segmenter.hugging_face import twin  # noqa: E402 (needs transformers)
from segmenter.support import random_frames, randomise, small_model  # noqa: E402 (needs transformers)

ENCODER = "pixel_level_module.decoder.encoder"
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def make_module(channels: int = 32, **arguments: Any) -> MultiScaleTemporalModule:
    torch.manual_seed(1)
    small = {"window_size": 4, "num_heads": 4, "ffn_channels": 32, **arguments}
    return MultiScaleTemporalModule(channels, **small)


@cache
def their_model() -> nn.Module:
    """A tiny Mask2Former of theirs, in eval mode."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        layer_type="basic",
        depths=[1] * 4,
        hidden_sizes=[8] * 4,
        embedding_size=8,
        out_features=STAGES,
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        dim_feedforward=32,
        decoder_layers=3,
        num_attention_heads=2,
        num_queries=5,
        num_labels=3,
        dropout=0.0,
        train_num_points=64,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config).eval()


def images(num_frames: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_frames, 3, 64, 96, generator=generator)


def tensors(output: Any) -> list[Tensor]:
    """Every tensor of an output, however deep."""
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output or ()
    return [tensor for part in parts for tensor in tensors(part)]


def same(ours: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


CALLS: dict[str, dict[str, bool]] = {
    "plain": {},
    "hidden states": {"output_hidden_states": True, "output_attentions": True},
    "tuple": {"return_dict": False},
}


@torch.no_grad()
@pytest.mark.parametrize("part", ["whole", "without heads"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("call", CALLS)
def test_outputs_stay_at_identity_and_come_back_after_it(part, training, call):
    model = their_model() if part == "whole" else their_model().model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def run() -> list[Tensor]:
        model.load_state_dict(before, strict=False)  # training moves the statistics of the norms
        return tensors(model.train(training)(images(), **CALLS[call]))

    plain = run()
    with attach(model, make_module(init="identity"), 3) as handle:
        assert handle.at.endswith(ENCODER)
        assert same(run(), plain)
        with pytest.raises(ValueError, match=r"multiple of num_frames=3, .* got 4"):
            model(images(4))
    with attach(model, make_module(), 3):
        assert not same(run(), plain)
    assert same(run(), plain)
    model.eval().load_state_dict(before)
    assert list(model.state_dict()) == list(before)


def test_three_steps_from_identity_reach_every_parameter_through_their_loss():
    model, mstm = their_model(), make_module(init="identity", num_short_layers=1, num_gru_layers=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    masks = torch.zeros(2, 64, 96)
    masks[0, 8:40, 10:50] = masks[1, 20:60, 40:90] = 1
    labels = {"mask_labels": [masks] * 6, "class_labels": [torch.tensor([0, 2])] * 6}
    with attach(model.train(), mstm, 3):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        reached = {name: torch.zeros_like(p).bool() for name, p in mstm.named_parameters()}
        for _ in range(3):
            optimizer.zero_grad()
            model(pixel_values=images(), **labels).loss.backward()
            for name, parameter in mstm.named_parameters():
                reached[name] |= parameter.grad != 0
            optimizer.step()
    model.eval().load_state_dict(before)
    for name, entries in reached.items():
        gates = entries.chunk(3) if "long_term" in name else (entries,)
        assert all(gate.any() for gate in gates), name


@cache
def both() -> tuple[Mask2Former, nn.Module]:
    """Our model with a temporal module, in float64, and the twin of all but that."""
    model = small_model("resnet26")
    randomise(model)
    model.double().eval()
    theirs = twin(model, "resnet26")
    model.temporal = make_module(64, residual="full", num_short_layers=1).double()
    return model, theirs


@torch.no_grad()
@pytest.mark.parametrize("shape", [(2, 3), (1, 5), (3, 1)], ids=str)
def test_both_models_say_the_same_with_the_same_module(shape):
    model, theirs = both()
    frames = random_frames(*shape, 3, 64, 96)
    pixels = (frames.flatten(0, 1) - model.pixel_mean) / model.pixel_std
    alone = theirs(pixels).masks_queries_logits
    ours = model(frames)
    with attach(theirs, model.temporal, shape[1]):
        wanted = theirs(pixels)
    assert_parity(ours.class_logits, wanted.class_queries_logits, shape)
    assert_parity(ours.mask_logits, wanted.masks_queries_logits, shape)
    moved = (wanted.masks_queries_logits - alone).abs().max() / alone.std()
    assert moved > 0.1, "the module must have something to say"


def assert_parity(ours: Tensor, theirs: Tensor, shape: tuple[int, int]) -> None:
    """Compare (B, Q, T, ...) with (B*T, Q, ...)."""
    wanted = theirs.unflatten(0, shape).transpose(1, 2)
    assert (ours - wanted).abs().max() <= PARITY_FLOAT64 * wanted.std()
