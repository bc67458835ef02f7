"""The weights of a ConvGRU layer."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class GRUWeights(NamedTuple):
    """Weights of one ConvGRU layer; the 3C output channels are the gates r, z, c in this order.

    Attributes:
        input: convolution over the frames, (3C, C, 3, 3).
        hidden: convolution over the state, (3C, C, 3, 3).
        bias: (3C,), added once for both convolutions.
    """

    input: Tensor
    hidden: Tensor
    bias: Tensor
