"""How layers start where a release starts them otherwise than PyTorch does."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import SIZES, small_mask_dino, small_model, small_seqformer
from torch import nn


def linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("make", [small_model, small_mask_dino, small_seqformer])
def test_an_embedding_head_starts_as_that_of_ctvis(make) -> None:
    """Caffe2's XavierFill: uniform in +-(3 / inputs)**0.5, biases 0."""
    head = linears(make(embedding_dim=32).decoder.embedding_head)
    assert [layer.out_features for layer in head] == [SIZES["channels"]] * 2 + [32]
    for layer in head:
        bound = (3 / layer.in_features) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()


def test_the_positions_of_mask_dino_start_as_its_release() -> None:
    """Xavier, uniform in +-(6 / (inputs + outputs))**0.5."""
    for layer in linears(small_mask_dino().decoder.place_embed):
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound


def test_fresh_embeddings_tell_queries_apart() -> None:
    torch.manual_seed(0)
    head = small_model(embedding_dim=64).decoder.embedding_head
    embeddings = head(nn.functional.layer_norm(torch.randn(100, 64), (64,)))
    assert (embeddings @ embeddings.T).std() > 1
