"""Multilayer perceptrons."""

from __future__ import annotations

import itertools

from torch import nn


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
