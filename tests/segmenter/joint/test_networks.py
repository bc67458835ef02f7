"""Mask2Former-VIS and SeqFormer: one query a clip, whatever the order of queries and frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from segmenter.support import (
    MixFrames,
    random_frames,
    random_targets,
    randomise,
    small_mask2former_vis,
    small_model,
    small_seqformer,
)
from tolerances import AUTOCAST, PARITY_FLOAT64
from torch import Tensor

from vidgap_segmenter import (
    NETWORKS,
    ClipCriterion,
    ClipOutput,
    ClipSegmenter,
    SeqFormerCriterion,
)
from vidgap_segmenter.joint.seqformer_decoder import SeqFormerDecoder
from vidgap_segmenter.mask2former.decoder import MaskedDecoder

MAKERS: dict[str, Callable[..., ClipSegmenter]] = {
    "mask2former_vis": small_mask2former_vis,
    "seqformer": small_seqformer,
}
CRITERIA = {"mask2former_vis": ClipCriterion, "seqformer": SeqFormerCriterion}


@cache
def network(name: str) -> ClipSegmenter:
    """Random weights in float64."""
    torch.manual_seed(0)
    model = MAKERS[name]().double().eval()
    randomise(model)
    return model


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each network in turn."""
    return str(request.param)


def parts_of(output: ClipOutput) -> dict[str, Tensor]:
    parts = {name: getattr(output, name) for name in ("class_logits", "mask_logits", "embeddings")}
    return parts if output.boxes is None else {**parts, "boxes": output.boxes}


def assert_same(ours: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Compare tensors in standard deviations."""
    assert ours.keys() == other.keys()
    for name, mine in ours.items():
        assert mine.shape == other[name].shape, name
        assert (mine - other[name]).abs().max() <= PARITY_FLOAT64 * other[name].std(), name


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_query_has_one_class_a_clip_and_a_mask_in_each_frame(name: str, num_frames: int) -> None:
    output = network(name)(random_frames(2, num_frames, 3, 40, 50))
    assert output.class_logits.shape == (2, 12, num_frames, 5)
    assert output.mask_logits.shape == (2, 12, num_frames, 16, 16)
    assert output.embeddings.shape == (2, 12, num_frames, 64)
    for shared in (output.class_logits, output.embeddings):
        assert torch.equal(shared, shared[:, :, :1].expand_as(shared))
    if num_frames > 1:
        assert (output.mask_logits[:, :, 0] - output.mask_logits[:, :, 1]).abs().max() > 1e-3
    assert (output.frame_size, output.padded_size) == ((40, 50), (64, 64))


@torch.no_grad()
def test_mask2former_vis_on_single_frames_is_mask2former() -> None:
    """A code of the only frame adds the same to all keys, which attention does not see."""
    joint, single = network("mask2former_vis"), small_model().double().eval()
    single.load_state_dict(joint.state_dict())
    frames = random_frames(3, 1, 3, 40, 50)
    assert_same(parts_of(joint(frames)), parts_of(single(frames)))
    ours = joint(frames, with_head_inputs=True).head_inputs
    other = single(frames, with_head_inputs=True).head_inputs
    assert_same({"queries": ours.queries}, {"queries": other.queries})


@torch.no_grad()
def test_frames_of_a_clip_are_not_independent(name: str) -> None:
    frames = random_frames(1, 3, 3, 40, 50)
    whole, first = network(name)(frames), network(name)(frames[:, :1])
    apart = (whole.mask_logits[:, :, :1] - first.mask_logits).abs().max()
    assert apart > 1e-3 * first.mask_logits.std()


@torch.no_grad()
def test_clips_of_a_batch_are_independent(name: str) -> None:
    frames = random_frames(3, 2, 3, 40, 50)
    whole, alone = network(name)(frames), network(name)(frames[1:2])
    assert_same({n: part[1:2] for n, part in parts_of(whole).items()}, parts_of(alone))


@torch.no_grad()
def test_queries_in_another_order_say_the_same_in_that_order(name: str) -> None:
    model, frames = network(name), random_frames(1, 2, 3, 40, 50)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    wanted = {n: part[:, order] for n, part in parts_of(model(frames)).items()}
    other = MAKERS[name]().double().eval()
    state = dict(model.state_dict())
    for embedding in ("decoder.query_feat.weight", "decoder.query_embed.weight"):
        state[embedding] = state[embedding][order]
    other.load_state_dict(state)
    assert_same(parts_of(other(frames)), wanted)


@torch.no_grad()
def test_seqformer_does_not_know_the_order_of_frames() -> None:
    model, frames = network("seqformer"), random_frames(1, 3, 3, 40, 50)
    order = [2, 0, 1]
    wanted = {name: part[:, :, order] for name, part in parts_of(model(frames)).items()}
    assert_same(parts_of(model(frames[:, order])), wanted)
    joint = network("mask2former_vis")
    apart = joint(frames).class_logits - joint(frames[:, order]).class_logits
    assert apart.abs().max() > 1e-3


@torch.no_grad()
def test_copies_of_a_frame_are_that_frame_to_seqformer() -> None:
    model, frames = network("seqformer"), random_frames(2, 1, 3, 40, 50)
    copies = parts_of(model(frames.expand(-1, 4, -1, -1, -1)))
    single = {name: part.expand_as(copies[name]) for name, part in parts_of(model(frames)).items()}
    assert_same(copies, single)


def test_training_predicts_from_every_level_and_evaluation_from_the_last(name: str) -> None:
    model, frames = network(name), random_frames(1, 2, 3, 40, 50)
    try:
        trained = model.train()(frames)
    finally:
        model.eval()
    evaluated = model(frames)
    assert len(trained.auxiliary) == {"mask2former_vis": 3, "seqformer": 1}[name]
    assert evaluated.auxiliary == ()
    assert_same(parts_of(trained), parts_of(evaluated))


def test_a_temporal_module_learns_and_a_step_takes_a_clip(name: str) -> None:
    model = MAKERS[name](temporal=MixFrames())
    frames = random_frames(1, 3, 3, 40, 50)
    model.train()(frames).mask_logits.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.temporal.parameters())
    with torch.no_grad():
        output, state = model.eval().step(frames)
        assert torch.equal(output.mask_logits, model(frames).mask_logits)
        assert [map_.shape[:2] for map_ in state] == [(1, 64)] * len(state)


def test_config_rebuilds_the_network(name: str) -> None:
    model = MAKERS[name](embedding_dim=16)
    again = NETWORKS[name](**model.config)
    assert type(again) is type(model)
    assert again.config == model.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    assert model.eval()(random_frames(1, 2, 3, 32, 32)).embeddings.shape == (1, 12, 2, 16)


def test_every_parameter_learns_and_the_loss_falls(name: str) -> None:
    torch.manual_seed(0)
    model = MAKERS[name](train_backbone=False)
    criterion = CRITERIA[name](4, num_points=64)
    frames, targets = random_frames(1, 2, 3, 40, 64), [random_targets(2, (2, 40, 64))]
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


def test_autocast_changes_little_and_losses_are_float32(name: str) -> None:
    torch.manual_seed(0)
    model = MAKERS[name]()
    frames, targets = random_frames(1, 2, 3, 40, 64), [random_targets(2, (2, 40, 64))]
    wanted = model(frames).mask_logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(frames)
        losses = CRITERIA[name](4, num_points=20)(output, targets)
    assert {part.dtype for part in (losses.total, *losses.parts.values())} == {torch.float32}
    assert (output.mask_logits.float() - wanted).std() <= AUTOCAST * wanted.std()
    losses.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_every_tensor_is_made_on_the_device_of_the_model(name: str) -> None:
    model = MAKERS[name]().to("meta").train()
    output = model(torch.empty(2, 3, 3, 40, 50, dtype=torch.uint8, device="meta"))
    assert output.mask_logits.shape == (2, 12, 3, 16, 16)
    assert output.mask_logits.device.type == "meta"


def test_clips_without_a_frame_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"frames must have a pixel, got shape \(1, 0, 3, 8, 8\)"):
        network(name)(torch.zeros(1, 0, 3, 8, 8))


def masked_decoder() -> MaskedDecoder:
    return MaskedDecoder(
        3,
        channels=8,
        num_queries=4,
        num_layers=1,
        ffn_channels=8,
        num_heads=2,
        num_scales=1,
        embedding_dim=None,
    )


def test_maps_that_make_no_clips_are_named_by_the_masked_decoder() -> None:
    decoder = masked_decoder()
    features, masks = torch.zeros(4, 8, 2, 3), torch.zeros(4, 8, 4, 6)
    for wrong in (0, 3, -1):
        wanted = f"num_frames must be .* divide the number of frames, 4, .* got {wrong}"
        with pytest.raises(ValueError, match=wanted):
            decoder([features], masks, every_level=False, num_frames=wrong)
    with pytest.raises(ValueError, match="number of frames, 0, which must not be 0, got 2"):
        decoder([features[:0]], masks[:0], every_level=False, num_frames=2)
    with pytest.raises(ValueError, match=r"features\[0\] must be \(4, 8, H, W\), got shape \(3, 8"):
        decoder([features[:3]], masks, every_level=False, num_frames=2)
    with pytest.raises(ValueError, match=r"mask_features must be \(4, 8, H, W\), got .*\(4, 7, 4"):
        decoder([features], masks[:, :7], every_level=False, num_frames=2)


def test_maps_that_make_no_clips_are_named_by_seqformer() -> None:
    decoder = SeqFormerDecoder(
        3,
        channels=8,
        num_queries=4,
        num_layers=1,
        ffn_channels=8,
        num_heads=2,
        num_levels=1,
        num_points=2,
    )
    features, masks = torch.zeros(1, 2, 8, 2, 3), torch.zeros(1, 2, 8, 4, 6)
    with pytest.raises(ValueError, match=r"of at least one frame, got shape \(1, 0, 8, 4, 6\)"):
        decoder([features[:, :0]], masks[:, :0], every_level=False)
    with pytest.raises(
        ValueError, match=r"mask_features must be \(B, T, C, h, w\) .* \(2, 8, 4, 6"
    ):
        decoder([features], masks[0], every_level=False)
    with pytest.raises(ValueError, match="features must be 1 maps, got 2"):
        decoder([features, features], masks, every_level=False)
    with pytest.raises(ValueError, match=r"features\[0\] must be \(1, 2, 8\) .* \(1, 1, 8, 2, 3\)"):
        decoder([features[:, :1]], masks, every_level=False)
    with pytest.raises(ValueError, match=r"mask_features must be \(1, 2, 8\) .* \(1, 2, 7, 4, 6\)"):
        decoder([features], masks[:, :, :7], every_level=False)
