"""The official Mask DINO as oracle: its weights drawn from their names, its numbers on them.

The numbers are of its ResNet-50 configuration with 40 classes in float64 and eval mode, on one
picture of 192x256: mean, spread and 24 values of each output, and all of the first boxes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NUMBERS = Path(__file__).with_suffix(".json")
SHARED = [
    (r"predictor\.(_bbox_embed|bbox_embed\.\d|decoder\.bbox_embed\.\d)\.", "bbox_embed.8."),
    (r"predictor\.decoder_norm\.", "decoder.norm."),
]
"""Names of one tensor, and that from which its values are drawn."""

RULES = [
    # pattern of the name, distribution, and its (mean or low, spread or high)
    (r"running_mean$", "normal", (0, 0.2)),
    (r"running_var$", "uniform", (0.5, 1.5)),
    (r"conv3\.norm\.weight$", "uniform", (0.1, 0.4)),
    (r"predictor\.decoder.*NORM\.weight$", "uniform", (0.9, 1.1)),
    (r"NORM\.weight$", "uniform", (0.6, 1.4)),
    (r"predictor\.decoder.*NORM\.bias$", "normal", (0, 0.02)),
    (r"NORM\.bias$", "normal", (0, 0.1)),
    (r"sampling_offsets\.weight", "normal", (0, 0.05)),
    (r"sampling_offsets\.bias", "normal", (0, 2.0)),
    (r"attention_weights\.weight", "normal", (0, 0.05)),
    (r"attention_weights\.bias", "normal", (0, 1.0)),
    (r"level_embed|label_enc", "normal", (0, 1.0)),
    (r"bbox_embed.*layers\.2\.weight$", "by fan", (0, 0.2)),
    (r"bbox_embed.*layers\.2\.bias$", "normal", (0, 0.05)),
    (r"class_embed\.weight$", "by fan", (0, 2.0)),
    (r"predictor\.decoder.*(out_proj|output_proj|linear2)\.weight", "by fan", (0, 0.3)),
    (r"bias$", "normal", (0, 0.1)),
]
NORM = r"(?:\bnorm\d?|_norm|input_proj\.\d\.1)"


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Draw the weights of official names and shapes, float64 (rounded to float32)."""
    return {name: torch.from_numpy(_draw(name, shape)) for name, shape in shapes.items()}


def picture(height: int, width: int) -> Tensor:
    """The normalised picture, (1, 3, height, width), float64: blocks of colour with noise."""
    random = np.random.RandomState(4242)
    blocks = random.standard_normal((1, 3, height // 16 + 1, width // 16 + 1))
    enlarged = blocks.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    noise = random.standard_normal((1, 3, height, width))
    return torch.from_numpy((enlarged + 0.3 * noise).astype(np.float32).astype(np.float64))


def first_boxes() -> Tensor:
    """The boxes made of the first masks, (1, 300, 4), float32 in this float64 network too."""
    data = base64.b64decode(json.loads(NUMBERS.read_text())["first_boxes"])
    return torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float32)).view(1, 300, 4)


def largest_error(name: str, got: Tensor) -> float:
    """How far an output is from the official one, in its standard deviations."""
    wanted = json.loads(NUMBERS.read_text())[name]
    assert list(got.shape) == wanted["shape"]
    values = got.double().numpy().ravel()
    random = np.random.RandomState(values.size % 2**31)
    indices = random.randint(0, values.size, len(wanted["at"]))
    errors = [
        np.abs(values[indices] - wanted["at"]).max(),
        abs(values.mean() - wanted["mean"]),
        abs(values.std() - wanted["std"]),
    ]
    return float(max(errors) / wanted["std"])


def _draw(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    for pattern, owner in SHARED:
        name = re.sub(pattern, f"predictor.{owner}", name)
    seed = int(hashlib.sha256(f"0:{name}".encode()).hexdigest()[:8], 16)
    random = np.random.RandomState(seed)
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    kind, (first, second) = next(
        (
            (kind, numbers)
            for pattern, kind, numbers in RULES
            if re.search(pattern.replace("NORM", NORM), name)
        ),
        ("by fan", (0, np.sqrt(2.0) if len(shape) == 4 else 1.0)),
    )
    if kind == "uniform":
        drawn = first + (second - first) * random.random_sample(shape)
    else:
        spread = second / np.sqrt(fan) if kind == "by fan" else second
        drawn = random.standard_normal(shape) * spread
    return drawn.astype(np.float32).astype(np.float64)
