"""The forward pass of a clip compiles as one graph, and gives what it gives uncompiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from segmenter.support import (
    MixFrames,
    random_frames,
    randomise,
    small_mask2former_vis,
    small_mask_dino,
    small_model,
    small_seqformer,
)
from tolerances import AUTOCAST, TOLERANCE

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.backbones.folding import FoldedNetwork
from vidgap_segmenter.backbones.swin import SWIN_SIZES, SwinSize
from vidgap_segmenter.clip_segmenter import ClipSegmenter

RESNET = "test_resnet.r160_in1k"
FRAMES = random_frames(1, 2, 3, 60, 90)


@pytest.fixture(autouse=True)
def fresh_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test meets another's graphs; Swin is narrow, as compiling takes time by the block."""
    # What is compiled keeps its batch norms; folded ones round otherwise.
    monkeypatch.setattr(FoldedNetwork, "__call__", lambda _, network, images: list(network(images)))
    monkeypatch.setitem(SWIN_SIZES, "swin_tiny", SwinSize(8, (2, 1, 1, 1), (1, 2, 4, 8), 7))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def settled(model: ClipSegmenter, training: bool) -> ClipSegmenter:
    randomise(model)
    model.train(training)
    model.backbone.eval()  # drop path off: the two passes would draw different numbers
    return model


def assert_same(compiled: ClipOutput, eager: ClipOutput) -> None:
    assert len(compiled.levels) == len(eager.levels)
    torch.testing.assert_close(compiled.embeddings, eager.embeddings, **TOLERANCE[torch.float32])
    for one, other in zip(compiled.levels, eager.levels, strict=True):
        for part in ("class_logits", "mask_logits"):
            torch.testing.assert_close(
                getattr(one, part), getattr(other, part), **TOLERANCE[torch.float32]
            )


def total(output: ClipOutput) -> torch.Tensor:
    return (
        sum(
            (level.class_logits.square().sum() + level.mask_logits.square().mean())
            for level in output.levels
        )
        + output.embeddings.sum()
    )


@torch.no_grad()
@pytest.mark.parametrize("network", ["resnet", "swin", "mask dino", "mask2former-vis", "seqformer"])
def test_whole_forward_is_one_graph(network: str) -> None:
    makers = {
        "resnet": lambda: small_model(RESNET),
        "swin": lambda: small_model("swin_tiny"),
        "mask dino": lambda: small_mask_dino(RESNET),
        "mask2former-vis": lambda: small_mask2former_vis(RESNET),
        "seqformer": lambda: small_seqformer(RESNET),
    }
    model = settled(makers[network](), training=False)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_same(compiled(FRAMES), model(FRAMES))


def test_training_forward_is_one_graph_with_the_same_gradients() -> None:
    model = settled(small_model(RESNET), training=True)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found = []
    for run in (compiled, model):
        output = run(FRAMES)
        gradients = torch.autograd.grad(total(output), list(model.parameters()), allow_unused=True)
        found.append((output, gradients))
    (output, gradients), (wanted, wanted_gradients) = found
    assert len(output.auxiliary) == 3
    assert_same(output, wanted)
    pairs = zip(model.named_parameters(), gradients, wanted_gradients, strict=True)
    for (name, _), one, other in pairs:
        assert (one is None) == (other is None), name
        if one is not None and other is not None:
            assert (one - other).norm() <= TOLERANCE[torch.float32]["rtol"] * other.norm(), name


@torch.no_grad()
def test_a_stream_of_steps_is_one_graph_with_a_temporal_module() -> None:
    model = settled(small_model(RESNET, temporal=MixFrames()), training=False)
    compiled = torch.compile(model.step, fullgraph=True, backend="eager")
    output, state = compiled(FRAMES)
    wanted, wanted_state = model.step(FRAMES)
    assert_same(output, wanted)
    output, _ = compiled(FRAMES.flip(-1), state)
    wanted, _ = model.step(FRAMES.flip(-1), wanted_state)
    assert_same(output, wanted)


@torch.no_grad()
def test_autocast_is_part_of_the_graph() -> None:
    model = settled(small_model("swin_tiny"), training=False)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    wanted = model(FRAMES)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = compiled(FRAMES)
    assert narrow.class_logits.dtype == torch.bfloat16
    apart = (narrow.mask_logits.float() - wanted.mask_logits).std() / wanted.mask_logits.std()
    assert 0 < apart < AUTOCAST


def test_what_breaks_the_graph_would_be_noticed() -> None:
    class Printing(MixFrames):
        def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
            assert features[0].sum().item() < float("inf")
            return super().forward(features)

    model = settled(small_model(RESNET, temporal=Printing()), training=False)
    with pytest.raises(Exception, match="item"):
        torch.compile(model, fullgraph=True, backend="eager")(FRAMES)
