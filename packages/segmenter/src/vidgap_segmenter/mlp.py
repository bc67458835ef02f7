"""Multilayer perceptrons."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn


def linear_relu(layer: nn.Linear, tokens: Tensor) -> Tensor:
    """Return relu(layer(tokens)), (..., C).

    The bias is added afterwards: together with the product a CPU first writes it to every row.
    """
    return F.linear(tokens, layer.weight).add_(layer.bias).relu_()


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
