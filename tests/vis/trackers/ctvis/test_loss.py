"""CTVIS's contrastive loss against plain loops, and what it is given and spared."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from vidgap_vis.trackers.ctvis import ContrastiveLoss, association_share
from vidgap_vis.trackers.ctvis.memory import ClipMemory, MemoryKind

NUM_CLIPS, NUM_QUERIES, NUM_FRAMES, CHANNELS = 2, 7, 6, 5


def make(seed: int, num_instances: int = 4, share: float = 0.6) -> tuple[Tensor, Tensor]:
    """Embeddings (B, Q, T, C) float64 and queries (B, N, T), some absent."""
    generator = torch.Generator().manual_seed(seed)
    size = (NUM_CLIPS, NUM_QUERIES, NUM_FRAMES, CHANNELS)
    embeddings = torch.randn(size, generator=generator, dtype=torch.float64)
    order = torch.rand(NUM_CLIPS, NUM_QUERIES, NUM_FRAMES, generator=generator).argsort(1)
    queries = order[:, :num_instances]
    present = torch.rand(queries.shape, generator=generator) < share
    return embeddings.requires_grad_(), queries.where(present, -1)


def remembered(seen: list[Tensor | None], kind: MemoryKind) -> list[Tensor | None]:
    """What an instance's memory is after each frame."""
    memory: Tensor | None = None
    states: list[Tensor | None] = []
    for time, embedding in enumerate(seen):
        if embedding is not None:
            earlier = [other for other in seen[:time] if other is not None]
            if memory is None or kind == "last":
                memory = embedding
            else:
                cosines = [F.cosine_similarity(other, embedding, dim=0) for other in earlier]
                guided = torch.stack(cosines).mean().clamp(min=0)
                share = 0.75 if kind == "momentum" else guided
                memory = (1 - share) * memory + share * embedding
        states.append(memory)
    return states


def by_loops(
    embeddings: Tensor, queries: Tensor, kind: MemoryKind, from_memory: bool, compat: bool = False
) -> dict[str, Tensor]:
    contrast, cosine = [], []
    for clip, table in zip(embeddings, queries.tolist(), strict=True):
        for row in table:
            seen = [clip[query, time] if query >= 0 else None for time, query in enumerate(row)]
            states = remembered(seen, kind)
            for time in range(1, NUM_FRAMES):
                anchor = seen[time]
                earlier = [other for other in seen[:time] if other is not None]
                later = [other for other in seen[time + 1 :] if other is not None]
                if compat and len(seen[time + 1 :]) - len(later) == time:
                    later = []
                if anchor is None or not (earlier or later):
                    continue
                positive = (
                    (states[time - 1] if from_memory else earlier[-1]) if earlier else later[0]
                )
                others = [q for q in range(NUM_QUERIES) if q != row[time - 1]]
                negatives = clip[others, time - 1]
                gaps = negatives @ anchor - positive @ anchor
                contrast.append((1 + gaps.exp().sum()).log())
                near = F.cosine_similarity(anchor, positive, dim=0) - 1
                far = F.cosine_similarity(negatives, anchor[None], dim=1)
                cosine.append(torch.cat([near[None], far]).square().mean())
    return {"contrast": torch.stack(contrast).mean(), "cosine": torch.stack(cosine).mean()}


@pytest.mark.parametrize("from_memory", [False, True])
@pytest.mark.parametrize("kind", ["similarity_guided", "momentum", "last"])
def test_losses_and_gradients_are_those_of_plain_loops(kind: MemoryKind, from_memory: bool) -> None:
    embeddings, queries = make(0)
    loss = ContrastiveLoss(memory=kind, memory_probability=float(from_memory))
    got, wanted = loss(embeddings, queries), by_loops(embeddings, queries, kind, from_memory)
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=1e-12, atol=1e-12)
        mine, theirs = (
            torch.autograd.grad(part, embeddings, retain_graph=True)[0]
            for part in (got[name], value)
        )
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    embeddings, queries = make(1, num_instances=2)
    loss = ContrastiveLoss(memory_probability=1.0)
    assert gradcheck(lambda x: tuple(loss(x, queries).values()), (embeddings,))


def test_the_release_drops_some_that_are_seen_for_the_first_time() -> None:
    embeddings, _ = make(2)
    queries = torch.full((NUM_CLIPS, 1, NUM_FRAMES), -1)
    queries[0, 0] = torch.tensor([-1, 3, 3, -1, 3, 3])  # first at frame 1; one later frame lacks it
    ours = ContrastiveLoss(memory_probability=1.0)(embeddings, queries)
    release = ContrastiveLoss(memory_probability=1.0, ctvis_compat=True)(embeddings, queries)
    for got, compat in ((ours, False), (release, True)):
        wanted = by_loops(embeddings, queries, "similarity_guided", True, compat)
        torch.testing.assert_close(got, wanted)
    assert abs(float((ours["contrast"] - release["contrast"]).detach())) > 1e-3


def test_positives_are_drawn_for_each_item() -> None:
    embeddings, queries = make(3)
    torch.manual_seed(0)
    mixed = ContrastiveLoss()(embeddings, queries)["contrast"]
    ends = [
        ContrastiveLoss(memory_probability=p)(embeddings, queries)["contrast"] for p in (0.0, 1.0)
    ]
    assert len({float(value.detach()) for value in (mixed, *ends)}) == 3


def test_noise_enters_the_memory_of_absent_instances_alone() -> None:
    embeddings, queries = make(4)
    queries[:, 0] = queries[:, 0].where(queries[:, 0] < 0, 0)
    full = queries.where(queries >= 0, 1)
    for noise in (0.0, 1.0):
        loss = ContrastiveLoss(memory_probability=1.0, noise_probability=noise)
        torch.manual_seed(1)
        with_absent = loss(embeddings, queries)["contrast"]
        torch.manual_seed(1)
        without = loss(embeddings, full)["contrast"]
        if noise:
            plain = ContrastiveLoss(memory_probability=1.0)
            assert not torch.equal(with_absent, plain(embeddings, queries)["contrast"])
            torch.testing.assert_close(without, plain(embeddings, full)["contrast"])


@pytest.mark.parametrize(
    "queries",
    [
        torch.zeros(NUM_CLIPS, 0, NUM_FRAMES, dtype=torch.int64),
        torch.full((NUM_CLIPS, 3, NUM_FRAMES), -1),
        F.one_hot(torch.tensor([[2], [4]]), NUM_FRAMES) - 1,
    ],
    ids=["no instance", "all absent", "each in one frame"],
)
def test_a_batch_without_items_costs_nothing_and_has_gradients(queries: Tensor) -> None:
    embeddings, _ = make(5)
    parts = ContrastiveLoss()(embeddings, queries)
    assert [float(part.detach()) for part in parts.values()] == [0, 0]
    (gradient,) = torch.autograd.grad(sum(parts.values()), embeddings)
    assert not gradient.any()


def test_the_share_of_right_associations_is_counted_over_pairs_of_frames() -> None:
    """Instances 0 and 1 have looks of their own, but 1 looks like 0 in the last frame."""
    looks = torch.eye(3, CHANNELS)
    embeddings = looks[:, None].repeat(1, 3, 1)[None].clone()  # (1, Q, T, C)
    embeddings[0, 1, 2] = looks[0]
    queries = torch.tensor([[[0, 0, 0], [1, 1, 1], [-1, 2, -1]]])
    assert association_share(embeddings, queries).item() == 3 / 4
    assert association_share(embeddings, queries[:, :1]).isnan()
    assert association_share(embeddings, queries[:, :0]).isnan()


def test_half_precision_is_computed_in_float32() -> None:
    embeddings, queries = make(6)
    parts = ContrastiveLoss(memory_probability=1.0)(embeddings.bfloat16(), queries)
    assert {part.dtype for part in parts.values()} == {torch.float32}


def test_a_memory_of_an_instance_that_leaves_stays() -> None:
    embeddings = torch.randn(1, 1, 4, CHANNELS)
    present = torch.tensor([[[True, False, False, True]]])
    memory = ClipMemory.of(embeddings * present[..., None], present, "similarity_guided", 0.75)
    for time in (1, 2):
        assert torch.equal(memory.memory[0, 0, time], embeddings[0, 0, 0])
    assert memory.seen_before().tolist() == [[[False, True, True, True]]]
    assert torch.equal(memory.latest_before()[0, 0, 3], embeddings[0, 0, 0])
    following, is_there = memory.next_after()
    assert is_there.tolist() == [[[True, True, True, False]]]
    assert torch.equal(following[0, 0, 0], embeddings[0, 0, 3])


def test_the_share_of_right_associations_does_not_depend_on_autocast() -> None:
    """Two instances whose looks differ by less than bfloat16 can tell."""
    looks = torch.tensor([[1.0, 0.0], [1.0, 0.01]])
    embeddings = looks[None, :, None].repeat(1, 1, 3, 1)
    queries = torch.tensor([[[1, 1, 1], [0, 0, 0]]])
    with torch.autocast("cpu", torch.bfloat16):
        assert association_share(embeddings, queries).item() == 1
