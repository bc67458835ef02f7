"""The criterion: equal to Hugging Face's, defined for every batch, and in float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from segmenter.support import random_frames, random_targets, small_model
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_segmenter import ClipOutput, ClipTargets, Criterion, Losses, Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.losses import NonFiniteLoss, mean_over_processes

SIZE = (2, 40, 64)  # T, H, W of the clips; padded to 64 x 64
NO_INSTANCES = random_targets(0, SIZE)
BATCHES = {
    "some": [random_targets(3, SIZE, seed=1), random_targets(5, SIZE, seed=2)],
    "a clip without instances": [NO_INSTANCES, random_targets(4, SIZE, seed=3)],
    "more instances than queries": [
        random_targets(9, SIZE, seed=4),
        random_targets(2, SIZE, seed=5),
    ],
}


def random_output(
    *, num_levels: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[ClipOutput, list[Tensor]]:
    """An output for two clips of SIZE, 6 queries, 4 classes; and its leaves."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        drawn = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn.to(dtype).requires_grad_()

    levels = [Prediction(draw(2, 6, 2, 5), draw(2, 6, 2, 16, 16)) for _ in range(num_levels)]
    last, *auxiliary = levels
    output = ClipOutput(
        last.class_logits,
        last.mask_logits,
        torch.zeros(2, 6, 2, 8, dtype=dtype),
        tuple(auxiliary),
        frame_size=SIZE[1:],
        padded_size=(64, 64),
    )
    return output, [leaf for level in levels for leaf in (level.class_logits, level.mask_logits)]


@pytest.fixture
def _float64_by_default() -> Iterator[None]:
    """Hugging Face's criterion draws its points in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def hugging_face_losses(
    output: ClipOutput, targets: list[ClipTargets], num_points: int
) -> dict[str, Tensor]:
    """Their losses with every frame as an image of its own."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

    config = transformers.Mask2FormerConfig(num_labels=4, train_num_points=num_points)
    masks, labels = [], []
    for clip in targets:
        for frame in range(SIZE[0]):
            present = clip.masks[:, frame].flatten(1).any(1)
            masks.append(F.pad(clip.masks[present, frame].double(), (0, 0, 0, 24)))
            labels.append(clip.labels[present])
    levels = [
        {
            "masks_queries_logits": level.mask_logits.transpose(1, 2).flatten(0, 1),
            "class_queries_logits": level.class_logits.transpose(1, 2).flatten(0, 1),
        }
        for level in output.levels
    ]
    criterion = Mask2FormerLoss(config, {})
    return criterion(
        **levels[0], mask_labels=masks, class_labels=labels, auxiliary_predictions=levels[1:]
    )


@pytest.mark.usefixtures("_float64_by_default")
@pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)
def test_losses_and_gradients_equal_hugging_face_with_the_same_seed(
    targets: list[ClipTargets],
) -> None:
    output, leaves = random_output()
    torch.manual_seed(7)
    losses = Criterion(4, num_points=50)(output, targets)
    torch.manual_seed(7)
    theirs = hugging_face_losses(output, targets, 50)
    for index, suffix in enumerate(["", "_0", "_1"]):
        for ours, name in (
            (losses.parts["class"], "loss_cross_entropy"),
            (losses.parts["mask"], "loss_mask"),
            (losses.parts["dice"], "loss_dice"),
        ):
            torch.testing.assert_close(
                ours[index], theirs[name + suffix], **TOLERANCE[torch.float64]
            )
    total = sum((2 if "cross_entropy" in name else 5) * loss for name, loss in theirs.items())
    torch.testing.assert_close(losses.total, total, **TOLERANCE[torch.float64])
    gradients = zip(
        torch.autograd.grad(losses.total, leaves), torch.autograd.grad(total, leaves), strict=True
    )
    for ours, other in gradients:
        torch.testing.assert_close(ours, other, **TOLERANCE[torch.float64])


def test_the_sampler_is_asked_for_every_point() -> None:
    asked = []

    def sampler(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
        asked.append(shape)
        return torch.full(shape, 0.5, device=device)

    output, _ = random_output(num_levels=2, dtype=torch.float32)
    targets = BATCHES["some"]
    pairs = sum(min(6, int(n)) for clip in targets for n in clip.masks.flatten(2).any(2).sum(0))
    Criterion(4, num_points=40, oversample=2.5, importance=0.5, sampler=sampler)(output, targets)
    assert asked == 2 * [(4, 40, 2), (pairs, 100, 2), (pairs, 20, 2)]


def test_no_instances_at_all_leave_the_class_loss_alone() -> None:
    output, leaves = random_output(dtype=torch.float32)
    losses = Criterion(4, num_points=20)(output, [NO_INSTANCES, NO_INSTANCES])
    assert losses.parts["mask"].eq(0).all()
    assert losses.parts["dice"].eq(0).all()
    logits = output.class_logits.flatten(0, 2)
    wanted = F.cross_entropy(logits, torch.full((len(logits),), 4))
    torch.testing.assert_close(losses.parts["class"][0], wanted)
    gradients = torch.autograd.grad(losses.total, leaves)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_an_instance_counts_only_in_frames_where_it_has_a_pixel() -> None:
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 1, :20, :20] = True  # instance 0 in frame 1 alone, instance 1 nowhere
    clip = ClipTargets(torch.tensor([3, 2]), masks, torch.arange(2))
    targets = FrameTargets.from_clips([clip, clip], (64, 64))
    assert targets.counts == (0, 1, 0, 1)
    assert targets.frames.tolist() == [1, 3]
    assert targets.labels.tolist() == [3, 3]


def test_mask_losses_are_divided_by_the_number_of_instances_present() -> None:
    def half(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
        return torch.full(shape, 0.25, device=device)

    one = random_targets(1, SIZE, seed=1)
    masks = torch.ones(1, *SIZE, dtype=torch.bool)
    clip = ClipTargets(one.labels, masks, one.ids)
    output, _ = random_output(num_levels=1, dtype=torch.float32)
    constant = ClipOutput(
        output.class_logits,
        torch.ones_like(output.mask_logits),
        output.embeddings,
        (),
        output.frame_size,
        output.padded_size,
    )
    losses = Criterion(4, num_points=10, sampler=half)(constant, [clip, clip])
    torch.testing.assert_close(losses.parts["mask"][0], F.softplus(torch.tensor(-1.0)))


def test_the_count_is_a_mean_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mean_over_processes(3, torch.device("cpu")) == 3
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.add_(7))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert mean_over_processes(3, torch.device("cpu")) == 5


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16], ids=str)
def test_losses_are_float32_for_narrow_outputs(cast: torch.dtype) -> None:
    output, leaves = random_output(dtype=cast)
    losses = Criterion(4, num_points=20)(output, BATCHES["some"])
    parts = (losses.total, *losses.parts.values())
    assert {part.dtype for part in parts} == {torch.float32}
    assert all(g.isfinite().all() for g in torch.autograd.grad(losses.total, leaves))


def test_losses_are_float32_and_learnable_under_autocast() -> None:
    model = small_model()
    frames = random_frames(1, 2, 3, 40, 64)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(frames)
        losses = Criterion(4, num_points=20)(output, [random_targets(3, SIZE)])
    assert losses.total.dtype == torch.float32
    losses.total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())


def test_every_parameter_learns_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    model = small_model(train_backbone=False)
    criterion = Criterion(4, num_points=64)
    frames, targets = random_frames(1, 2, 3, 40, 64), [random_targets(2, SIZE)]
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=1e-3)
    totals = []
    for _ in range(12):
        losses = criterion(model(frames), targets)
        totals.append(losses.total.item())
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
    assert all(p.grad.abs().sum() > 0 for p in trainable)
    assert totals[-1] < 0.8 * totals[0]


def run(
    output: ClipOutput, targets: list[ClipTargets] | None = None, num_classes: int = 4
) -> Losses:
    return Criterion(num_classes, num_points=10)(output, targets or BATCHES["some"])


def test_targets_that_do_not_fit_are_named() -> None:
    output, _ = random_output(num_levels=1)
    some = BATCHES["some"][0]
    with pytest.raises(ValueError, match="output must have 5 classes and no instance, got 5 cla"):
        run(output, num_classes=5)
    with pytest.raises(ValueError, match="targets must be of 2 clips, got 1"):
        run(output, [some])
    with pytest.raises(ValueError, match=r"targets\[1\].masks must have 2 frames, got 3"):
        run(output, [some, random_targets(1, (3, 40, 64))])
    with pytest.raises(ValueError, match=r"targets\[0\].masks must be of .*\(40, 64\), got \(40,"):
        run(output, [random_targets(1, (2, 40, 60)), some])
    bad = ClipTargets(some.labels + 3, some.masks, some.ids)
    with pytest.raises(ValueError, match=r"targets\[1\].labels must be in 0..3, got \["):
        run(output, [some, bad])


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValueError, match=r"importance in \[0, 1\], got 10, 3.0, 2"):
        Criterion(4, num_points=10, importance=2)


def test_a_cost_or_loss_that_is_not_finite_is_named() -> None:
    output, leaves = random_output(num_levels=2)
    with torch.no_grad():
        leaves[1][0, 0] = torch.nan  # mask logits of the last level
    with pytest.raises(NonFiniteLoss, match="got nan or inf in the mask, dice cost"):
        run(output)
    output, leaves = random_output(num_levels=2)
    with torch.no_grad():
        leaves[2][0, 0] = torch.inf  # class logits of the first level
    with pytest.raises(NonFiniteLoss, match="got nan or inf in the class cost"):
        run(output)
    output, _ = random_output(num_levels=1, dtype=torch.float32)
    heavy = Criterion(4, num_points=10, dice_weight=1e39)
    with pytest.raises(NonFiniteLoss, match="got nan or inf in the dice cost"):
        heavy(output, BATCHES["some"])
    output, leaves = random_output(num_levels=2)
    with torch.no_grad():
        leaves[2][0, 0] = torch.inf
    with pytest.raises(NonFiniteLoss, match="got nan or inf in the class loss of level 1"):
        run(output, [NO_INSTANCES, NO_INSTANCES])
