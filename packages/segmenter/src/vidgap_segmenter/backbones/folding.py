"""Frozen batch norms inside the convolutions before them, where no gradient is wanted."""

from __future__ import annotations

import threading
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidgap_segmenter.backbones.frozen_norm import FrozenBatchNorm2d

TOLERANCE = 0.05
"""Of the largest value: half precision keeps within it, what must not be folded does not."""

_MAKING = threading.Lock()
"""Held while a twin is made; of the module, for networks are copied and pickled."""


@dataclass(frozen=True)
class Pair:
    """Names of a convolution and of the norm that takes what it gives."""

    convolution: str
    norm: str


class FoldedNetwork:
    """Runs a network by a twin in which each norm behind a convolution is in that one's weights.

    The twin is made in the first call and anew whenever a weight of the network has changed. What
    is written through `.data`, past torch's count of changes, is seen on a CPU where it changes
    the first weight of a convolution, as an average over steps does; elsewhere only after `forget`.
    The twin belongs to no state dict and to no copy, and takes as much memory again as the
    convolutions. Threads may share it. Hooks on the network's modules see no call of the twin's.
    """

    def __init__(self) -> None:
        self._made: tuple[list[Any], nn.Module] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}

    def forget(self) -> None:
        """Drop the twin."""
        self._made = None

    @torch.no_grad()
    def __call__(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        """Return what a network does, but for rounding; without gradients.

        Args:
            network: without dropout, in which a norm behind a convolution is all that reads it.
                Where the first maps show otherwise it runs as it is.
            images: (N, 3, H, W).
        """
        tensors = [*network.parameters(), *network.buffers()]
        # Neither a compiler nor a tensor made in inference mode says whether weights have changed.
        unknown = torch.compiler.is_compiling() or any(tensor.is_inference() for tensor in tensors)
        without_values = images.is_meta or type(images) is not Tensor
        if unknown or without_values or not len(images):
            return list(network(images))
        now: list[Any] = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        if images.device.type == "cpu":
            weights = [tensor for tensor in tensors if tensor.ndim == 4]
            now += [weight.as_strided((), ()).item() for weight in weights]
        with _MAKING:
            made = self._made  # another thread may forget it
            if made is None or made[0] != now:
                made = self._made = now, twin_of(network, images)
        return list(made[1](images))


def twin_of(network: nn.Module, images: Tensor) -> nn.Module:
    """Return a network's twin; the network itself where that gives other maps of `images`."""
    pairs, maps = find_pairs(network, images)
    twin = fold(network, pairs)
    return twin if _close(list(twin(images)), maps) else network


def find_pairs(network: nn.Module, images: Tensor) -> tuple[list[Pair], list[Tensor]]:
    """Return which norms come right behind a convolution, and the network's maps of `images`."""
    pairs: list[Pair] = []
    last: tuple[str, Tensor] | None = None

    def see(name: str, module: nn.Module, given: Tensor, result: Tensor) -> None:
        nonlocal last
        if isinstance(module, nn.Conv2d):
            last = name, result
        elif last is not None and given is last[1]:
            pairs.append(Pair(last[0], name))

    hooks = [
        module.register_forward_hook(
            lambda module, given, result, name=name: see(name, module, given[0], result)
        )
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | FrozenBatchNorm2d)
    ]
    try:
        return pairs, list(network(images))
    finally:
        for hook in hooks:
            hook.remove()


def fold(network: nn.Module, pairs: list[Pair]) -> nn.Module:
    """Return a copy of a network whose norms are in the convolutions; it shares other weights."""
    folded = {name for pair in pairs for name in (pair.convolution, pair.norm)}
    shared = [
        tensor
        for name, module in network.named_modules()
        if name not in folded
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    ]
    twin = deepcopy(network, {id(tensor): tensor for tensor in shared})
    for pair in pairs:
        convolution, norm = twin.get_submodule(pair.convolution), twin.get_submodule(pair.norm)
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, FrozenBatchNorm2d)
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        before = 0 if convolution.bias is None else convolution.bias
        weight = convolution.weight * scale[:, None, None, None]
        # As the maps are: otherwise a convolution turns its weights round in every call.
        weight = weight.contiguous(memory_format=torch.channels_last)
        convolution.weight = nn.Parameter(weight, requires_grad=False)
        convolution.bias = nn.Parameter(
            norm.bias + (before - norm.running_mean) * scale, requires_grad=False
        )
        twin.set_submodule(pair.norm, norm.act)
    return twin


def _close(maps: list[Tensor], wanted: list[Tensor]) -> bool:
    return all(
        bool((one - other).abs().max() <= TOLERANCE * other.abs().max())
        for one, other in zip(maps, wanted, strict=True)
    )
