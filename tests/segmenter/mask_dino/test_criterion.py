"""Mask DINO's criterion: against slow formulas, for every batch, and learning."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from segmenter.support import random_frames, random_targets, small_mask_dino
from tolerances import EPSILON, TOLERANCE
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from vidgap_segmenter import (
    ClipTargets,
    Criterion,
    Losses,
    MaskDINOCriterion,
    MaskDINOOutput,
    Prediction,
)
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.losses import NonFiniteLoss
from vidgap_segmenter.mask_dino.denoising import make_denoising
from vidgap_segmenter.mask_dino.output import Reconstruction
from vidgap_segmenter.matcher import focal_cost

SIZE = (2, 40, 64)
NO_INSTANCES = random_targets(0, SIZE)
BATCHES = {
    "some": [random_targets(2, SIZE, seed=1), random_targets(3, SIZE, seed=2)],
    "a clip without instances": [NO_INSTANCES, random_targets(3, SIZE, seed=3)],
    "more instances than queries": [
        random_targets(7, SIZE, seed=4),
        random_targets(2, SIZE, seed=5),
    ],
}
POINTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def fixed(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """The same points for every mask, however many are asked for."""
    return POINTS[: shape[1]].to(device).expand(shape)


def random_output(
    queries: int = 4, *, dtype: torch.dtype = torch.float64, num_levels: int = 2, seed: int = 0
) -> MaskDINOOutput:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    levels = [
        Prediction(
            2 * draw(2, queries, 2, 4),
            2 * draw(2, queries, 2, 16, 16),
            draw(2, queries, 2, 4).sigmoid(),
        )
        for _ in range(num_levels)
    ]
    for level in levels:
        for tensor in (level.class_logits, level.mask_logits, level.boxes):
            tensor.requires_grad_()
    last, *auxiliary = levels
    return MaskDINOOutput(
        last.class_logits,
        last.mask_logits,
        draw(2, queries, 2, 8),
        tuple(auxiliary),
        frame_size=SIZE[1:],
        padded_size=(64, 64),
        boxes=last.boxes,
        independent_classes=True,
    )


def frame_parts(level: Prediction, clip: int, frame: int) -> tuple[Tensor, Tensor, Tensor]:
    assert level.boxes is not None
    return (
        level.class_logits[clip, :, frame],
        level.mask_logits[clip, :, frame],
        level.boxes[clip, :, frame],
    )


def sampled(maps: Tensor) -> Tensor:
    """Maps (N, h, w) at POINTS, (N, P)."""
    grid = (2 * POINTS - 1)[None, None].expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps[:, None], grid, align_corners=False)[:, 0, 0]


def truth_of(clip: ClipTargets, frame: int) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, masks at POINTS and boxes of the instances present, over the padded frame."""
    present = clip.masks[:, frame].flatten(1).any(1)
    masks = F.pad(clip.masks[present, frame].double(), (0, 0, 0, 24))
    boxes = []
    for mask in masks:
        rows, columns = mask.nonzero(as_tuple=True)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        boxes.append([(x0 + x1) / 128, (y0 + y1) / 128, (x1 - x0) / 64, (y1 - y0) / 64])
    table = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    points = sampled(masks) if len(masks) else torch.zeros(0, len(POINTS))
    return clip.labels[present], points, table


def pair_losses(mask: Tensor, box: Tensor, truth: Tensor, true_box: Tensor) -> Tensor:
    """Mask, dice, box and giou loss of one query with one instance, (4,)."""
    points = sampled(mask[None])[0]
    entropy = F.binary_cross_entropy_with_logits(points, truth)
    share = points.sigmoid()
    dice = 1 - (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
    corners = [box_convert(each[None], "cxcywh", "xyxy") for each in (box, true_box)]
    giou = 1 - generalized_box_iou(*corners)[0, 0]
    return torch.stack([entropy, dice, (box - true_box).abs().sum(), giou])


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Focal losses of logits with zeros and ones."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = (logits * (2 * wanted - 1)).sigmoid()
    return (0.25 * wanted + 0.75 * (1 - wanted)) * (1 - right) ** 2 * entropy


def cheapest(costs: Tensor) -> list[tuple[int, int]]:
    """The best of all assignments of queries (rows) to instances (columns)."""
    queries, instances = costs.shape
    if instances > queries:
        return [(query, instance) for instance, query in cheapest(costs.T)]
    choices = itertools.permutations(range(queries), instances)
    best = min(choices, key=lambda chosen: sum(costs[q, n].item() for n, q in enumerate(chosen)))
    return [(query, instance) for instance, query in enumerate(best)]


def slow_level(level: Prediction, targets: list[ClipTargets]) -> Tensor:
    """Class, mask, dice, box and giou loss of a level, every assignment tried."""
    losses = torch.zeros(5, dtype=torch.float64)
    num_masks = 0
    for clip, frame in itertools.product(range(2), range(2)):
        logits, masks, boxes = frame_parts(level, clip, frame)
        labels, truth, true_boxes = truth_of(targets[clip], frame)
        num_masks += len(labels)
        pairs = torch.zeros(len(logits), len(labels), 4, dtype=torch.float64)
        for query, row in itertools.product(range(len(logits)), range(len(labels))):
            pairs[query, row] = pair_losses(masks[query], boxes[query], truth[row], true_boxes[row])
        gain = focal(logits, torch.ones_like(logits)) - focal(logits, torch.zeros_like(logits))
        costs = 4 * gain[:, labels] + pairs @ torch.tensor([5.0, 5, 5, 2], dtype=torch.float64)
        wanted = torch.zeros_like(logits)
        for query, row in cheapest(costs.detach()):
            wanted[query, labels[row]] = 1
            losses[1:] += pairs[query, row]
        losses[0] += focal(logits, wanted).sum()
    return losses / max(num_masks, 1)


@pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)
def test_losses_and_gradients_equal_the_slow_formulas(targets: list[ClipTargets]) -> None:
    output = random_output()
    criterion = MaskDINOCriterion(4, num_points=30, oversample=1, importance=1, sampler=fixed)
    losses = criterion(output, targets)
    slow = torch.stack([slow_level(level, targets) for level in output.levels])
    names = ("class", "mask", "dice", "box", "giou")
    for index, name in enumerate(names):
        ours = losses.parts[name]
        torch.testing.assert_close(ours, slow[:, index], **TOLERANCE[torch.float64], msg=name)
    weights = torch.tensor([4.0, 5.0, 5.0, 5.0, 2.0], dtype=torch.float64)
    total = (slow * weights).sum()
    torch.testing.assert_close(losses.total, total, **TOLERANCE[torch.float64])
    leaves = [
        tensor
        for level in output.levels
        for tensor in (level.class_logits, level.mask_logits, level.boxes)
    ]
    ours_and_slow = zip(
        torch.autograd.grad(losses.total, leaves), torch.autograd.grad(total, leaves), strict=True
    )
    for ours, other in ours_and_slow:
        torch.testing.assert_close(ours, other, **TOLERANCE[torch.float64])


def test_the_focal_cost_is_what_the_focal_loss_gains() -> None:
    logits = torch.linspace(-3, 3, 8, dtype=torch.float64).reshape(1, 2, 4)
    targets = FrameTargets.from_clips([random_targets(3, (1, 40, 64), seed=2)], (64, 64))
    cost = focal_cost(logits, targets, 0.25, 2.0)
    for query, row in itertools.product(range(2), range(len(targets.labels))):
        logit = logits[0, query, targets.labels[row]]
        gain = focal(logit, torch.ones_like(logit)) - focal(logit, torch.zeros_like(logit))
        torch.testing.assert_close(cost[0, query, row], gain, **EPSILON)


def with_reconstruction(targets: list[ClipTargets]) -> tuple[MaskDINOOutput, int]:
    """An output with one level of denoising queries, and the number of groups."""
    output = random_output(num_levels=1)
    of_frames = FrameTargets.from_clips(targets, (64, 64))
    noised = make_denoising(of_frames, 4, num_denoising=8, label_noise=0.2, box_noise=0.4)
    assert noised is not None
    denoising_output = random_output(noised.labels.shape[1], num_levels=1, seed=1)
    values = {**vars(output), "reconstruction": Reconstruction(denoising_output.levels, noised)}
    return MaskDINOOutput(**values), noised.num_groups


def test_denoising_queries_are_compared_with_their_own_instance() -> None:
    targets = BATCHES["some"]
    output, num_groups = with_reconstruction(targets)
    assert output.reconstruction is not None
    criterion = MaskDINOCriterion(4, num_points=30, oversample=1, importance=1, sampler=fixed)
    losses = criterion(output, targets)
    (level,) = output.reconstruction.levels
    width = output.reconstruction.denoising.labels.shape[1] // num_groups
    slow = torch.zeros(5, dtype=torch.float64)
    count = 0
    for clip, frame in itertools.product(range(2), range(2)):
        logits, masks, boxes = frame_parts(level, clip, frame)
        labels, truth, true_boxes = truth_of(targets[clip], frame)
        count += len(labels)
        wanted = torch.zeros_like(logits)
        for group, row in itertools.product(range(num_groups), range(len(labels))):
            query = group * width + row
            wanted[query, labels[row]] = 1
            slow[1:] += pair_losses(masks[query], boxes[query], truth[row], true_boxes[row])
        slow[0] += focal(logits, wanted).sum()  # slots without an instance are background
    slow = slow / (count * num_groups)
    for value, name in zip(slow, ("class", "mask", "dice", "box", "giou"), strict=True):
        part = losses.parts[f"denoising {name}"]
        torch.testing.assert_close(part[0], value, **TOLERANCE[torch.float64], msg=name)
    plain = criterion(MaskDINOOutput(**{**vars(output), "reconstruction": None}), targets)
    weights = torch.tensor([4.0, 5, 5, 5, 2], dtype=torch.float64)
    wanted = plain.total + (weights * slow).sum()
    torch.testing.assert_close(losses.total, wanted, **TOLERANCE[torch.float64])
    others = [random_targets(1, SIZE, seed=8), random_targets(1, SIZE, seed=9)]
    with pytest.raises(ValueError, match=rf"the model was given, {count} instances .*, got 4"):
        run(output, others)


def run(output: MaskDINOOutput, targets: list[ClipTargets]) -> Losses:
    return MaskDINOCriterion(4, num_points=20)(output, targets)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_losses_are_float32_for_narrow_outputs(dtype: torch.dtype) -> None:
    losses = run(random_output(dtype=dtype), BATCHES["some"])
    assert {part.dtype for part in (losses.total, *losses.parts.values())} == {torch.float32}


def test_no_instances_leave_the_class_loss_alone() -> None:
    output = random_output(dtype=torch.float32)
    losses = run(output, [NO_INSTANCES, NO_INSTANCES])
    assert losses.parts["class"].gt(0).all()
    for name in ("mask", "dice", "box", "giou"):
        assert losses.parts[name].eq(0).all(), name
    losses.total.backward()


def test_what_does_not_fit_is_named() -> None:
    output = random_output()
    with pytest.raises(ValueError, match="output must have 3 classes, got 4 class logits"):
        MaskDINOCriterion(3)(output, BATCHES["some"])
    softmax = replace(output, independent_classes=False)
    with pytest.raises(ValueError, match="4 classes, got classes and no instance: it is another"):
        run(softmax, BATCHES["some"])
    with pytest.raises(ValueError, match="3 classes and no instance, got independent classes: it"):
        Criterion(3)(output, BATCHES["some"])
    with torch.no_grad():
        output.boxes[0, 0] = torch.nan  # type: ignore[index]
    with pytest.raises(NonFiniteLoss, match="got nan or inf in the box cost"):
        run(output, BATCHES["some"])


def test_every_parameter_learns_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    model = small_mask_dino(train_backbone=False)
    criterion = MaskDINOCriterion(4, num_points=64)
    frames, targets = random_frames(1, 2, 3, 64, 96), [random_targets(2, (2, 64, 96))]
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(trainable.values(), lr=1e-3)
    totals, learned = [], set()
    for _ in range(12):
        losses = criterion(model(frames, targets), targets)
        totals.append(losses.total.item())
        optimiser.zero_grad()
        losses.total.backward()
        learned |= {name for name, p in trainable.items() if p.grad.abs().sum() > 0}
        optimiser.step()
    assert learned == trainable.keys()
    assert totals[-1] < 0.8 * totals[0]


def test_every_parameter_has_a_gradient_without_instances() -> None:
    """Processes of a distributed run wait for one another's gradients."""
    model = small_mask_dino()
    frames, targets = random_frames(1, 1, 3, 64, 64), [random_targets(0, (1, 64, 64))]
    losses = MaskDINOCriterion(4, num_points=20)(model(frames, targets), targets)
    assert not any(name.startswith("denoising") for name in losses.parts)
    losses.total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
