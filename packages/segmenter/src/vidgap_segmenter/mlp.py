"""Multilayer perceptrons."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


def mlp(in_channels: int, channels: int, out_channels: int, num_layers: int = 3) -> nn.Sequential:
    """Build linear layers with ReLU between them; linear layer i has the name 2*i.

    Args:
        in_channels: of the input (..., C).
        channels: of the hidden layers.
        out_channels: of the output.
        num_layers: linear layers, 2 or more.
    """
    widths = [in_channels, *[channels] * (num_layers - 1), out_channels]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def embedding_head(channels: int, embedding_dim: int | None) -> nn.Module:
    """Build what makes embeddings (..., D) of queries (..., C): three linear layers, or nothing.

    They start as `reid_embed` does in CTVIS's release, by `c2_xavier`: its loss compares dot
    products as they are, which are nearly equal from the narrower start of `nn.Linear`.

    Args:
        channels: C, of queries and hidden layers.
        embedding_dim: D; None: queries are the embeddings.
    """
    if not embedding_dim:
        return nn.Identity()
    head = mlp(channels, channels, embedding_dim)
    for layer in head:
        if isinstance(layer, nn.Linear):
            c2_xavier(layer.weight)
            nn.init.zeros_(layer.bias)
    return head


def c2_xavier(weight: Tensor) -> None:
    """Initialise as Caffe2's XavierFill, which detectron2 and networks built with it use."""
    nn.init.kaiming_uniform_(weight, a=1)
