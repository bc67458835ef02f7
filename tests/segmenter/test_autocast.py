"""A training step under bfloat16 autocast: matching and losses in float32, gradients near."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import LITE0, random_frames, random_targets, randomise, small_model
from tolerances import AUTOCAST, AUTOCAST_GRADIENT
from torch import Tensor

from vidgap_segmenter import Criterion, Losses, Mask2Former
from vidgap_segmenter.backbones.swin import SWIN_SIZES, SwinSize
from vidgap_segmenter.mask2former import criterion as criterion_module

FRAMES = random_frames(1, 2, 3, 64, 96)
TARGETS = [random_targets(3, (2, 64, 96))]


@pytest.fixture(params=["swin_tiny", LITE0])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mask2Former:
    monkeypatch.setitem(SWIN_SIZES, "swin_tiny", SwinSize(16, (2, 2, 2, 2), (1, 2, 4, 8), 7))
    made = small_model(request.param)
    randomise(made)
    made.train()
    made.backbone.eval()  # both steps without drop path
    return made


def step(model: Mask2Former, narrow: bool) -> tuple[Losses, dict[str, Tensor]]:
    torch.manual_seed(0)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        losses = Criterion(4, num_points=400)(model(FRAMES), TARGETS)
    losses.total.backward()
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_matching_costs_and_losses_are_float32(
    model: Mask2Former, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    match = criterion_module.match

    def spy(costs, weights, targets):  # type: ignore[no-untyped-def]
        seen.extend(cost.dtype for cost in costs.values())
        return match(costs, weights, targets)

    monkeypatch.setattr(criterion_module, "match", spy)
    losses, gradients = step(model, narrow=True)
    assert set(seen) == {torch.float32}
    assert {part.dtype for part in losses.parts.values()} == {torch.float32}
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


def test_backbone_maps_are_near_those_of_float32(model: Mask2Former) -> None:
    images = model._prepare(FRAMES)
    with torch.no_grad():
        wanted = model.backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.backbone(images)
    for one, other in zip(found, wanted, strict=True):
        assert 0 < (one.float() - other).std() < AUTOCAST * other.std()


def test_gradients_are_near_those_of_float32(model: Mask2Former) -> None:
    _, wanted = step(model, narrow=False)
    _, found = step(model, narrow=True)
    assert wanted.keys() == found.keys()
    one, other = (torch.cat([g.flatten() for g in grads.values()]) for grads in (found, wanted))
    apart = (one - other).norm() / other.norm()
    assert 0 < apart < AUTOCAST_GRADIENT, f"{apart:.3f}"
