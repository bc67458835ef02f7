"""`vidgap export`: one step of a stream as a file that torch, or an ONNX runtime, runs alone.

The file is a `torch.export` program, (frames, *state) -> (class_logits, mask_logits, embeddings,
*state), of fixed sizes, with the reference of every op; a network with boxes gives them before the
state. `vidgap.json` inside it names its inputs and outputs with their shapes, and the classes:

    import torch

    program = torch.export.load("step.pt2").module()
    state = [torch.zeros(1, 2, 128, 48, 80), ...]  # as `vidgap.json` has them
    class_logits, mask_logits, embeddings, *state = program(frames, *state)

As ONNX the inputs and outputs have these names, a new state's beginning with `next_`, and the
description is the model's metadata `vidgap.json`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidgap_segmenter import ClipOutput, ClipSegmenter
from vidgap_vis.errors import ConfigError
from vidgap_vis.files import replacing
from vidgap_vis.weights import open_weights

DESCRIPTION = "vidgap.json"
OUTPUTS = ("class_logits", "mask_logits", "embeddings", "boxes")
PLAIN = ("aten.", "wrap_with_", "<built-in function ")
"""Prefixes of the names of what torch itself can run."""

BACKEND = "VIDGAP_BACKEND"

Format = Literal["torch", "onnx"]

ONNX_PACKAGES = ("onnx", "onnxscript")
"""What torch needs to write ONNX."""

OPSET = 20
"""The first whose GridSample is torch's."""


class FrameStep(nn.Module):
    """A model's `step` on tensors only, as `torch.export` wants it.

    `forward` takes frames (1, T, 3, H, W), uint8, and the state before them, zeros at first; it
    returns class logits (1, Q, T, K+1), mask logits (1, Q, T, h, w), embeddings (1, Q, T, C), boxes
    (1, Q, T, 4) of a network that has them, and the state after the frames, or before those that
    the next step begins with again.

    Args:
        model: in eval mode.
        repeated: how many of the frames, the last ones, these are.
    """

    def __init__(self, model: ClipSegmenter, repeated: int = 0) -> None:
        super().__init__()
        self.model = model
        self.repeated = repeated

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before = list(state) or None
        output, after = self.model.step(frames, before, repeated_next=self.repeated)
        return *results(output).values(), *(after or ())


def export(
    weights: str | Path,
    out: Path,
    size: tuple[int, int],
    num_frames: int = 1,
    repeated: int = 0,
    to: Format | None = None,
) -> str:
    """Write a frame step of a model as a `torch.export` program, or as ONNX.

    Args:
        weights: the model, as `open_weights` takes it.
        out: file to write, whole or not at all.
        size: (H, W) of the frames; the program takes no other.
        num_frames: T, frames of a step.
        repeated: how many of them, the last ones, the next step begins with again, as the clips of
            joint networks do; the state is that before them.
        to: None: ONNX where the file's name ends in .onnx.

    Returns:
        One line on what was written.

    Raises:
        InputError: there are no such weights.
        ConfigError: a step would have no new frame, or what writes ONNX is not installed.
    """
    if not 0 <= repeated < num_frames:
        message = f"wanted 0 or more and below --num_frames ({num_frames}), got {repeated}"
        raise ConfigError("", "--repeated", message)
    to = to or ("onnx" if out.suffix.lower() == ".onnx" else "torch")
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if to == "onnx" and missing:
        message = f"onnx needs the package {missing[0]}: pip install 'vidgap-vis[onnx]'"
        raise ConfigError("", "--format", message)
    found = open_weights(weights)
    model = found.model
    frames = torch.zeros(1, num_frames, 3, *size, dtype=torch.uint8)
    with torch.no_grad(), reference_ops():
        output, state = model.step(frames)
        # Zeros are what a stream begins with where no state is given.
        inputs = (frames, *(torch.zeros_like(map_) for map_ in state or ()))
        program = torch.export.export(FrameStep(model, repeated).eval(), inputs)
    check_plain(program)
    named = results(output)
    description = {
        "inputs": table(["frames"], inputs),
        "outputs": table(list(named), [*named.values(), *(state or ())]),
        "classes": [asdict(info) for info in found.classes],
    }
    with replacing(out) as temporary:
        if to == "onnx":
            with torch.no_grad(), reference_ops():
                write_onnx(program, inputs, description, temporary)
        else:
            text = json.dumps(description, indent=1)
            torch.export.save(program, temporary, extra_files={DESCRIPTION: text})
    height, width = size
    return f"{out}: {num_frames} x {height}x{width} a step, {len(inputs) - 1} states"


def write_onnx(
    program: torch.export.ExportedProgram,
    inputs: tuple[Tensor, ...],
    description: dict[str, Any],
    path: Path,
) -> None:
    """Write a program as ONNX, in one file."""
    names = [one["name"] for one in description["outputs"]]
    for noisy in ONNX_PACKAGES:  # of what it could not make smaller
        logging.getLogger(noisy).setLevel(logging.ERROR)
    made = torch.onnx.export(
        program,
        inputs,
        dynamo=True,
        opset_version=OPSET,
        verbose=False,
        input_names=[one["name"] for one in description["inputs"]],
        output_names=[f"next_{name}" if name.startswith("state_") else name for name in names],
    )
    assert made is not None
    made.model.metadata_props[DESCRIPTION] = json.dumps(description)
    made.save(path, external_data=False)


def results(output: ClipOutput) -> dict[str, Tensor]:
    """Return the output tensors of a network by name."""
    every = {name: getattr(output, name) for name in OUTPUTS}
    return {name: tensor for name, tensor in every.items() if tensor is not None}


def table(first: Sequence[str], tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return names, shapes and dtypes of tensors, for JSON; after the `first` names come states."""
    names = [*first, *(f"state_{index}" for index in range(len(tensors) - len(first)))]
    return [
        {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype)}
        for name, tensor in zip(names, tensors, strict=True)
    ]


def check_plain(program: torch.export.ExportedProgram) -> None:
    """Assert that a program calls only what torch itself has."""
    for graph in program.graph_module.modules():
        assert isinstance(graph, torch.fx.GraphModule)
        for node in graph.graph.nodes:
            assert node.op != "call_function" or str(node.target).startswith(PLAIN), node.target


@contextmanager
def reference_ops() -> Iterator[None]:
    """Run every op as its reference within the block."""
    before = os.environ.get(BACKEND)
    os.environ[BACKEND] = "reference"
    try:
        yield
    finally:
        del os.environ[BACKEND]
        if before is not None:
            os.environ[BACKEND] = before
