"""The temporal module in somebody else's per-frame model (paper §3.2).

The paper says that the module can go into "other segmentation or detection methods". Nothing of
theirs is imported: a submodule is found by its path, a pyramid by its structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from vidgap_temporal.module import MultiScaleTemporalModule
from vidgap_temporal.ops.checks import check_alike
from vidgap_temporal.pyramid import choose, unpack

NAME = "temporal"
"""The submodule that a model has of its own while a module is attached."""

PATHS = (
    # Hugging Face's Mask2Former, between the deformable encoder and the FPN step:
    # mask features and multi-scale features are both made of the refined maps.
    "model.pixel_level_module.decoder.encoder",
    "pixel_level_module.decoder.encoder",
    # torchvision's detectors, and their backbone alone.
    "backbone.fpn",
    "fpn",
)
"""Submodules that return a pyramid; the first that exists is taken."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def attach(
    model: nn.Module,
    mstm: MultiScaleTemporalModule,
    num_frames: int,
    *,
    at: str | None = None,
    levels: Sequence[str | int] | None = None,
) -> Handle:
    """Let `mstm` refine the feature pyramid of a per-frame model, whose classes stay as they are.

    From now on the model's batch is B clips of `num_frames` frames each, clip after clip; each
    call is one batch of whole clips, and nothing is carried from call to call. `mstm` becomes
    `model.temporal`: it is trained, moved and saved with the model. Compile a model afterwards: one
    that has already run compiled ignores the module until `torch.compiler.reset()`.

    Args:
        model: Hugging Face's Mask2Former, a torchvision detector with an FPN, or with `at` any
            other whose frames are its batch.
        mstm: the module, for as many channels as the pyramid has; on the model's device and of
            its dtype by the time the model is called.
        num_frames: T.
        at: path of the submodule whose output is refined: maps (B*T, C, H_l, W_l), alone or in a
            list, tuple or mapping, fine to coarse or coarse to fine; or tokens of all levels in
            `last_hidden_state`, where it is called with `spatial_shapes_list`. '' is the model
            itself. None: the deformable encoder of Mask2Former, or torchvision's FPN.
        levels: which maps, one for each of the module's scales: keys of the mapping, or else
            indices into the pyramid, fine to coarse. None: the finest ones.

    Returns:
        A handle that takes the module out again.

    Raises:
        ValueError: an argument is invalid, the model has a `temporal` already, or no such
            submodule is found. The model's calls raise it where num_frames does not divide the
            batch, or `mstm` does not fit the maps.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, CONTAINERS):
        raise ValueError(
            "model must be a module of its own, since a container would take mstm for one of its "
            f"parts, got {type(model).__name__}"
        )
    if hasattr(model, NAME):
        raise ValueError(
            f"model must not have {NAME!r} yet, got {type(model).__name__} with a module attached "
            "or an attribute of that name"
        )
    if levels is not None and len(levels) != mstm.num_scales:
        raise ValueError(f"levels must be num_scales={mstm.num_scales} maps, got {list(levels)}")
    return Handle(model, mstm, num_frames, find_path(model, at), levels)


def find_path(model: nn.Module, at: str | None) -> str:
    """Return the path of the submodule to hook, `at` or the first of `PATHS` that exists."""
    existing = {name for name, _ in model.named_modules(remove_duplicate=False)}
    for path in PATHS if at is None else (at,):
        if path in existing:
            return path
    if at is None:
        raise ValueError(
            f"model must have one of {list(PATHS)}, got {type(model).__name__} with none of them; "
            "at='path.of.a.submodule' names another"
        )
    raise ValueError(
        f"at must be the path of a submodule of {type(model).__name__}, such as "
        f"{[name for name, _ in model.named_children()]}, got {at!r}"
    )


class Handle:
    """What `attach` returns: changes the number of frames, and takes the module out again.

    As a context manager it takes it out at the end of the block. A deep copy of the model has a
    module of its own; `copy.deepcopy((model, handle))` copies the handle with it.
    """

    def __init__(
        self,
        model: nn.Module,
        mstm: MultiScaleTemporalModule,
        num_frames: int,
        at: str,
        levels: Sequence[str | int] | None,
    ) -> None:
        self.num_frames = num_frames
        self._model, self._at = model, at
        self._levels = None if levels is None else tuple(levels)
        model.add_module(NAME, mstm)
        # A bound method, not a closure: with the model's copy comes a copy of this handle.
        self._hook = model.get_submodule(at).register_forward_hook(self._refine, with_kwargs=True)
        self._attached = True

    @property
    def at(self) -> str:
        """The path of the submodule whose output is refined."""
        return self._at

    @property
    def num_frames(self) -> int:
        """T of the clips in a batch, at least 1; may be set between calls."""
        return self._num_frames

    @num_frames.setter
    def num_frames(self, value: int) -> None:
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"num_frames must be a whole number of at least 1, got {value!r}")
        self._num_frames: int = int(value)

    def remove(self) -> None:
        """Take the module out and leave the model as it was; a second call does nothing."""
        if self._attached:
            self._attached = False
            self._hook.remove()
            self._model._modules.pop(NAME, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def _refine(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """Return `output` with refined maps: the forward hook of the submodule."""
        del module, args
        # Looked up in the model, where it may have been replaced since (compiled).
        mstm: MultiScaleTemporalModule = getattr(self._model, NAME)
        maps, repack = unpack(output, kwargs)
        if not maps:
            raise ValueError(
                f"{self._at!r} must return maps (B*T, C, H, W), alone or in a list, tuple or "
                f"mapping, or tokens with spatial_shapes_list, got {type(output).__name__}"
            )
        keyed = isinstance(output, Mapping) and maps.keys() <= output.keys()  # not tokens' numbers
        chosen = choose(maps, mstm.num_scales, self._levels, self._at, keyed=keyed)
        refined = self._mix(mstm, [maps[key] for key in chosen], f"{chosen} of {self._at!r}")
        return repack({**maps, **dict(zip(chosen, refined, strict=True))})

    def _mix(self, mstm: MultiScaleTemporalModule, maps: list[Tensor], what: str) -> list[Tensor]:
        """Run the module over maps (B*T, C, H_l, W_l), named `what` in errors."""
        if any(level.shape[1] != mstm.channels for level in maps):
            raise ValueError(
                f"levels {what} must have {mstm.channels} channels, as mstm has, got "
                f"{[level.shape[1] for level in maps]}"
            )
        batches = {level.shape[0] for level in maps}
        if len(batches) > 1:
            raise ValueError(f"levels {what} must be of one batch, got {sorted(batches)}")
        (batch,) = batches
        if batch % self.num_frames:
            raise ValueError(
                f"the batch must be a multiple of num_frames={self.num_frames}, B clips of as "
                f"many frames each, got {batch}"
            )
        parameter = next(mstm.parameters(), None)
        if parameter is not None:
            check_alike("mstm", parameter, f"levels {what}", maps[0])
        # (B*T, C, H_l, W_l) -> (B, T, C, H_l, W_l)
        clips = [level.unflatten(0, (batch // self.num_frames, self.num_frames)) for level in maps]
        return [clip.flatten(0, 1) for clip in mstm(clips)]
