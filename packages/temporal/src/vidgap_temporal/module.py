"""The multi-scale temporal module (paper §3.2), one block a scale."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from vidgap_temporal.block import Residual, TemporalBlock
from vidgap_temporal.long_term import LongTermStage
from vidgap_temporal.ops.checks import check_alike, check_shape, describe
from vidgap_temporal.short_term import Pairing, ShortTermStage

Init: TypeAlias = Literal["default", "identity"]


class MultiScaleTemporalModule(nn.Module):
    """Mix the frames of a clip on every scale, between a segmenter's encoder and its FPN.

    A scale goes through L short-term layers (attention in windows of its frame, then of a partner
    frame) and N ConvGRU layers; equation 3 adds its input. What the paper leaves open is an
    argument.

    Args:
        channels: C, the same on all scales.
        num_scales: how many maps a call takes, fine to coarse (Mask2Former 3, Mask DINO 4).
        window_size: side of the attention windows, in tokens; every second layer shifts by half.
        num_heads: attention heads, a divisor of `channels`.
        ffn_channels: hidden channels of the feed-forward networks.
        num_short_layers: L, from 0; without them f^u = f.
        num_gru_layers: N, from 0; without them the output is f^u.
        gru_channels: how many of the last channels the ConvGRUs gate. None: half of them, and all
            with residual 'full'.
        residual: how equation 3 is read: 'literal', 'gated_residual' or 'full' (`TemporalBlock`).
        init: 'default', or 'identity', with which the untrained module returns its input, for
            segmenters that were trained without it (not with 'literal').
        pairing: the partner of a frame: 'half' swaps the halves of the clip (the first one longer
            if T is odd), 'adjacent' swaps neighbours.
        share_scales: whether one set of weights serves all scales.

    Raises:
        ValueError: an argument is out of its range or does not go with the others.
    """

    def __init__(
        self,
        channels: int = 256,
        num_scales: int = 3,
        window_size: int = 8,
        num_heads: int = 8,
        ffn_channels: int = 512,
        num_short_layers: int = 2,
        num_gru_layers: int = 2,
        gru_channels: int | None = None,
        residual: Residual = "gated_residual",
        init: Init = "default",
        pairing: Pairing = "half",
        share_scales: bool = False,
    ) -> None:
        super().__init__()
        self._config: dict[str, int | str | None] = {
            "channels": channels,
            "num_scales": num_scales,
            "window_size": window_size,
            "num_heads": num_heads,
            "ffn_channels": ffn_channels,
            "num_short_layers": num_short_layers,
            "num_gru_layers": num_gru_layers,
            "gru_channels": gru_channels,
            "residual": residual,
            "init": init,
            "pairing": pairing,
            "share_scales": share_scales,
        }
        check_choice("residual", residual, get_args(Residual))
        check_choice("init", init, get_args(Init))
        check_choice("pairing", pairing, get_args(Pairing))
        check_counts(
            channels=channels,
            num_scales=num_scales,
            window_size=window_size,
            num_heads=num_heads,
            ffn_channels=ffn_channels,
            num_short_layers=num_short_layers,
            num_gru_layers=num_gru_layers,
        )
        if gru_channels is None:
            gru_channels = channels if residual == "full" else channels // 2
            if not gru_channels:
                raise ValueError("channels must be at least 2 where half of them are gated, got 1")
        check_counts(channels=channels, num_heads=num_heads, gru_channels=gru_channels)
        check_residual(residual, init, channels, gru_channels)
        self.channels = channels
        self.num_scales = num_scales
        self.num_gru_layers = num_gru_layers
        self.gru_channels = gru_channels
        blocks = [
            TemporalBlock(
                ShortTermStage(
                    channels, window_size, num_heads, ffn_channels, num_short_layers, pairing
                ),
                LongTermStage(gru_channels, num_gru_layers),
                gru_channels,
                residual,
            )
            for _ in range(1 if share_scales else num_scales)
        ]
        if init == "identity":
            for block in blocks:
                block.silence()
        self.blocks = nn.ModuleList(blocks)

    @property
    def config(self) -> dict[str, int | str | None]:
        """The constructor's arguments as given, for `MultiScaleTemporalModule(**config)`."""
        return dict(self._config)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Mix the frames of whole clips.

        Args:
            features: one map a scale, (B, T, C, H_l, W_l), fine to coarse, all of one B and T.

        Returns:
            Maps of the same shapes, dtypes and memory formats.

        Raises:
            ValueError: `features` have other shapes, or are not of the module's device and, without
                autocast, its dtype.
        """
        self._check_features(features)
        return [block(maps)[0] for block, maps in zip(self._blocks(), features, strict=True)]

    def step(
        self,
        features: Sequence[Tensor],
        state: Sequence[Tensor] | None = None,
        *,
        state_after: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Mix the next frames of a stream, starting from the state that the earlier ones left.

        Partner frames are found among the frames of this call alone. Without short-term layers,
        any way of cutting a clip into steps gives what `forward` gives for the clip.

        Args:
            features: as for `forward`, with any T >= 1.
            state: what the last step returned; None before the first.
            state_after: how many of the frames, from the first, the returned state is after, 1 to
                T, where the next step begins with frames that this one has seen; None: all T.

        Returns:
            Maps as from `forward`, and the state: one tensor a scale, (B, N, C_gru, H_l, W_l), of
            the dtype of `features`. It carries gradients: detach it to cut them.

        Raises:
            ValueError: `features` or `state` have other shapes, or `state_after` is out of range.
        """
        self._check_features(features)
        if state is not None:
            self._check_state(state, features)
        num_frames = features[0].shape[1]
        if state_after is not None and not 1 <= state_after <= num_frames:
            raise ValueError(
                f"state_after must be 1 to the step's {num_frames} frames, got {state_after}"
            )
        outputs: list[Tensor] = []
        after: list[Tensor] = []
        for index, (block, maps) in enumerate(zip(self._blocks(), features, strict=True)):
            before = None if state is None else state[index].unbind(1)
            mixed, states = block(maps, before, state_after)
            outputs.append(mixed)
            # Without GRU layers there is nothing to stack, and the state has no elements.
            stacked = (
                torch.stack(states, dim=1) if states else maps.new_empty(self._state_shape(maps))
            )
            after.append(stacked.to(maps.dtype))
        return outputs, after

    def _blocks(self) -> list[nn.Module]:
        """Return the block of each scale."""
        blocks = list(self.blocks)
        return blocks if len(blocks) == self.num_scales else blocks * self.num_scales

    def _state_shape(self, maps: Tensor) -> tuple[int, ...]:
        """Return the shape of the state that belongs to the features of one scale."""
        return (maps.shape[0], self.num_gru_layers, self.gru_channels, *maps.shape[3:])

    def _check_features(self, features: Sequence[Tensor]) -> None:
        if len(features) != self.num_scales:
            raise ValueError(f"features must be {self.num_scales} maps, got {len(features)}")
        for index, maps in enumerate(features):
            wanted = f"(B, T >= 1, {self.channels}, H >= 1, W >= 1)"
            if maps.ndim != 5 or maps.shape[2] != self.channels or 0 in maps.shape[1:]:
                raise ValueError(f"features[{index}] must be {wanted}, got {describe(maps)}")
            if maps.shape[:2] != features[0].shape[:2]:
                raise ValueError(
                    f"features[{index}] must have the B and T of features[0], "
                    f"{tuple(features[0].shape[:2])}, got {describe(maps)}"
                )
            parameter = next(self.parameters(), None)
            if parameter is not None:
                check_alike(f"features[{index}]", maps, "the module", parameter)

    def _check_state(self, state: Sequence[Tensor], features: Sequence[Tensor]) -> None:
        if len(state) != self.num_scales:
            raise ValueError(f"state must be {self.num_scales} tensors, got {len(state)}")
        for index, (carried, maps) in enumerate(zip(state, features, strict=True)):
            to_match = f"to match features[{index}]"
            check_shape(f"state[{index}]", carried, self._state_shape(maps), to_match)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def check_counts(**counts: int) -> None:
    """Raise ValueError where a count is no whole number, is too small, or two do not fit."""
    for name, count in counts.items():
        least = 0 if name in ("num_short_layers", "num_gru_layers") else 1
        if not isinstance(count, Integral) or count < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {count!r}")
    channels = counts["channels"]
    if channels % counts["num_heads"]:
        raise ValueError(f"num_heads must divide channels={channels}, got {counts['num_heads']}")
    if counts.get("gru_channels", 0) > channels:
        raise ValueError(
            f"gru_channels must be at most channels={channels}, got {counts['gru_channels']}"
        )


def check_residual(residual: Residual, init: Init, channels: int, gru_channels: int) -> None:
    """Raise ValueError where the reading of equation 3 does not go with the other arguments."""
    if residual == "full" and gru_channels != channels:
        raise ValueError(
            f"gru_channels must be None or channels={channels} with residual='full', "
            f"got {gru_channels}"
        )
    if residual == "literal" and init == "identity":
        raise ValueError(
            "init='identity' must go with residual='gated_residual' or 'full', got 'literal', "
            "which adds the features that pass the ConvGRU by to themselves"
        )
