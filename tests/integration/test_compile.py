"""A segmenter with its temporal module compiles as one graph, for clips and for streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from segmenter.support import random_frames, randomise, small_model
from tolerances import TOLERANCE

from vidgap_segmenter import ClipOutput
from vidgap_temporal import MultiScaleTemporalModule

FLOAT32 = TOLERANCE[torch.float32]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """Reset the compiler around every test."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def assert_same(compiled: ClipOutput, eager: ClipOutput) -> None:
    for part in ("class_logits", "mask_logits", "embeddings"):
        torch.testing.assert_close(getattr(compiled, part), getattr(eager, part), **FLOAT32)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("streaming", [False, True], ids=["clip", "stream"])
def test_segmenter_with_temporal_module_is_one_graph(streaming: bool) -> None:
    torch.manual_seed(0)
    module = MultiScaleTemporalModule(
        channels=64,
        window_size=4,
        num_heads=2,
        ffn_channels=48,
        num_short_layers=1,
        num_gru_layers=1,
    )
    model = small_model("test_resnet.r160_in1k", temporal=module)
    randomise(model)
    model.eval()
    frames = random_frames(1, 2, 3, 64, 96)
    if not streaming:
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        assert_same(compiled(frames), model(frames))
        return
    compiled_step = torch.compile(model.step, fullgraph=True, backend="eager")
    state = wanted_state = model.step(frames)[1]
    output, state = compiled_step(frames.flip(-1), state)
    wanted, wanted_state = model.step(frames.flip(-1), wanted_state)
    assert_same(output, wanted)
    for one, other in zip(state, wanted_state, strict=True):
        torch.testing.assert_close(one, other, **FLOAT32)
