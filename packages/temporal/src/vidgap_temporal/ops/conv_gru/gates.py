"""What the ConvGRU asks of a kernel: everything between two convolutions of a step.

The four kernels and their arguments have the names of csrc/conv_gru/conv_gru.h. Maps are (B, H, W,
channels), with C channels where no other number is said, and dense but for the distance between the
clips of those in `STRIDED`, which are slices of (B, T, H, W, C). What a kernel writes comes last;
where it is None, it is not written.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

STRIDED = ("state", "output", "grad_output")


class ResetForward(NamedTuple):
    """Write r, z = sigmoid of the sums of gates (3C and 2C wide) and bias (3C), and r*h."""

    frame_gates: Tensor
    state_gates: Tensor
    bias: Tensor
    state: Tensor
    reset: Tensor | None
    update: Tensor
    reset_state: Tensor


class BlendForward(NamedTuple):
    """Write c = tanh of the sums, and (1-z)*h + z*c three times, `carried` in the gates' dtype.

    Without a state (zero) there are no `candidate_gates`, and `update` is written, too.
    """

    frame_gates: Tensor
    candidate_gates: Tensor | None
    bias: Tensor
    state: Tensor | None
    update: Tensor
    candidate: Tensor | None
    output: Tensor
    carried: Tensor | None
    last: Tensor | None


class BlendBackward(NamedTuple):
    """Sum the gradients of h' and write those of the sums of z (in 2C), of c, and of h.

    `grad_next` (in the states' dtype) and `grad_through` (in the gates') are what the step after
    this one found. Without a state that of r is written, too: 0.
    """

    grad_output: Tensor | None
    grad_next: Tensor | None
    grad_through: Tensor | None
    state: Tensor | None
    update: Tensor
    candidate: Tensor
    grad_gates: Tensor
    grad_candidate: Tensor
    grad_state: Tensor


class ResetBackward(NamedTuple):
    """Add to the gradient of h, write that of the sum of r (in 2C), r*h, and h as `before`."""

    grad_reset_state: Tensor
    state: Tensor
    reset: Tensor
    grad_state: Tensor
    grad_gates: Tensor
    reset_state: Tensor
    before: Tensor


class Gates(Protocol):
    """The kernels, each of which does what its arguments say."""

    def reset(self, maps: ResetForward) -> None: ...
    def blend(self, maps: BlendForward) -> None: ...
    def blend_backward(self, maps: BlendBackward) -> None: ...
    def reset_backward(self, maps: ResetBackward) -> None: ...
