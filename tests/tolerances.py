"""Every tolerance of the test suite. Loosening one is a change of its own, with its reason."""

from __future__ import annotations

import torch

TOLERANCE: dict[torch.dtype, dict[str, float]] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
    torch.float16: {"rtol": 3e-3, "atol": 3e-3},
}
"""`torch.testing.assert_close` arguments for two computations of the same thing in a dtype."""

PARITY_FLOAT64 = 1e-8
"""Largest difference from another implementation, in standard deviations of the tensor."""

PARITY_FLOAT32 = 1e-4
"""The same in float32."""

ONNX_STEPS = 1e-3
"""Largest difference of ONNX Runtime from torch in float32, in standard deviations of the tensor,
after three frames whose states go on by themselves on either side (1.4e-4 on one processor)."""

LAST_BIT = {"rtol": 0.0, "atol": 1.2e-7}
"""Between two libraries' float32 logarithms and exponentials of boxes in [0, 1] (6e-8)."""

TWICE_INTERPOLATED = 5.0
"""Grey levels between a smooth picture warped once and the same warped step by step (3)."""

TURNED_EDGE = 2.0
"""Grey levels between OpenCV's and torch's warp of a smooth picture, away from edges (1)."""

SHRUNK_EDGE = 30
"""The same on the rim of a black paste on white that shrinks: a patch and a whole frame shrink to
other whole sizes (25; 44 where the antialiasing had too few pixels around the patch)."""

BLEND, BLEND_SHARE = 1, 0.01
"""Grey levels from Pillow of color and sharpness, and of how many pixels (0 measured).

Both round down, but may do so of sums that differ in their last bit.
"""

FROM_CONVOLUTION = 1.0
"""Grey levels from the real convolution: half from rounding, the rest past 3 sigma (0.71)."""

BLUR_FROM_PILLOW, BLUR_FROM_PILLOW_MEAN = 4, 1.0
"""On smooth pictures 8 pixels inside, as Pillow has three boxes for a Gaussian (3 and 0.63)."""

FROM_TURN, FROM_TURN_ON_DEVICE = 0.501, 1.001
"""Grey levels from the real rotation: we round, torchvision rounds to either side (0.5, 0.98)."""

HUE_FROM_PILLOW, HUE_FROM_PILLOW_MEAN = 18, 2.5
"""Grey levels from Pillow's hue, whose HSV has 8 bits a channel (18 and 1.9)."""

DEVICES = 1
"""Grey levels between CPU memory and a device, but for the tables, which are equal."""

JPEG_NOISE = 6.0
"""Grey levels, in the mean, between a frame and its JPEG of quality 95: random pixels are worst."""

GALLERY = 1.0
"""Grey levels, in the mean, between the pictures in docs and those of another machine's OpenCV."""

NORM_RATIO = {
    torch.float64: 1e-12,
    torch.float32: 5e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 1.2e-2,
}
"""||kernel - float64|| / ||float64|| of an op, gradients too, for inputs of a dtype.

bfloat16 keeps 8 bits: outputs are up to 4e-3 off, gradients of offsets and logits up to 1e-2.
"""

AUTOCAST = 0.1
"""Difference of mask logits with bfloat16 autocast, in standard deviations (0.031 measured)."""

SHARED_MEMORY = 99 * 1024
"""Bytes a program may have on the smallest of the GPUs since sm_80 (8.6, 8.9, 12.0)."""

SPILLED = 16
"""Bytes of registers that a kernel of window attention may spill where a GPU has 255 and products
need more of them than on Hopper (8 on sm_80 with Triton 3.6, 0 with 3.8)."""

EPSILON = {"rtol": 1e-6, "atol": 1e-6}
"""Mask DINO's class cost from the focal loss without the 1e-8 in its logarithms (1.4e-7)."""

AUTOCAST_GRADIENT = 0.15
"""||difference|| / ||float32|| of a training step's gradients with bfloat16 autocast (0.053)."""

MASK_LOGIT = 1e-4
"""Logits so near to 0 that two ways of interpolating may see either sign (of 120 million pixels at
random sizes none differed)."""

MASK_SCORE = {"rtol": 0.0, "atol": 3e-6}
"""Between two sums of the probabilities inside a mask, over its pixels (4e-7 measured)."""

SHARED_STEP = 2e-3
"""Share of a mask's pixels that differ where videos share a step of the network in float32, as a
logit that is zero but for rounding may have either sign (6.5e-4, a pixel of 32x48)."""
