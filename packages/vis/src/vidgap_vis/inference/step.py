"""One step of a model: frames as decoders give them in, the network's output out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from vidgap_segmenter import ClipOutput, HeadInputs, Prediction
from vidgap_segmenter.temporal import TemporalState

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_SIZE = 1333
"""The longest edge of a resized frame, pixels, in the evaluation of detectron2's codes."""

GRAPHS_IN_THREADS = "2.14"
"""The release of torch from which compiled CUDA graphs may be replayed in another thread than the
one that imported torch (`get_obj` of `torch/_inductor/cudagraph_trees.py`); `predict` runs the
network in one of its own."""

Precision = Literal["fp32", "bf16"]
Step = Callable[..., tuple[ClipOutput, TemporalState | None]]
"""As `StepModel.step`."""


class StepModel(Protocol):
    """A segmenter that takes a stream step by step, as `Mask2Former` and `MaskDINO` do."""

    def to(self, device: torch.device) -> StepModel:
        """Move to a device."""

    def eval(self) -> StepModel:
        """Set the mode for inference."""

    def step(
        self,
        frames: Tensor,
        state: TemporalState | None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of B streams, (B, T, 3, H, W) RGB 0..255; B is 1 for one."""


class StaysOnCPU:
    """Of a `StepModel` that is no network: it has no mode, and stays where it is."""

    def to(self, device: torch.device) -> Self:
        """Return itself; ValueError for another device than the CPU."""
        if device.type != "cpu":
            raise ValueError(f"device must be the CPU, got {device}")
        return self

    def eval(self) -> Self:
        """Return itself."""
        return self


class ModelStep:
    """A model with its device, its precision and the size at which it sees frames.

    Args:
        model: it is moved to the device and set to eval mode.
        device: where it computes.
        class_weights: (K,), 0 for classes that are not looked for, else 1.
        dtype: "bf16" runs the model under autocast.
        short_edge: frames are resized to this short edge first; None: as they come.
        max_size: the long edge does not exceed this where frames are resized.
        compiled: whether `torch.compile` makes the model's step, anew for each size and number of
            frames (a minute or two on a CPU); on a GPU its kernels are replayed as CUDA graphs,
            with torch 2.14 or later.
    """

    def __init__(
        self,
        model: StepModel,
        device: torch.device,
        *,
        class_weights: Tensor,
        dtype: Precision = "fp32",
        short_edge: int | None = None,
        max_size: int = MAX_SIZE,
        compiled: bool = False,
    ) -> None:
        if dtype not in get_args(Precision):
            raise ValueError(f"dtype must be 'fp32' or 'bf16', got {dtype!r}")
        if short_edge is not None and short_edge < 1:
            raise ValueError(f"short_edge must be positive, got {short_edge}")
        if max_size < 1:
            raise ValueError(f"max_size must be positive, got {max_size}")
        self.model = model.to(device).eval()
        self.device = device
        self.class_weights = class_weights.to(device)
        self.dtype = dtype
        self.short_edge = short_edge
        self.max_size = max_size
        self._compiled = compiled_step(self.model, device) if compiled else None

    def autocast(self) -> torch.autocast:
        """Return the context in which the model, and heads on it, compute."""
        half = self.dtype == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    @torch.inference_mode()
    def __call__(
        self,
        frames: Sequence[Tensor],
        state: TemporalState | None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of a stream.

        Args:
            frames: T of them, (H, W, 3) uint8, on one device; they are copied together, and become
                channels first on the model's device.
            state: what the last step returned; None before the first frame.
            with_head_inputs: hand out what learned heads read, too.
            repeated_next: how many of the frames, the last ones, the next step begins with again.

        Returns:
            Predictions for a batch of this one clip, and the state with which the next step begins.
        """
        return self.batch(
            [frames], state, with_head_inputs=with_head_inputs, repeated_next=repeated_next
        )

    @torch.inference_mode()
    def batch(
        self,
        clips: Sequence[Sequence[Tensor]],
        state: TemporalState | None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of B streams.

        Args:
            clips: B of them, each as `frames` of one stream, all of one T and one size.
            state: what the last steps returned, stacked, (B, ...) each; None before the first.
            with_head_inputs: as for one stream.
            repeated_next: as for one stream.

        Returns:
            Predictions for B clips, and the state (B, ...) with which the next step begins.
        """
        frames = torch.stack([frame for clip in clips for frame in clip])  # (B*T, H, W, 3)
        to_gpu = self.device.type == "cuda" and frames.device.type == "cpu"
        if to_gpu:
            frames = frames.pin_memory()  # the host need not wait for the copy
        frames = frames.to(self.device, non_blocking=to_gpu)
        frames = frames.permute(0, 3, 1, 2).contiguous()  # (B*T, 3, H, W)
        frames = with_short_edge(frames, self.short_edge, self.max_size)
        frames = frames.unflatten(0, (len(clips), -1))  # (B, T, 3, H, W)
        with self.autocast():
            # Models that serve no heads, or frame by frame, need not know the arguments.
            wants: dict[str, Any] = {"with_head_inputs": True} if with_head_inputs else {}
            if repeated_next:
                wants["repeated_next"] = repeated_next
            step = self.model.step if self._compiled is None else self._compiled
            return step(frames, state, **wants)


def compiled_step(model: StepModel, device: torch.device) -> Step:
    """Return a model's step, made by `torch.compile` anew for each size and number of frames."""
    if device.type != "cuda" or torch.__version__ < GRAPHS_IN_THREADS:
        step: Step = torch.compile(model.step, dynamic=False)
        return step
    graphs = torch.compile(model.step, dynamic=False, mode="reduce-overhead")

    def replayed(*args: Any, **options: Any) -> tuple[ClipOutput, TemporalState | None]:
        # A replayed graph writes to where it wrote before.
        output, state = graphs(*args, **options)
        return copied(output), copied(state)

    return replayed


def copied(value: Any) -> Any:
    """Return a network's output, or a state, with tensors of its own."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    if isinstance(value, ClipOutput | HeadInputs | Prediction):
        return replace(value, **{name: copied(item) for name, item in vars(value).items()})
    return value


def with_short_edge(frames: Tensor, short_edge: int | None, max_size: int = MAX_SIZE) -> Tensor:
    """Resize frames (..., 3, H, W) to a short edge, keeping their shape; None: as they are.

    Where the long edge would exceed `max_size` it becomes that (detectron2 `ResizeShortestEdge`).
    """
    if short_edge is None:
        return frames
    height, width = frames.shape[-2:]
    scale = min(short_edge / min(height, width), max_size / max(height, width))
    size = [max(1, int(side * scale + 0.5)) for side in (height, width)]
    return resize(frames, size, antialias=True)
