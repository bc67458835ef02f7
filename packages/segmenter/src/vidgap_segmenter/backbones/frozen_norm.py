"""Batch normalisation with everything frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation by fixed statistics and a fixed affine map, all of them buffers.

    Args:
        num_features: C of the maps (B, C, H, W).
        eps: added to the variance.
        activation: applied to the result.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float, activation: nn.Module | None) -> None:
        super().__init__()
        self.eps = eps
        self.act = activation or nn.Identity()
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, maps: Tensor) -> Tensor:
        normed = F.batch_norm(
            maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
        return self.act(normed)


def freeze_batch_norms(module: nn.Module) -> None:
    """Replace every batch norm inside a network of timm by a frozen one, an identity at first.

    timm's own values are dropped: it initialises some affine weights to zero, which would stay.
    Layers that fuse norm and activation keep their activation.
    """
    from timm.layers import BatchNormAct2d

    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            activation = child.act if isinstance(child, BatchNormAct2d) else None
            setattr(module, name, FrozenBatchNorm2d(child.num_features, child.eps, activation))
        else:
            freeze_batch_norms(child)
