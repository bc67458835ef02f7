"""Weights into a module: all of them, or a report of which not; never silently fewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

CLASS_HEAD = ("decoder.class_embed.weight", "decoder.class_embed.bias")
CLASS_WEIGHTS = (*CLASS_HEAD, "decoder.label_embed.weight")
"""All weights whose shape depends on the number of classes (Mask DINO denoises labels, too)."""


@dataclass(frozen=True)
class LoadReport:
    """How weights fitted a module; `str()` gives a table.

    Attributes:
        missing: names that the module has and the weights do not.
        unexpected: names that the weights have and the module does not.
        mismatched: (name, shape in the module, shape in the weights).
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()

    def __str__(self) -> str:
        rows = [("missing", name, "") for name in self.missing]
        rows += [("unexpected", name, "") for name in self.unexpected]
        rows += [
            ("mismatched", name, f"wanted {wanted}, got {got}")
            for name, wanted, got in self.mismatched
        ]
        if not rows:
            return "all weights loaded"
        width = max(len(name) for _, name, _ in rows)
        return "\n".join(
            f"{kind:<10}  {name:<{width}}  {note}".rstrip() for kind, name, note in rows
        )


def load_checked(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> LoadReport:
    """Load weights into a module if they fit, else change nothing.

    Args:
        module: changed in place.
        state: weights by name.
        allow_missing: prefixes of names that may be missing; they keep their values.
        allow_unexpected: prefixes of names that may be left out.

    Raises:
        ValueError: something is missing, unexpected or of another shape; the message is the table.
    """
    report = compare(module, state)
    refused = LoadReport(
        missing=not_under(allow_missing, report.missing),
        unexpected=not_under(allow_unexpected, report.unexpected),
        mismatched=report.mismatched,
    )
    if refused != LoadReport():
        raise ValueError(f"weights do not fit {type(module).__name__}:\n{refused}")
    module.load_state_dict(
        {name: state[name] for name in state if name not in report.unexpected}, strict=False
    )
    return report


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Say how weights fit a module; nothing is loaded."""
    own = module.state_dict()
    return LoadReport(
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        mismatched=tuple(
            (name, tuple(own[name].shape), tuple(tensor.shape))
            for name, tensor in state.items()
            if name in own and own[name].shape != tensor.shape
        ),
    )


def not_under(prefixes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that begin with none of the prefixes."""
    return tuple(name for name in names if not name.startswith(tuple(prefixes)))
