"""Loading weights into a module: all of them, or a report of what does not fit; never silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

CLASS_HEAD = ("decoder.class_embed.weight", "decoder.class_embed.bias")
CLASS_WEIGHTS = (*CLASS_HEAD, "decoder.label_embed.weight")
"""All weights whose shape depends on the number of classes (Mask DINO embeds labels, too)."""


@dataclass(frozen=True)
class LoadReport:
    """How weights fit a module; `str()` gives a table.

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


class WeightsMismatch(ValueError):  # noqa: N818 - the name says what is wrong
    """Weights do not fit a module; the message is a headline and the table of what does not.

    Args:
        report: what does not fit; what was allowed to be missing or left out is not in it.
        module: the name of the module's class.
        origin: whose weights they are, as "the official Mask2Former"; empty where that is unknown.
    """

    def __init__(self, report: LoadReport, module: str, origin: str = "") -> None:
        super().__init__(report, module, origin)
        self.report = report
        self.module = module
        self.origin = origin

    def __str__(self) -> str:
        weights = f"weights of {self.origin}" if self.origin else "weights"
        return f"{weights} do not fit {self.module}:\n{self.report}"


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
        WeightsMismatch: something is missing, unexpected or of another shape.
    """
    report = compare(module, state)
    refused = LoadReport(
        missing=not_under(allow_missing, report.missing),
        unexpected=not_under(allow_unexpected, report.unexpected),
        mismatched=report.mismatched,
    )
    if refused != LoadReport():
        raise WeightsMismatch(refused, type(module).__name__)
    module.load_state_dict(
        {name: state[name] for name in state if name not in report.unexpected}, strict=False
    )
    return report


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Report how weights fit a module, without loading them."""
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
