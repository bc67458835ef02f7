"""From mask logits at stride 4 to the masks of a frame, and how sure the network is of them."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import Resize
from vidgap_vis.inference.masks import native, reference, triton
from vidgap_vis.inference.masks.frame_masks import FrameMasks
from vidgap_vis.inference.masks.taps import Resizing
from vidgap_vis.native import extension, obstacle

__all__ = ["FrameMasks", "finish_masks", "mask_backend"]

_CONSEQUENCE = "making masks of logits runs on its reference in PyTorch, many times slower"


def finish_masks(
    output: ClipOutput, logits: Tensor, size: tuple[int, int], resize: Resize = "bilinear"
) -> FrameMasks:
    """Resize mask logits to the frame's own size and threshold them at 0.

    The CPU has a kernel in C++, a GPU one in Triton, both in float32. Pixels whose logit is 0 but
    for rounding may be other than in the reference, to which float64 is left.

    Args:
        output: where they come from.
        logits: (N, h, w), over the padded frame, any floating dtype.
        size: (H, W) wanted.
        resize: how they get it from the padded frame's size.
    """
    shape = (logits.shape[-2], logits.shape[-1])
    resizing = Resizing(shape, output.padded_size, output.frame_size, size, resize)
    compiled = extension(consequence=_CONSEQUENCE)
    if compiled is None or logits.dtype == torch.float64 or resizing.pixels > compiled.MOST_PIXELS:
        return reference.finish_masks(output, logits, size, resize)
    if logits.device.type == "cpu":
        return native.finish_masks(compiled, logits, resizing)
    if triton.obstacle(logits.device, len(logits) * resizing.pixels) is None:
        return triton.finish_masks(compiled, logits, resizing)
    return reference.finish_masks(output, logits, size, resize)


def mask_backend(device: torch.device) -> str:
    """Say what `finish_masks` runs on a device, and why it is not a kernel."""
    compiled = extension(warns=False)
    if compiled is None:
        return f"reference ({obstacle()})"
    if device.type == "cpu":
        return f"native (C++, {compiled.logit_kernels()})"
    why = triton.obstacle(device, 0)
    return f"reference ({why})" if why else "triton"
