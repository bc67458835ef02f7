"""What the ConvGRU asks of a kernel: everything between two convolutions of a step."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Gates(Protocol):
    """What stands between the convolutions of a step, on maps (B, H, W, channels).

    Maps are dense but for the distance between the clips of `state`, `output` and `grad_output`,
    which are slices of (B, T, H, W, C). What is written comes last; None is not written.
    """

    def reset(
        self,
        frame_gates: Tensor,
        state_gates: Tensor,
        bias: Tensor,
        state: Tensor,
        reset: Tensor | None,
        update: Tensor,
        reset_state: Tensor,
    ) -> None:
        """Write r, z = sigmoid of the sums of gates (3C and 2C wide) and bias (3C), and r*h."""

    def blend(
        self,
        frame_gates: Tensor,
        candidate_gates: Tensor | None,
        bias: Tensor,
        state: Tensor | None,
        update: Tensor,
        candidate: Tensor | None,
        output: Tensor,
        carried: Tensor | None,
        last: Tensor | None,
    ) -> None:
        """Write c = tanh of the sums, and (1-z)*h + z*c three times, `carried` in the gates' dtype.

        Without a state (zero) there are no `candidate_gates`, and `update` is written, too.
        """

    def blend_backward(
        self,
        grad_output: Tensor | None,
        grad_next: Tensor | None,
        grad_through: Tensor | None,
        state: Tensor | None,
        update: Tensor,
        candidate: Tensor,
        grad_gates: Tensor,
        grad_candidate: Tensor,
        grad_state: Tensor,
    ) -> None:
        """Sum the gradients of h' and write those of the sums of z (in 2C), of c, and of h.

        `grad_next` (in the states' dtype) and `grad_through` (in the gates') are what the step
        after this one found. Without a state that of r is written, too: 0.
        """

    def reset_backward(
        self,
        grad_reset_state: Tensor,
        state: Tensor,
        reset: Tensor,
        grad_state: Tensor,
        grad_gates: Tensor,
        reset_state: Tensor,
        before: Tensor,
    ) -> None:
        """Add to the gradient of h, write that of the sum of r (in 2C), r*h, and h as `before`."""
