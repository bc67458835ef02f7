"""Mask DINO's decoder: what it proposes, where its gradients flow, its precision."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import random_frames, randomise, small_mask_dino
from torch import Tensor

from vidgap_segmenter import MaskDINO
from vidgap_segmenter.boxes import cell_boxes
from vidgap_segmenter.mask_dino.decoder import MaskDINODecoderOutput


@torch.no_grad()
def test_proposals_are_the_tokens_with_the_best_class(model: MaskDINO) -> None:
    decoder = model.decoder
    maps = [map_.flatten(0, 1) for map_ in model._encode(random_frames(1, 1, 3, 64, 96))[1]]
    tokens = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in maps[::-1]], dim=1)
    sizes = [(1, 2), (2, 3), (4, 6), (8, 12)]
    content, box_logits = decoder._select(tokens, sizes)
    every = decoder.class_embed(decoder.proposal_norm(decoder.proposal_proj(tokens)))
    # No cell lies within 1 % of a side here, and the largest box has a width of 0.4.
    best = every.amax(-1)[0].topk(12).values
    torch.testing.assert_close(decoder.class_embed(content).amax(-1)[0], best)
    assert box_logits.shape == (1, 12, 4)


@torch.no_grad()
def test_cells_at_the_rim_are_not_proposed(model: MaskDINO) -> None:
    cells = cell_boxes([(1, 1), (1, 60)], torch.zeros(1))
    assert cells[0].tolist() == [pytest.approx(v) for v in (0.5, 0.5, 0.05, 0.05)]
    assert cells[1].tolist() == [pytest.approx(v) for v in (0.5 / 60, 0.5, 0.1, 0.1)]
    decoder, sizes = model.decoder, [(1, 1), (1, 60)]
    tokens = torch.randn(1, 61, 64)
    content, box_logits = decoder._select(tokens, sizes)
    every = decoder.class_embed(decoder.proposal_norm(decoder.proposal_proj(tokens))).amax(-1)[0]
    best, worst = every[2:60].argmax() + 2, every[2:60].argmin() + 2
    changed = tokens.clone()
    changed[:, [1, 60]] = tokens[:, best, None]  # x of 0.008 and 0.992
    again = decoder._select(changed, sizes)
    assert torch.equal(content, again[0])
    assert torch.equal(box_logits, again[1])
    changed[:, worst] = tokens[:, best]
    assert not torch.equal(content, decoder._select(changed, sizes)[0])


def test_gradients_flow_where_the_official_ones_do() -> None:
    """Queries and boxes are cut off before they are refined; a box sees one layer back."""
    torch.manual_seed(0)
    model = small_mask_dino(num_decoder_layers=3)
    randomise(model)
    decoder = model.decoder
    maps = [torch.randn(1, 64, side, side, requires_grad=True) for side in (1, 2, 4, 8)]
    output = decoder(maps, torch.randn(1, 64, 16, 16), None, every_level=True)

    def gradient_of(parameter: Tensor, loss: Tensor) -> float:
        (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)
        return 0.0 if gradient is None else gradient.abs().sum().item()

    def layers_behind(output: MaskDINODecoderOutput) -> list[list[bool]]:
        """Which layers the reported boxes of each level learn through."""
        norms = [layer.ffn_norm.weight for layer in decoder.layers]
        losses = [level.boxes.sum() for level in output.levels[1:]]
        return [[gradient_of(norm, loss) > 0 for norm in norms] for loss in losses]

    decoded = torch.stack([level.class_logits.sum() for level in output.levels]).sum()
    assert gradient_of(decoder.proposal_proj.weight, decoded) == 0
    assert gradient_of(decoder.proposal_proj.weight, output.proposals.class_logits.sum()) > 0
    # Boxes where layers look come without gradient: nothing of them reaches classes.
    for parameter in decoder.box_embed.parameters():
        assert gradient_of(parameter, decoded) == 0
    # The reported box of a layer is a step from the box before it, which has one of its own.
    assert layers_behind(output) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    with torch.no_grad():
        decoder.norm.weight.zero_()
        decoder.norm.bias.zero_()  # now they move with the box before them alone
    output = decoder(maps, torch.randn(1, 64, 16, 16), None, every_level=True)
    assert layers_behind(output) == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


@torch.no_grad()
def test_the_decoder_is_float32_under_autocast(model: MaskDINO) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = model(random_frames(1, 1, 3, 64, 64))
    assert output.mask_logits.dtype == output.boxes.dtype == torch.float32
