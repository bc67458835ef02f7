"""The pixel decoder: a deformable encoder over several strides, then one FPN step.

Follows Mask2Former's `modeling/pixel_decoder/msdeformattn.py` and Mask DINO's
`pixel_decoder/maskdino_encoder.py`. It is cut in two so that a temporal module can stand between
the halves: `encode` returns the encoded maps, and `mask_features` turns the finest of them and the
backbone's stride-4 map into the features that masks are dot products with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.backbones.base import STRIDES
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.deformable_attention import DeformableAttention, reference_points
from vidgap_segmenter.mlp import c2_xavier
from vidgap_segmenter.position import sine_position_embedding
from vidgap_segmenter.precision import at_least_float32, autocast_off

NORM_GROUPS = 32
NARROW = 8
"""Channels of a group below which torch's group norm of maps that are channels last is slow on a
CPU: 64 channels of 16 maps of 24x32 take 32 ms forward and backward, by matrices 9.5 ms."""
EXTRA_STRIDE = 2 * STRIDES[-1]


class PixelDecoder(nn.Module):
    """Turn four backbone maps into encoded maps and the mask features.

    Args:
        in_channels: channels of the backbone maps at strides 4, 8, 16, 32.
        strides: of the encoded maps, fine to coarse: each twice the one before, from 4 or more to
            32, or to 64 (a convolution of the stride-32 map).
        coarse_first: whether level 0 of the weights is the coarsest, as in Mask2Former, or the
            finest, as in Mask DINO. Arguments and results are fine to coarse either way.
        channels: C of everything returned, divisible by 32 and by `num_heads`.
        num_layers: deformable encoder layers.
        ffn_channels: hidden channels of their feed-forward part.
        num_heads: attention heads.
        num_points: points that a head samples on each level.
        full_precision: whether autocast is off inside, as in the official recipes; otherwise only
            sampling locations stay float32 (docs/results/network_speed.md: what each costs).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        strides: Sequence[int],
        coarse_first: bool,
        channels: int,
        num_layers: int,
        ffn_channels: int,
        num_heads: int,
        num_points: int,
        full_precision: bool,
    ) -> None:
        super().__init__()
        if channels % NORM_GROUPS or channels % num_heads:
            raise ValueError(
                f"channels must be divisible by {NORM_GROUPS} (group norm) and by num_heads "
                f"{num_heads}, got {channels}"
            )
        self.first = _first_map(strides)
        self.coarse_first = coarse_first
        self.full_precision = full_precision
        widths = list(in_channels[self.first :])
        self.input_proj = nn.ModuleList(
            nn.Sequential(_conv(width, channels, 1, nn.init.xavier_uniform_), _norm(channels))
            for width in (reversed(widths) if coarse_first else widths)
        )
        if strides[-1] == EXTRA_STRIDE:
            halve = _conv(widths[-1], channels, 3, nn.init.xavier_uniform_, stride=2)
            self.input_proj.append(nn.Sequential(halve, _norm(channels)))
        num_levels = len(self.input_proj)
        self.level_embed = nn.Parameter(torch.empty(num_levels, channels))
        self.layers = nn.ModuleList(
            EncoderLayer(channels, ffn_channels, num_heads, num_levels, num_points)
            for _ in range(num_layers)
        )
        self.lateral = nn.Sequential(
            _conv(in_channels[0], channels, 1, c2_xavier, bias=False), _norm(channels)
        )
        self.smooth = nn.Sequential(
            _conv(channels, channels, 3, c2_xavier, bias=False), _norm(channels), nn.ReLU()
        )
        self.mask_proj = _conv(channels, channels, 1, c2_xavier)
        nn.init.normal_(self.level_embed)

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Run the deformable encoder over frames.

        Args:
            maps: the backbone's (B*T, C_l, H_l, W_l), strides 4, 8, 16, 32.

        Returns:
            (B*T, C, H_l, W_l) for `strides`, float32 where `full_precision`, views of one token
            tensor.
        """
        with self._precision(maps[0].device):
            levels = self._in_order(self._project(maps))
            sizes = [(map_.shape[-2], map_.shape[-1]) for map_ in levels]
            # (B*T, S, C), levels one after another
            tokens = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in levels], dim=1)
            position = self._positions(sizes, tokens)
            reference = reference_points(sizes, tokens)
            for layer in self.layers:
                tokens = layer(tokens, position, reference, sizes)
            split = tokens.split([height * width for height, width in sizes], dim=1)
            encoded = [
                level.transpose(1, 2).unflatten(2, size)
                for level, size in zip(split, sizes, strict=True)
            ]
            return self._in_order(encoded)

    def _project(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Bring backbone maps to C channels, and add the coarsest level, fine to coarse."""
        used = [self._widen(map_) for map_ in maps[self.first :]]
        own, extra = self.input_proj[: len(used)], self.input_proj[len(used) :]
        projected = [proj(map_) for proj, map_ in zip(own, self._in_order(used), strict=True)]
        return self._in_order(projected) + [proj(used[-1]) for proj in extra]

    def _in_order(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Turn fine-to-coarse levels into the order of the weights, or back."""
        return list(reversed(levels)) if self.coarse_first else list(levels)

    def join(self, finest: Tensor, encoded: Tensor) -> Tensor:
        """Join the stride-4 backbone map with the finest encoded map (the FPN step).

        Args:
            finest: (B*T, C_4, H, W), the backbone's stride 4.
            encoded: (B*T, C, H_l, W_l), after the temporal module if there is one.

        Returns:
            (B*T, C, H, W), float32 where `full_precision`.
        """
        with self._precision(finest.device):
            lateral = self.lateral(self._widen(finest))
            upsampled = F.interpolate(
                # Channels last, as the other map; of a single frame, a view of tokens is neither.
                self._widen(encoded).clone(memory_format=torch.channels_last),
                size=lateral.shape[-2:],
                mode="bilinear",
                align_corners=False,
            )
            joined: Tensor = self.smooth(lateral + upsampled)
            return joined

    def project(self, joined: Tensor) -> Tensor:
        """Turn what `join` gives into the mask features, of the same shape and dtype."""
        with self._precision(joined.device):
            features: Tensor = self.mask_proj(joined)
            return features

    def mask_features(self, finest: Tensor, encoded: Tensor) -> Tensor:
        """Return the mask features; arguments as for `join`."""
        return self.project(self.join(finest, encoded))

    def _precision(self, device: torch.device) -> AbstractContextManager[object]:
        return autocast_off(device) if self.full_precision else nullcontext()

    def _widen(self, map_: Tensor) -> Tensor:
        return at_least_float32(map_) if self.full_precision else map_

    def _positions(self, sizes: list[tuple[int, int]], like: Tensor) -> Tensor:
        """Return sine positions plus the embedding of each level, (S, C)."""
        channels = like.shape[-1]
        return torch.cat(
            [
                sine_position_embedding(size, channels, device=like.device, dtype=like.dtype)
                + level
                for size, level in zip(sizes, self.level_embed, strict=True)
            ]
        )


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    initialise: Callable[[Tensor], object],
    *,
    stride: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """Build a convolution that only its stride shrinks, its weight initialised, its bias zero."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    initialise(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class MapNorm(nn.GroupNorm):
    """Group norm of maps of any size; `nn.GroupNorm` refuses groups of one value."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B*T, C, H, W)."""
        narrow = self.num_channels // self.num_groups < NARROW and maps.device.type == "cpu"
        # Autocast would take the sums in half precision.
        if narrow and not torch.is_autocast_enabled("cpu"):
            return self._by_matrices(maps)
        return torch.group_norm(maps, self.num_groups, self.weight, self.bias, self.eps)

    def _by_matrices(self, maps: Tensor) -> Tensor:
        """Do the same, sums over a map being matrix products; C last in memory."""
        tokens = maps.flatten(2).transpose(1, 2)  # (B*T, H*W, C)
        ones = tokens.new_ones(1, 1, tokens.shape[1]).expand(len(tokens), -1, -1)
        count = tokens.shape[1] * self.num_channels // self.num_groups

        def of_groups(values: Tensor) -> Tensor:
            groups = torch.bmm(ones, values).view(len(tokens), self.num_groups, -1)
            mean = groups.sum(2, keepdim=True) / count
            return mean.expand_as(groups).reshape(len(tokens), 1, -1)  # (B*T, 1, C)

        centred = tokens - of_groups(tokens)
        scale = self.weight * (of_groups(centred.square()) + self.eps).rsqrt()
        normed = torch.addcmul(self.bias, centred, scale)
        return normed.transpose(1, 2).unflatten(2, maps.shape[2:])


def _norm(channels: int) -> nn.GroupNorm:
    return MapNorm(NORM_GROUPS, channels)


class EncoderLayer(Checkpointed):
    """Deformable self-attention and a feed-forward part, post-norm, on tokens (B*T, S, C)."""

    def __init__(
        self, channels: int, ffn_channels: int, num_heads: int, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(channels, num_heads, num_levels, num_points)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, tokens: Tensor, position: Tensor, reference: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Return refined tokens (B*T, S, C); `position` is (S, C), `reference` (B*T, S, L, 2)."""
        attended = self.self_attn(tokens + position, reference, tokens, sizes)
        tokens = self.norm1(tokens + attended)
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens), inplace=True)))


def _first_map(strides: Sequence[int]) -> int:
    """Return the index of the first stride among the backbone's, having checked them all."""
    possible = (*STRIDES, EXTRA_STRIDE)
    first, last = (strides[0], strides[-1]) if strides else (0, 0)
    if first in STRIDES and last in possible[3:]:
        start = possible.index(first)
        if list(strides) == list(possible[start : start + len(strides)]):
            return start
    raise ValueError(
        f"strides must be consecutive ones of {list(possible)} up to 32 or 64, got {list(strides)}"
    )
