"""The demo sees its clips once: what it hands out is what the network says, frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from vidgap_vis import build
from vidgap_vis.demo.plan import make_plan
from vidgap_vis.demo.seen import SeenClips

if TYPE_CHECKING:
    from vidgap_segmenter import ClipSegmenter

pytest.importorskip("timm")

NUM_CLIPS, NUM_FRAMES = 3, 4


@pytest.fixture(scope="module", params=["video", "no_module"])
def model(request: pytest.FixtureRequest) -> ClipSegmenter:
    config = make_plan().config(f"{request.param}/pretrain", seed=1, root=Path())
    torch.manual_seed(0)
    return build.segmenter(config.model, config.temporal, num_classes=4).eval()


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (NUM_CLIPS, NUM_FRAMES, 3, 64, 96)
    return torch.randint(256, size, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("at_once", [1, 2])
def test_seen_clips_are_what_the_network_sees(
    model: ClipSegmenter, clips: torch.Tensor, at_once: int
) -> None:
    seen = SeenClips(model, clips).to(torch.device("cpu")).eval()
    for clip in reversed(clips):
        given = wanted = None
        for first in range(0, NUM_FRAMES, at_once):
            frames = clip[None, first : first + at_once]
            output, given = seen.step(frames, given)
            steps = []
            with torch.inference_mode():
                for time in range(at_once):
                    one, wanted = model.step(frames[:, time : time + 1], wanted)
                    steps.append(one)
            for name in ("class_logits", "mask_logits", "embeddings"):
                separate = torch.cat([getattr(step, name) for step in steps], dim=2)
                torch.testing.assert_close(getattr(output, name), separate, rtol=1e-4, atol=1e-4)
            assert (output.frame_size, output.padded_size) == (one.frame_size, one.padded_size)


def test_clips_that_begin_alike_cannot_be_told_apart(
    model: ClipSegmenter, clips: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="clips must begin differently, got 3 first frames"):
        SeenClips(model, torch.cat([clips, clips[:1]]))


def test_what_was_not_kept_cannot_be_had(model: ClipSegmenter, clips: torch.Tensor) -> None:
    seen = SeenClips(model, clips[:, :1])
    with pytest.raises(ValueError, match="with_head_inputs must be off"):
        seen.step(clips[:1, :1], None, with_head_inputs=True)
    with pytest.raises(ValueError, match="device must be the CPU, got meta"):
        seen.to(torch.device("meta"))
