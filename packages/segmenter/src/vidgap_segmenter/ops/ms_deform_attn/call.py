"""One call of the kernels of multi-scale deformable attention: tensors in, addresses out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_segmenter.ops.extension import DTYPES, check_status, extension

variant = 0
"""Which of the CUDA kernels runs (csrc/ms_deform_attn/ms_deform_attn.h); 0: a rule decides."""


class Call:
    """One call of the kernels: tensors as they take them, and sizes.

    Contiguous; weights (in the fused op offsets and logits) of the dtype of `value` or of the
    coordinates, which are float64 for float64 values and else float32.
    """

    def __init__(
        self,
        op: str,
        value: Tensor,
        shapes: Sequence[int],
        locations: Tensor,
        weights: Tensor,
        reference: Tensor | None = None,
    ) -> None:
        self.op = op
        self.coordinates = torch.float64 if value.dtype == torch.float64 else torch.float32
        self.weight_dtype = weights.dtype
        mixed = reference is not None and locations.dtype != weights.dtype
        if mixed or weights.dtype not in (value.dtype, self.coordinates):
            self.weight_dtype = self.coordinates
        if reference is not None:
            locations, reference = locations.to(self.weight_dtype), reference.contiguous()
        self.value = value.contiguous()
        self.locations = locations.contiguous()
        self.weights = weights.to(self.weight_dtype).contiguous()
        self.reference = reference
        batch, tokens, heads, channels = value.shape
        _, queries, _, levels, points, _ = locations.shape
        self.problem = extension().Problem(
            *(batch, tokens, heads, channels, queries, levels, points, list(shapes)),
            *(DTYPES[value.dtype], DTYPES[self.weight_dtype]),
            0 if reference is None else reference.shape[-1],
        )

    def forward(self) -> Tensor:
        """Return (B, Q, M*D)."""
        batch, _, heads, channels = self.value.shape
        output = self.value.new_empty(batch, self.locations.shape[1], heads * channels)
        if self.value.is_cuda:
            size = extension().forward_workspace_cuda(self.problem, variant)
            self._run("forward_cuda", output, *self._cuda(size))
        else:
            self._run("forward_cpu", output, torch.get_num_threads())
        return output

    def backward(
        self,
        grad: Tensor,
        value_grad: Tensor,
        locations_grad: Tensor | None,
        offsets_grad: Tensor | None,
        weights_grad: Tensor,
    ) -> None:
        """Fill the gradients for `grad` (B, Q, M*D)."""
        grads = (grad.to(self.value.dtype).contiguous(), value_grad, locations_grad, offsets_grad)
        if self.value.is_cuda:
            refuse_where_deterministic(self.op)
            size = extension().backward_workspace_cuda(self.problem, variant)
            self._run("backward_cuda", *grads, weights_grad, *self._cuda(size))
        else:
            self._run("backward_cpu", *grads, weights_grad, torch.get_num_threads())

    def _cuda(self, workspace_size: int) -> tuple[Tensor | int | None, ...]:
        device = self.value.device
        space = None
        if workspace_size:
            space = torch.empty(workspace_size, dtype=torch.uint8, device=device)
        stream = torch.cuda.current_stream(device).cuda_stream
        return space, variant, self.value.get_device(), stream

    def _run(self, name: str, *arguments: Tensor | int | None) -> None:
        tensors = (self.value, self.locations, self.weights, self.reference)
        status = getattr(extension(), name)(
            self.problem, *(_address(argument) for argument in (*tensors, *arguments))
        )
        check_status(self.op, status)


def _address(argument: Tensor | int | None) -> int:
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    return argument or 0


def refuse_where_deterministic(op: str) -> None:
    """Raise RuntimeError (or warn) as torch does where only deterministic algorithms may run."""
    if not torch.are_deterministic_algorithms_enabled():
        return
    text = f"{op}: the gradient of value on a GPU has no deterministic implementation"
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(text)
    warnings.warn(text, UserWarning, stacklevel=2)
