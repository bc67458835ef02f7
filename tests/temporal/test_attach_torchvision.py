"""The module in torchvision's detectors: unchanged at identity, trained by their losses."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from temporal.necks import mixed, same, weights_of
from torch import Tensor, nn

from vidgap_temporal import MultiScaleTemporalModule, attach

detection = pytest.importorskip("torchvision.models.detection")

FEW_BOXES = {
    "box_score_thresh": 0.0,
    "box_detections_per_img": 4,
    "box_batch_size_per_image": 8,
    "rpn_post_nms_top_n_train": 16,
    "rpn_post_nms_top_n_test": 16,
}
BUILDERS: dict[str, dict[str, Any]] = {
    "fasterrcnn_resnet50_fpn": FEW_BOXES,
    "maskrcnn_resnet50_fpn": FEW_BOXES,
    "retinanet_resnet50_fpn": {"score_thresh": 0.0, "detections_per_img": 4},
    "fcos_resnet50_fpn": {"score_thresh": 0.0, "detections_per_img": 4},
}
"""Detectors, and what makes them say something with random weights."""


@cache
def detector(name: str) -> nn.Module:
    """A detector of two classes for small images, in eval mode; only its head is trained."""
    torch.manual_seed(0)
    model = getattr(detection, name)(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=64,
        max_size=96,
        **BUILDERS[name],
    )
    model.backbone.body.requires_grad_(False)
    return model.eval()


def make_module(**arguments: Any) -> MultiScaleTemporalModule:
    torch.manual_seed(1)
    small = {"window_size": 4, "ffn_channels": 32, "num_gru_layers": 1, "gru_channels": 16}
    return MultiScaleTemporalModule(256, **{"num_short_layers": 1, **small, **arguments})


def frames(num_frames: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 64, 80, generator=generator) for _ in range(num_frames)]


def targets(num_frames: int = 3) -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[4.0, 6.0, 40.0, 50.0], [30.0, 10.0, 78.0, 60.0]])
    masks = torch.zeros(2, 64, 80, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.tensor([1, 2])
    return [{"boxes": boxes, "labels": labels, "masks": masks} for _ in range(num_frames)]


def values(detections: list[dict[str, Tensor]]) -> list[Tensor]:
    assert all(len(frame["boxes"]) for frame in detections), "nothing to compare"
    return [frame[key] for frame in detections for key in sorted(frame)]


@torch.no_grad()
@pytest.mark.parametrize("name", BUILDERS)
def test_detections_stay_at_identity_and_come_back_after_it(name):
    model = detector(name)
    before, plain = weights_of(model), values(model(frames()))
    with attach(model, make_module(init="identity"), 3) as handle:
        assert handle.at == "backbone.fpn"
        assert same(values(model(frames())), plain)
        with pytest.raises(ValueError, match=r"multiple of num_frames=3, .* got 2"):
            model(frames(2))
    with attach(model, make_module(), 3):
        assert not same(values(model(frames())), plain)
    assert same(values(model(frames())), plain)
    assert list(model.state_dict()) == list(before)
    assert same(list(weights_of(model).values()), list(before.values()))


@torch.no_grad()
@pytest.mark.parametrize(
    ("num_scales", "levels", "chosen"),
    [(3, None, "012"), (4, None, "0123"), (2, ("1", "3"), "13"), (2, (2, 3), "23")],
)
def test_levels_of_the_fpn_are_its_names_or_places(num_scales, levels, chosen):
    model = detector("maskrcnn_resnet50_fpn")
    images = torch.stack(frames())
    plain, mstm = model.backbone(images), make_module(num_scales=num_scales)
    with attach(model, mstm, 3, levels=levels):
        refined = model.backbone(images)
    with attach(model.backbone, mstm, 3, levels=levels):
        again = model.backbone(images)
    assert list(refined) == list(again) == list(plain) == ["0", "1", "2", "3", "pool"]
    assert same([refined[k] for k in chosen], mixed(mstm, [plain[k] for k in chosen], 3))
    assert all(torch.equal(refined[k], plain[k]) for k in plain if k not in chosen)
    assert same(list(again.values()), list(refined.values()))


@pytest.mark.parametrize("name", BUILDERS)
def test_three_steps_from_identity_reach_every_parameter_through_the_losses(name):
    model, mstm = detector(name), make_module(init="identity")
    before = weights_of(model)
    with attach(model, mstm, 3):
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-3)
        reached = {key: torch.zeros_like(p, dtype=torch.bool) for key, p in mstm.named_parameters()}
        model.train()
        for _ in range(3):
            optimizer.zero_grad()
            sum(model(frames(), targets()).values()).backward()
            for key, parameter in mstm.named_parameters():
                reached[key] |= parameter.grad != 0
            optimizer.step()
    model.eval().load_state_dict(before)
    for key, learnt in reached.items():
        # The gates r, z, c of a ConvGRU are one tensor; each of them must learn.
        gates = learnt.chunk(3) if "long_term" in key else (learnt,)
        assert all(gate.any() for gate in gates), key
