"""Denoising queries: what they are made of, and that nothing of them reaches the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from segmenter.support import random_frames, random_targets, randomise, small_mask_dino
from torch import Tensor

from vidgap_segmenter import MaskDINO
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.mask_dino.decoder import MaskDINODecoderOutput
from vidgap_segmenter.mask_dino.denoising import Denoising, make_denoising

SIZE = (2, 64, 96)
NOISE = {"label_noise": 0.2, "box_noise": 0.4}


def targets_of(*counts: int) -> FrameTargets:
    clips = [random_targets(count, SIZE, seed=index) for index, count in enumerate(counts)]
    return FrameTargets.from_clips(clips, (64, 96))


def test_every_group_holds_every_instance_once() -> None:
    targets = targets_of(3, 2)
    noised = make_denoising(targets, 4, num_denoising=10, label_noise=0.0, box_noise=0.0)
    assert noised is not None
    width = max(targets.counts)
    assert noised.num_groups == 10 // width
    assert noised.labels.shape == (4, noised.num_groups * width)
    assert noised.real.sum() == noised.num_groups * sum(targets.counts)
    for group in range(noised.num_groups):
        slots = slice(group * width, (group + 1) * width)
        for frame, count in enumerate(targets.counts):
            mine = targets.frames == frame
            assert noised.real[frame, slots].tolist() == [True] * count + [False] * (width - count)
            assert torch.equal(noised.labels[frame, slots][:count], targets.labels[mine])
            assert torch.equal(noised.boxes[frame, slots][:count], targets.boxes[mine])
            assert noised.boxes[frame, slots][count:].eq(0.5).all()
    matching = noised.matching
    assert noised.real[matching.frames, matching.queries].all()
    assert torch.equal(targets.frames[matching.rows], matching.frames)
    pairs = set(zip(matching.frames.tolist(), matching.queries.tolist(), strict=True))
    assert len(pairs) == len(matching.rows) == noised.real.sum()


def test_noise_is_as_large_as_asked_for() -> None:
    torch.manual_seed(0)
    targets = targets_of(4)
    noised = make_denoising(targets, 1000, num_denoising=4000, label_noise=0.2, box_noise=0.4)
    assert noised is not None
    at, rows = (noised.matching.frames, noised.matching.queries), noised.matching.rows
    changed = noised.labels[at] != targets.labels[rows]
    assert changed.float().mean() == pytest.approx(0.2, abs=0.02)
    boxes, truth = noised.boxes[at], targets.boxes[rows]
    moved = (boxes - truth) / torch.cat((truth[:, 2:] / 2, truth[:, 2:]), dim=1)
    inside = (boxes > 0) & (boxes < 1)
    assert moved[inside].abs().max() <= 0.4 + 1e-5
    assert moved[inside].abs().max() > 0.39
    assert boxes.ge(0).all()
    assert boxes.le(1).all()


@pytest.mark.parametrize(
    "counts", [(0, 0), (9, 1)], ids=["no instances", "more than there is room"]
)
def test_sometimes_there_is_nothing_to_denoise(counts: tuple[int, ...]) -> None:
    assert make_denoising(targets_of(*counts), 4, num_denoising=5, **NOISE) is None


def test_who_may_see_whom() -> None:
    noised = make_denoising(targets_of(2), 4, num_denoising=6, **NOISE)
    assert noised is not None
    assert noised.num_groups == 3
    attention_mask = noised.attention_mask(4)[0]
    group = torch.tensor([0, 0, 1, 1, 2, 2, 9, 9, 9, 9])
    for query in range(10):
        for other in range(10):
            wanted = group[query] == group[other] or group[other] == 9
            assert attention_mask[query, other] == wanted, (query, other)


class Probe:
    """A decoder on fixed maps, with denoising queries that a test changes."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        model = small_mask_dino().eval()
        randomise(model)
        self.model: MaskDINO = model.double()
        noised = make_denoising(targets_of(2), 4, num_denoising=6, **NOISE)
        assert noised is not None
        self.noised = noised
        frames = random_frames(1, 2, 3, 64, 96)
        finest, features = model._encode(frames)
        self.maps = [map_.flatten(0, 1).detach() for map_ in features]
        self.mask_features = model.pixel_decoder.mask_features(finest, self.maps[0]).detach()

    def run(self, noised: Denoising) -> MaskDINODecoderOutput:
        return self.model.decoder(self.maps[::-1], self.mask_features, noised, every_level=True)


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe()


def tensors(output: MaskDINODecoderOutput, rows: slice) -> list[Tensor]:
    return [
        tensor[:, rows]
        for level in output.levels
        for tensor in (level.class_logits, level.mask_logits, level.boxes)
    ]


@torch.no_grad()
def test_matching_queries_see_nothing_of_the_instances(probe: Probe) -> None:
    other = replace(probe.noised, labels=3 - probe.noised.labels, boxes=1 - probe.noised.boxes)
    plain, changed = probe.run(probe.noised), probe.run(other)
    for one, two in zip(
        tensors(plain, slice(6, None)), tensors(changed, slice(6, None)), strict=True
    ):
        assert torch.equal(one, two)
    assert torch.equal(plain.embeddings, changed.embeddings)
    own = zip(tensors(plain, slice(6)), tensors(changed, slice(6)), strict=True)
    assert not any(torch.equal(one, two) for one, two in own)


@torch.no_grad()
def test_matching_queries_are_those_without_denoising(probe: Probe) -> None:
    alone = probe.model.decoder(probe.maps[::-1], probe.mask_features, None, every_level=True)
    for one, two in zip(
        tensors(probe.run(probe.noised), slice(6, None)), tensors(alone, slice(None)), strict=True
    ):
        torch.testing.assert_close(one, two)


@torch.no_grad()
def test_groups_see_nothing_of_each_other(probe: Probe) -> None:
    labels, boxes = probe.noised.labels.clone(), probe.noised.boxes.clone()
    labels[:, 2:4], boxes[:, 2:4] = 3 - labels[:, 2:4], 1 - boxes[:, 2:4]
    plain, changed = (
        probe.run(probe.noised),
        probe.run(replace(probe.noised, labels=labels, boxes=boxes)),
    )
    for rows in (slice(2), slice(4, 6)):
        for one, two in zip(tensors(plain, rows), tensors(changed, rows), strict=True):
            assert torch.equal(one, two)


@torch.no_grad()
def test_empty_slots_hold_nothing(probe: Probe) -> None:
    real = probe.noised.real.clone()
    real[:, 5] = False
    one = replace(probe.noised, real=real)
    labels = probe.noised.labels.clone()
    labels[:, 5] = 3 - labels[:, 5]
    plain, changed = probe.run(one), probe.run(replace(one, labels=labels))
    everything = slice(None)
    for ours, other in zip(tensors(plain, everything), tensors(changed, everything), strict=True):
        assert torch.equal(ours, other)
    filled = probe.run(probe.noised)
    assert not torch.equal(tensors(plain, slice(6))[-1], tensors(filled, slice(6))[-1])


def test_no_gradient_flows_from_matching_queries_to_noised_labels(probe: Probe) -> None:
    output = probe.run(probe.noised)
    table = probe.model.decoder.label_embed.weight
    sums = [tensor.sum() for tensor in tensors(output, slice(6, None))]
    (gradient,) = torch.autograd.grad(
        sum(sums[1:], sums[0]), table, allow_unused=True, retain_graph=True
    )
    assert gradient is None or gradient.eq(0).all()
    own = [tensor.sum() for tensor in tensors(output, slice(6))]
    (gradient,) = torch.autograd.grad(sum(own[1:], own[0]), table)
    assert gradient.abs().sum() > 0
