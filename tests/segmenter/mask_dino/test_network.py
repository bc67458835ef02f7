"""Mask DINO: equal to the official network; its outputs, settings, errors and edge cases."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from segmenter import mask_dino_official
from segmenter.support import random_frames, random_targets, randomise, small_mask_dino
from tolerances import LAST_BIT, PARITY_FLOAT64
from torch import Tensor

from vidgap_segmenter import (
    ClipTargets,
    MaskDINO,
    MaskDINOCriterion,
    MaskDINOOutput,
    instance_inference,
)
from vidgap_segmenter.convert import to_official
from vidgap_segmenter.names import official
from vidgap_segmenter.names.table import merge
from vidgap_segmenter.structures import FramePrediction

SIZE = (2, 64, 96)


@torch.no_grad()
def test_the_network_equals_the_official_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first boxes are float32 in the official code: their last bit depends on the library.

    Ours may differ by that bit; then the official ones are used.
    """
    model = MaskDINO(num_classes=40).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in to_official(model).items()}
    state, _ = merge(mask_dino_official.weights(shapes), official.SHARED)
    model.double().load_state_dict(official.MASK_DINO.to_ours(state).state)
    maps = model.backbone(mask_dino_official.picture(192, 256))
    encoded = model.pixel_decoder.encode(maps)
    features = model.pixel_decoder.mask_features(maps[0], encoded[0])
    first_boxes = mask_dino_official.first_boxes()
    anchors = model.decoder._anchors

    def official_anchors(proposals: FramePrediction) -> Tensor:
        torch.testing.assert_close(anchors(proposals), first_boxes, **LAST_BIT)
        return first_boxes

    monkeypatch.setattr(model.decoder, "_anchors", official_anchors)
    output = model.decoder(encoded[::-1], features, None, every_level=True)
    last = output.levels[-1]
    got = {
        "interm_logits": output.proposals.class_logits,
        "aux4_boxes": output.levels[4].boxes,
        "pred_logits": last.class_logits,
        "pred_masks": last.mask_logits,
        "pred_boxes": last.boxes,
    }
    errors = {name: mask_dino_official.largest_error(name, tensor) for name, tensor in got.items()}
    assert max(errors.values()) <= PARITY_FLOAT64, errors


@torch.no_grad()
@pytest.mark.parametrize("size", [(33, 70), (64, 96), (97, 75)], ids=str)
def test_frames_of_any_size_have_masks_and_boxes(model: MaskDINO, size: tuple[int, int]) -> None:
    output = model(random_frames(2, 3, 3, *size))
    padded = tuple(-(-side // 32) * 32 for side in size)
    assert output.class_logits.shape == (2, 12, 3, 4)
    assert output.boxes.shape == (2, 12, 3, 4)
    assert output.mask_logits.shape == (2, 12, 3, padded[0] // 4, padded[1] // 4)
    assert output.embeddings.shape == (2, 12, 3, 64)
    assert (output.frame_size, output.padded_size) == (size, padded)
    assert output.boxes.ge(0).all()
    assert output.boxes.le(1).all()
    assert (output.auxiliary, output.proposals, output.reconstruction) == ((), None, None)


@torch.no_grad()
def test_frames_are_independent(model: MaskDINO) -> None:
    frames = random_frames(2, 2, 3, 64, 96)
    whole, alone = model(frames), model(frames[1:, 1:])
    for name in ("class_logits", "mask_logits", "boxes"):
        ours, other = getattr(whole, name)[1:, :, 1:], getattr(alone, name)
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_training_mode_adds_levels_and_proposals_and_changes_nothing(model: MaskDINO) -> None:
    frames = random_frames(1, 2, 3, 64, 96)
    evaluated = model(frames)
    model.train()
    trained = model(frames)
    model.eval()
    assert torch.equal(trained.mask_logits, evaluated.mask_logits)
    assert torch.equal(trained.boxes, evaluated.boxes)
    assert len(trained.auxiliary) == 3
    assert len(trained.levels) == 5
    assert trained.levels[-1] is trained.proposals
    assert trained.reconstruction is None


@torch.no_grad()
def test_only_training_denoises(model: MaskDINO) -> None:
    frames, targets = random_frames(1, 2, 3, 64, 96), [random_targets(2, SIZE)]
    output = model(frames, targets)
    assert output.reconstruction is None
    assert torch.equal(output.mask_logits, model(frames).mask_logits)


@torch.no_grad()
@pytest.mark.parametrize("anchors", ["mask2box", "bitmask", "selected"])
@pytest.mark.parametrize("strides", [(8, 16, 32), (4, 8, 16, 32, 64)], ids=str)
@pytest.mark.parametrize("coarse_first", [False, True])
def test_every_configuration_runs(
    anchors: str, strides: tuple[int, ...], coarse_first: bool
) -> None:
    torch.manual_seed(0)
    model = small_mask_dino(strides=strides, anchors=anchors, coarse_first=coarse_first).eval()
    assert MaskDINO(**model.config).config == model.config
    output = model(random_frames(1, 1, 3, 64, 96))
    assert all(tensor.isfinite().all() for tensor in (output.mask_logits, output.boxes))
    used = model.backbone.channels[0 if strides[0] == 4 else 1 :]
    assert model.pixel_decoder.input_proj[0][0].in_channels == used[-1 if coarse_first else 0]


@torch.no_grad()
def test_the_order_of_levels_changes_names_and_not_outputs() -> None:
    fine, coarse = (small_mask_dino(coarse_first=order).double() for order in (False, True))
    randomise(fine)
    state = fine.pixel_decoder.state_dict()
    turned = {}
    for name, tensor in state.items():
        words = name.split(".")
        if name == "level_embed":
            tensor = tensor.flip(0)
        elif words[0] == "input_proj" and words[1] != "3":
            words[1] = str(2 - int(words[1]))
        elif "sampling_offsets" in name or "attention_weights" in name:
            heads, last = 8, 2 if "offsets" in name else 1
            tensor = tensor.unflatten(0, (heads, 4, 4, last)).flip(1).flatten(0, 3)
        turned[".".join(words)] = tensor
    coarse.pixel_decoder.load_state_dict(turned)
    maps = [
        torch.randn(1, c, 32 >> i, 32 >> i).double() for i, c in enumerate(fine.backbone.channels)
    ]
    for one, other in zip(
        fine.pixel_decoder.encode(maps), coarse.pixel_decoder.encode(maps), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_strides_that_are_not_consecutive_are_named() -> None:
    for strides in ((), (8, 32), (16, 8), (8, 16), (64,), (2, 4, 8, 16, 32)):
        with pytest.raises(ValueError, match=r"strides must be consecutive ones of \[4, 8, 16, 32"):
            small_mask_dino(strides=strides)


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"anchors must be one of \['mask2box', 'bitmask', .* 'no'"
    ):
        small_mask_dino(anchors="no")
    for name, value in (("num_queries", 0), ("num_heads", 2.0), ("channels", -64)):
        with pytest.raises(ValueError, match=rf"{name} must be a whole .* 0, got {value}"):
            small_mask_dino(**{name: value})
    with pytest.raises(ValueError, match=r"label_noise in \[0, 1\], got 9, 0.4, 7"):
        small_mask_dino(label_noise=7)
    with pytest.raises(ValueError, match=r"must be 0 or more .*, got -5, 0.4, 0.2"):
        small_mask_dino(num_denoising=-5)


def test_targets_that_do_not_fit_are_named_before_they_are_noised() -> None:
    model = small_mask_dino()
    frames, some = random_frames(1, 2, 3, 64, 96), random_targets(2, SIZE)
    bad = ClipTargets(some.labels + 4, some.masks, some.ids)
    for targets, message in (
        ([bad], r"targets\[0\].labels must be in 0..3, got"),
        ([], "targets must be of 1 clips, got 0"),
        ([random_targets(1, (3, 64, 96))], r"masks must have 2 frames, got 3"),
        ([random_targets(1, (2, 64, 90))], r"of the frames' size \(64, 96\), got \(64, 90\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model(frames, targets)


def test_frames_with_fewer_tokens_than_queries_have_one_query_per_token() -> None:
    model = small_mask_dino(num_queries=30)
    frames, targets = random_frames(1, 2, 3, 20, 20), [random_targets(2, (2, 20, 20))]
    output = model.eval()(frames)
    assert output.class_logits.shape == (1, 22, 2, 4)  # 4 * 4 + 2 * 2 + 1 + 1 tokens
    assert output.embeddings.shape == (1, 22, 2, 64)
    losses = MaskDINOCriterion(4, num_points=10)(model.train()(frames, targets), targets)
    losses.total.backward()


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (32, 64)], ids=str)
def test_maps_of_one_cell_have_finite_masks(size: tuple[int, int]) -> None:
    model = small_mask_dino(channels=32, encoder_ffn_channels=32).eval()  # a group has one channel
    assert model(random_frames(1, 1, 3, *size)).mask_logits.isfinite().all()


@torch.no_grad()
def test_boxes_are_scaled_to_the_output_size_and_clipped_at_its_sides(model: MaskDINO) -> None:
    output = model(random_frames(1, 1, 3, 40, 50))
    boxes = torch.tensor([0.5, 0.5, 0.25, 0.5]).expand_as(output.boxes).clone()
    boxes[0, 0] = torch.tensor([0.6, 0.5, 0.4, 0.4])
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    output = MaskDINOOutput(**values | {"boxes": boxes})
    (instances,) = instance_inference(output, (80, 100), top_k=48)[0]
    assert instances.boxes is not None
    plain = instances.boxes[instances.queries != 0][0]
    torch.testing.assert_close(plain, torch.tensor([48.0, 32.0, 80.0, 80.0]))
    clipped = instances.boxes[instances.queries == 0][0]
    torch.testing.assert_close(clipped, torch.tensor([51.2, 38.4, 100, 80]))


@torch.no_grad()
def test_scores_are_sigmoids_of_independent_classes(model: MaskDINO) -> None:
    output = model(random_frames(1, 1, 3, 64, 96))
    torch.testing.assert_close(output.class_probabilities, output.class_logits.sigmoid())
    assert output.class_probabilities.sum(-1).std() > 0.01
    (instances,) = instance_inference(output, (64, 96), top_k=5)[0]
    index = output.class_logits[0, :, 0].flatten().topk(5).indices
    pairs = {(i.item() // 4, i.item() % 4) for i in index}
    assert pairs == set(zip(instances.queries.tolist(), instances.labels.tolist(), strict=True))


def test_embeddings_have_the_width_of_their_head() -> None:
    output = small_mask_dino(embedding_dim=24).eval()(random_frames(1, 1, 3, 64, 64))
    assert output.embeddings.shape == (1, 12, 1, 24)
