"""GenVIS remembers clip by clip, as slow loops do, and forgets on request."""

from __future__ import annotations

import pytest
import torch
from tolerances import TOLERANCE
from torch import Tensor
from vis.support.vita_heads import CHANNELS, NUM_QUERIES, random_queries, small_genvis, small_vita

from vidgap_vis.trackers.genvis import GenVIS, GenVISState
from vidgap_vis.trackers.vita import VITA, VITAOutput

EXACT = TOLERANCE[torch.float64]


@torch.no_grad()
def stepped(
    head: GenVIS, clips: tuple[Tensor, ...], state: GenVISState | None = None
) -> tuple[list[VITAOutput], GenVISState]:
    outputs = []
    for clip in clips:
        output, state = head.step(clip, state)
        outputs.append(output)
    assert state is not None
    return outputs, state


@torch.no_grad()
def slow_starts(head: GenVIS, outputs: list[VITAOutput]) -> list[Tensor]:
    """Return what the decoder began each clip but the first with, query by query."""
    starts = []
    for clip in range(1, len(outputs)):
        rows = []
        for query in range(NUM_QUERIES):
            last = outputs[clip - 1].queries[0, query]
            past = [head.vita.norm(output.queries[0, query]) for output in outputs[:clip]]
            products = torch.stack([head.query_key(last) @ head.memory_key(p) for p in past])
            shares = products.exp() / products.exp().sum()
            read = sum(share * head.memory_value(p) for share, p in zip(shares, past, strict=True))
            rows.append(last + head.query_value(last) + read)
        starts.append(torch.stack(rows)[None])
    return starts


@pytest.mark.parametrize("num_frames", [1, 3])
@torch.no_grad()
def test_a_clip_begins_with_what_queries_read_of_their_own_past(num_frames: int) -> None:
    head = small_genvis()
    clips = random_queries(1, 10).split(num_frames, dim=1)
    outputs, state = stepped(head, clips)
    assert state.num_clips == len(clips)
    first = head.vita.query_feat.weight
    wanted = head.vita(clips[0], (first + head.query_value(first))[None])
    torch.testing.assert_close(outputs[0].queries, wanted.queries, **EXACT)
    starts = slow_starts(head, outputs)
    for clip, output, start in zip(clips[1:], outputs[1:], starts, strict=True):
        torch.testing.assert_close(output.queries, head.vita(clip, start).queries, **EXACT)
    probabilities = torch.stack([o.class_logits.softmax(-1)[..., :-1] for o in outputs])
    torch.testing.assert_close(state.probabilities, probabilities.amax(0), **EXACT)


def test_all_clips_at_once_are_the_steps() -> None:
    head = small_genvis()
    frames = random_queries(2, 7)
    with torch.no_grad():
        together = head(frames, 3)
    outputs, _ = stepped(head, frames.split(3, dim=1))
    assert len(together) == 3
    for one, other in zip(together, outputs, strict=True):
        torch.testing.assert_close(one.class_logits, other.class_logits, **EXACT)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        head(frames, 0)


def test_a_cap_keeps_the_last_clips() -> None:
    clips = random_queries(1, 6).split(1, dim=1)
    _, whole = stepped(small_genvis(), clips)
    capped = small_genvis(max_memory=6)
    _, same = stepped(capped, clips)
    assert torch.equal(same.keys, whole.keys)
    outputs, cut = stepped(small_genvis(max_memory=2), clips)
    assert cut.num_clips == 2
    head = small_genvis()
    with torch.no_grad():
        last = torch.stack([head.vita.norm(o.queries) for o in outputs[-2:]], dim=2)
        torch.testing.assert_close(cut.keys, head.memory_key(last), **EXACT)
    with pytest.raises(ValueError, match="max_memory must be at least 1 clip, or None, got 0"):
        small_genvis(max_memory=0)


@pytest.mark.parametrize("num_frames", [200, pytest.param(10_000, marks=pytest.mark.slow)])
@torch.inference_mode()
def test_capped_state_is_flat(num_frames: int) -> None:
    sizes = {"channels": 4, "num_queries": 2, "num_encoder_layers": 1, "num_layers": 1}
    vita = VITA(1, num_frame_queries=1, **sizes, num_heads=1, ffn_channels=4, window=0)
    head = GenVIS(vita, max_memory=10).eval()
    frames = torch.randn(num_frames, 1, 1, 1, 4)
    state, seen = None, set()
    for index, frame in enumerate(frames):
        _, state = head.step(frame, state)
        if index >= 9:
            seen.add((state.nbytes, state.keys.untyped_storage().nbytes()))
    assert seen == {(4 * (2 * 4 + 2 * 10 * 2 * 4 + 2), 4 * 10 * 2 * 4)}
    assert state is not None
    assert all(t.isfinite().all() for t in (state.queries, state.keys, state.probabilities))


def test_a_clip_remembered_takes_the_bytes_that_are_said() -> None:
    with torch.device("meta"):
        head = GenVIS(VITA(40, window=0))
        clip = torch.zeros(1, 1, 100, 256)
        _, one = head.step(clip)
        _, two = head.step(clip, one)
    assert two.nbytes - one.nbytes == 204_800


def test_gradients_reach_every_weight() -> None:
    head = small_genvis().train()
    outputs = head(random_queries(1, 3), 1)
    total = sum(o.class_logits.square().sum() + o.mask_embeddings.sum() for o in outputs)
    total = total + sum(o.frame_similarity.sum() + o.clip_similarity.sum() for o in outputs)
    total = (
        total
        + head.vita.mask_logits(
            outputs[-1].mask_embeddings, torch.ones(1, 1, CHANNELS, 1, 1, dtype=torch.float64)
        ).sum()
    )
    total.backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_it_compiles_as_one_graph() -> None:
    head = small_genvis(max_memory=2)
    clips = random_queries(1, 3).split(1, dim=1)
    wanted, _ = stepped(head, clips)
    torch._dynamo.reset()
    compiled = torch.compile(head.step, backend="eager", fullgraph=True)
    state = None
    with torch.no_grad():
        for clip, want in zip(clips, wanted, strict=True):
            output, state = compiled(clip, state)
            torch.testing.assert_close(output.class_logits, want.class_logits, **EXACT)
    torch._dynamo.reset()


def test_autocast_remembers_in_float32() -> None:
    head = GenVIS(small_vita(window=0)).float().eval()
    clips = random_queries(1, 4).float().split(1, dim=1)
    exact, _ = stepped(head, clips)
    with torch.autocast("cpu", torch.bfloat16):
        rough, state = stepped(head, clips)
    for tensor in (state.queries, state.keys, state.values, state.probabilities):
        assert tensor.dtype == torch.float32
    gap = rough[-1].class_logits - exact[-1].class_logits
    assert gap.std() / exact[-1].class_logits.std() < 0.1
