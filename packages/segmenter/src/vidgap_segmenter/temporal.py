"""The seam where a temporal module enters a segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

Features = list[Tensor]
"""Maps of several scales, fine to coarse, each (B, T, C, H_l, W_l)."""

TemporalState = list[Tensor]
"""What a temporal module carries from one call of `step` to the next."""


class TemporalModule(Protocol):
    """Mixes the frames of a clip, scale by scale, between the pixel encoder and the FPN step.

    Both calls take features (B, T, C, H_l, W_l), fine to coarse (strides 8, 16, 32, or those of the
    segmenter), and return maps of the same shapes in the same order.
    """

    def __call__(self, features: Features) -> Features:
        """Return the refined features of whole clips."""
        ...

    def step(
        self,
        features: Features,
        state: TemporalState | None,
        *,
        state_after: int | None = None,
    ) -> tuple[Features, TemporalState]:
        """Return the refined features of the next frames of a stream, and the state after them.

        With `state_after` the state is that after so many of the T frames, 1 to T, counted from the
        first: the next step begins with the others again. It is given for such streams alone.
        """
        ...


@runtime_checkable
class SavableTemporalModule(TemporalModule, Protocol):
    """A temporal module that `save_pretrained` can describe beside its weights."""

    @property
    def config(self) -> Mapping[str, object]:
        """The constructor's arguments, as JSON can hold them."""
        ...


def check_refined(given: Features, refined: Features) -> None:
    """Raise ValueError where a temporal module did not return maps of the shapes it was given."""
    wanted = [tuple(map_.shape) for map_ in given]
    got = [tuple(map_.shape) for map_ in refined]
    if wanted != got:
        raise ValueError(
            f"temporal must return maps of the shapes it is given, {wanted}, got {got}"
        )
