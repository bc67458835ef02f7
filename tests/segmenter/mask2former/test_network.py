"""Mask2Former on clips: shapes at every size, padding, modes, a frozen backbone, errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from segmenter.support import (
    MixFrames,
    random_frames,
    random_targets,
    randomise,
    small_model,
)
from tolerances import AUTOCAST, PARITY_FLOAT32, TOLERANCE
from torch import Tensor

from vidgap_segmenter import Criterion, Mask2Former, instance_inference
from vidgap_segmenter.mask2former.decoder import predict_attention_mask
from vidgap_segmenter.position import sine_position_embedding


@pytest.fixture(scope="module")
def model() -> Mask2Former:
    torch.manual_seed(0)
    model = small_model().eval()
    randomise(model)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "padded"),
    [((1, 1), (32, 32)), ((20, 31), (32, 32)), ((64, 96), (64, 96)), ((33, 70), (64, 96))],
    ids=str,
)
def test_frames_of_any_size_have_masks_at_stride_4_of_the_padded_size(
    model: Mask2Former, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    output = model(random_frames(2, 3, 3, *size))
    assert output.class_logits.shape == (2, 12, 3, 5)
    assert output.mask_logits.shape == (2, 12, 3, padded[0] // 4, padded[1] // 4)
    assert output.embeddings.shape == (2, 12, 3, 64)
    assert (output.frame_size, output.padded_size) == (size, padded)
    assert output.mask_logits.isfinite().all()


@torch.no_grad()
def test_padding_is_zeros_after_normalisation(model: Mask2Former) -> None:
    frames = random_frames(1, 1, 3, 40, 50)
    images = model._prepare(frames)
    assert images.shape == (1, 3, 64, 64)
    assert images[..., 40:, :].eq(0).all()
    assert images[..., 50:].eq(0).all()
    torch.testing.assert_close(images[0, :, :40, :50], (frames[0, 0] - 127.0) / 128)


@torch.no_grad()
def test_uint8_and_float_frames_give_the_same(model: Mask2Former) -> None:
    frames = random_frames(1, 2, 3, 32, 32)
    assert torch.equal(model(frames).mask_logits, model(frames.float()).mask_logits)


@torch.no_grad()
def test_without_a_temporal_module_frames_are_independent(model: Mask2Former) -> None:
    frames = random_frames(2, 3, 3, 40, 50)
    whole = model(frames)
    alone = model(frames[1:, 2:])
    for name in ("class_logits", "mask_logits", "embeddings"):
        ours, other = getattr(whole, name)[1:, :, 2:], getattr(alone, name)
        assert (ours - other).abs().max() <= PARITY_FLOAT32 * other.std(), name


@torch.no_grad()
def test_auxiliary_levels_come_in_training_mode_only_and_change_nothing(
    model: Mask2Former,
) -> None:
    frames = random_frames(1, 2, 3, 32, 64)
    evaluated = model.eval()(frames)
    trained = model.train()(frames)
    model.eval()
    assert evaluated.auxiliary == ()
    assert len(trained.auxiliary) == 3
    assert torch.equal(evaluated.mask_logits, trained.mask_logits)
    assert torch.equal(evaluated.class_logits, trained.class_logits)


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "swin_tiny"])
def test_every_tensor_is_made_on_the_device_of_the_model(backbone: str) -> None:
    model = small_model(backbone, temporal=MixFrames()).to("meta").train()
    output = model(torch.empty(2, 3, 3, 40, 50, dtype=torch.uint8, device="meta"))
    assert output.mask_logits.shape == (2, 12, 3, 16, 16)
    assert output.mask_logits.device.type == "meta"


def test_an_embedding_head_has_its_own_width() -> None:
    output = small_model(embedding_dim=24).eval()(random_frames(1, 2, 3, 32, 32))
    assert output.embeddings.shape == (1, 12, 2, 24)


def test_a_frozen_backbone_gets_no_gradient_and_stays_in_eval_mode() -> None:
    model = small_model(train_backbone=False).train()
    output = model(random_frames(1, 1, 3, 32, 32))
    output.mask_logits.sum().backward()
    assert not any(p.requires_grad or p.grad is not None for p in model.backbone.parameters())
    assert not any(module.training for module in model.backbone.modules())
    assert model.pixel_decoder.training
    assert model.pixel_decoder.input_proj[0][0].weight.grad is not None


def test_a_trained_backbone_gets_gradients_and_frozen_statistics() -> None:
    model = small_model().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(random_frames(1, 2, 3, 32, 32)).mask_logits.square().sum().backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert {name for name in before if "running_mean" in name}
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_config_rebuilds_the_model() -> None:
    model = small_model(embedding_dim=16)
    again = Mask2Former(**model.config)
    assert again.config == model.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(small_model().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_query_whose_mask_is_empty_may_look_everywhere() -> None:
    mask_embed = torch.tensor([[[1.0], [-1.0], [0.0]]])
    mask_features = torch.tensor([[[1.0, 2.0, 0.5, 3.0]]])
    attention_mask = predict_attention_mask(mask_embed, mask_features)
    assert attention_mask[0, 1].all()  # every logit is negative
    mask_features[0, 0, 1] = -2
    attention_mask = predict_attention_mask(mask_embed, mask_features)
    assert attention_mask.tolist() == [
        [[True, False, True, True], [False, True, False, False], [True, True, True, True]]
    ]


def test_positions_are_y_then_x_and_interleave_sine_and_cosine() -> None:
    size, channels = (3, 5), 8
    position = sine_position_embedding(
        size, channels, device=torch.device("cpu"), dtype=torch.float64
    )
    rows = position.view(3, 5, 8)

    def wanted(row: int, column: int) -> Tensor:
        out = []
        for index, length in ((row, 3), (column, 5)):
            angle = (index + 1) / (length + 1e-6) * 2 * torch.pi
            for pair in range(2):
                scaled = torch.tensor(angle / 10000 ** (2 * pair / 4), dtype=torch.float64)
                out += [scaled.sin(), scaled.cos()]
        return torch.stack(out)

    for row in range(3):
        for column in range(5):
            torch.testing.assert_close(
                rows[row, column], wanted(row, column), **TOLERANCE[torch.float64]
            )


def test_frames_that_do_not_fit_are_named(model: Mask2Former) -> None:
    with pytest.raises(ValueError, match=r"frames must be \(B, T, 3, H, W\), got shape \(1, 3, 8"):
        model(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"frames must be \(B, T, 3, H, W\), got shape \(1, 3, 4"):
        model(torch.zeros(1, 3, 4, 8, 8))
    with pytest.raises(ValueError, match=r"frames must be uint8 or floating, .* got torch.int64"):
        model(torch.zeros(1, 1, 3, 8, 8, dtype=torch.int64))


def test_frames_of_any_floating_dtype_are_taken(model: Mask2Former) -> None:
    frames = random_frames(1, 1, 3, 32, 32)
    for dtype in (torch.float64, torch.float16):
        assert torch.equal(model(frames.to(dtype)).mask_logits, model(frames).mask_logits)
    with pytest.raises(ValueError, match="frames must be a tensor, got ndarray"):
        model(frames.numpy())


@torch.no_grad()
def test_scores_that_are_not_finite_are_named(model: Mask2Former) -> None:
    frames = random_frames(1, 1, 3, 32, 32).float()
    frames[0, 0, 0, 5, 5] = torch.nan
    with pytest.raises(ValueError, match="scores must be finite, got nan or inf: frames or"):
        instance_inference(model(frames), (32, 32))


@torch.no_grad()
def test_a_clip_that_is_not_there_is_named(model: Mask2Former) -> None:
    output = model(random_frames(2, 1, 3, 40, 50))
    for index in (2, -1):
        with pytest.raises(IndexError, match=f"index must be below 2 clips, got {index}"):
            output.clip(index)
    with pytest.raises(ValueError, match=r"within the padded \(64, 64\), got \(40, 65\)"):
        output.clip(0, (40, 65))


@torch.no_grad()
def test_a_clip_keeps_what_heads_read_of_it(model: Mask2Former) -> None:
    frames = random_frames(3, 2, 3, 40, 50)
    assert model(frames).clip(1).head_inputs is None
    output = model(frames, with_head_inputs=True)
    whole, one = output.head_inputs, output.clip(1).head_inputs
    assert whole is not None
    assert one is not None
    assert torch.equal(one.queries, whole.queries[:, 1:2])
    maps = ("mask_features", "before_projection")
    for part, of_all in [*((getattr(one, n), getattr(whole, n)) for n in maps),
                         *zip(one.pyramid, whole.pyramid, strict=True)]:  # fmt: skip
        assert torch.equal(part, of_all[1:2])


def test_frames_without_a_pixel_are_named(model: Mask2Former) -> None:
    with pytest.raises(ValueError, match=r"frames must have a pixel, got shape \(1, 1, 3, 0, 8\)"):
        model(torch.zeros(1, 1, 3, 0, 8))


def test_frames_on_another_device_are_named(model: Mask2Former) -> None:
    with pytest.raises(ValueError, match="frames must be on the model's device cpu, got meta"):
        model(torch.zeros(1, 1, 3, 8, 8, device="meta"))


@torch.no_grad()
def test_clips_of_unequal_sizes_are_padded_with_what_becomes_zero(model: Mask2Former) -> None:
    small, large = random_frames(2, 3, 40, 50), random_frames(2, 3, 64, 70, seed=1)
    batch = model.pad_clips([small, large])
    assert batch.shape == (2, 2, 3, 64, 70)
    images = model._prepare(batch)
    alone = model._prepare(small[None])  # padded to 64 x 64 by itself
    assert torch.equal(images[:2, :, :, :64], alone)
    assert images[:2, :, 40:].eq(0).all()
    assert images[:2, :, :, 50:].eq(0).all()
    output = model(batch)
    first = output.clip(0, (40, 50))
    assert first.frame_size == (40, 50)
    assert torch.equal(first.mask_logits, output.mask_logits[:1])
    (instances,) = [frame[0] for frame in instance_inference(first, (40, 50), top_k=3)]
    padded = F.interpolate(output.mask_logits[0, :, 0][None], (64, 96), mode="bilinear")[0]
    assert torch.equal(instances.masks, padded[instances.queries, :40, :50] > 0)


def test_clips_that_make_no_batch_are_named(model: Mask2Former) -> None:
    with pytest.raises(ValueError, match=r"clips must be .* of one T, got shapes \[\(2, 3"):
        model.pad_clips([torch.zeros(2, 3, 8, 8), torch.zeros(3, 3, 8, 8)])


def test_frames_that_are_not_finite_are_named_by_the_loss(model: Mask2Former) -> None:
    frames = random_frames(1, 1, 3, 64, 64).float()
    frames[0, 0, 0, 5, 5] = torch.nan
    targets = [random_targets(2, (1, 64, 64))]
    with pytest.raises(ValueError, match="matching costs must be finite, got nan or inf in the"):
        Criterion(4, num_points=10)(model(frames), targets)


def test_channels_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match=r"channels must be divisible by 32 \(group norm\) .* 48"):
        Mask2Former("tf_efficientnet_lite0", 4, channels=48)
    with pytest.raises(ValueError, match=r"channels must be divisible by 4 for a sine .* got 6"):
        sine_position_embedding((2, 2), 6, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize("full", [True, False])
def test_the_pixel_decoder_keeps_float32_under_autocast_unless_told_not_to(full: bool) -> None:
    model = small_model(full_precision_pixel_decoder=full).eval()
    randomise(model)
    frames = random_frames(1, 1, 3, 64, 96)
    wanted = model(frames).mask_logits
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps = model.backbone(frames[0] / 255)
        encoded = model.pixel_decoder.encode(maps)
        features = model.pixel_decoder.mask_features(maps[0], encoded[0])
        found = model(frames).mask_logits.float()
    assert features.dtype == (torch.float32 if full else torch.bfloat16)
    assert (found - wanted).std() <= AUTOCAST * wanted.std()
