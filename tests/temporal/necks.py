"""Small per-frame models whose neck gives a pyramid in one of many forms."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from temporal.pyramids import make_module
from torch import Tensor, nn

from vidgap_temporal import MultiScaleTemporalModule


class Three(NamedTuple):
    fine: Tensor
    middle: Tensor
    coarse: Tensor


class Neck(nn.Module):
    """Three maps of 8 channels, in the form that `pack` gives them."""

    def __init__(self, pack: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.pack = pack

    def forward(self, images: Tensor, **_: Any) -> Any:
        fine = self.conv(images)
        return self.pack([fine, F.avg_pool2d(fine, 2), F.avg_pool2d(fine, 4)])


class Model(nn.Module):
    """Gives what its neck gives."""

    def __init__(self, pack: Callable[[list[Tensor]], Any] = list) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.neck = Neck(pack)
        self.told = pack in (tokens, tokens_of_mapping)

    def forward(self, images: Tensor) -> Any:
        height, width = images.shape[-2:]
        sizes = [(height // n, width // n) for n in (4, 2, 1)]
        return self.neck(images, **({"spatial_shapes_list": sizes} if self.told else {}))


def tokens(maps: list[Tensor]) -> SimpleNamespace:
    """What a deformable encoder gives, coarse to fine."""
    levels = [level.flatten(2).transpose(1, 2) for level in maps[::-1]]
    return SimpleNamespace(last_hidden_state=torch.cat(levels, 1), attentions=None)


class TokenOutput(OrderedDict[str, Any]):
    """A mapping whose values are attributes, too, as Hugging Face's outputs."""

    last_hidden_state: Tensor

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value
        super().__setattr__(name, value)


def tokens_of_mapping(maps: list[Tensor]) -> TokenOutput:
    """The same as a mapping."""
    output = TokenOutput()
    output.last_hidden_state = tokens(maps).last_hidden_state
    return output


def named(maps: list[Tensor]) -> dict[str, Tensor]:
    return dict(zip("abc", maps, strict=True))


def with_more(maps: list[Tensor]) -> dict[str, Any]:
    return {"size": (8, 12), "mask": maps[0] > 0, **named(maps)}


FORMS: dict[str, tuple[Callable[[list[Tensor]], Any], Callable[[Any], Sequence[Tensor]]]] = {
    "list": (list, list),
    "tuple": (tuple, list),
    "tuple of more": (lambda maps: (maps[0] > 0, *maps, None), lambda output: output[1:4]),
    "coarse first": (lambda maps: tuple(maps[::-1]), lambda output: output[::-1]),
    "named tuple": (lambda maps: Three(*maps), list),
    "dict": (named, lambda output: list(output.values())),
    "ordered dict": (lambda maps: OrderedDict(named(maps)), lambda output: list(output.values())),
    "dict, coarse first": (
        lambda maps: dict(zip("cba", maps[::-1], strict=True)),
        lambda output: [output[key] for key in "abc"],
    ),
    "dict of more": (with_more, lambda output: [output[key] for key in "abc"]),
    "tokens": (
        tokens,
        lambda output: [
            level.transpose(1, 2).unflatten(2, size)
            for level, size in zip(
                output.last_hidden_state.split([6, 24, 96], dim=1)[::-1],
                [(8, 12), (4, 6), (2, 3)],
                strict=True,
            )
        ],
    ),
}
"""How a neck packs its maps, and how a test finds them again, fine to coarse."""

IMAGES = torch.randn(6, 3, 8, 12, generator=torch.Generator().manual_seed(0))


def mixed(mstm: MultiScaleTemporalModule, maps: Sequence[Tensor], num_frames: int) -> list[Tensor]:
    """What the module makes of maps (B*T, C, H, W)."""
    clips = [level.unflatten(0, (-1, num_frames)) for level in maps]
    return [clip.flatten(0, 1) for clip in mstm(clips)]


def same(ours: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


def small(**arguments: Any) -> MultiScaleTemporalModule:
    return make_module(dtype=torch.float32, **arguments)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
