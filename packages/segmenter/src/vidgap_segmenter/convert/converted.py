"""Somebody else's weights under our names, and the network built from them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.networks import NETWORKS
from vidgap_segmenter.temporal import TemporalModule
from vidgap_segmenter.weights import CLASS_WEIGHTS, LoadReport, WeightsMismatch, compare, not_under

NAMES_SHOWN = 3


@dataclass(frozen=True)
class Converted:
    """Weights that were read, not yet in a network.

    Attributes:
        origin: where they come from, as "the official Mask2Former".
        architecture: the network they belong to.
        settings: its constructor's arguments, as far as the weights determine them.
        state: the weights under our names.
        class_names: in order of index; None where the source does not tell.
        left_out: (name, why) of each weight that our networks do not use.
        sources: our name -> the source's names of it.
        unknown: names that are in no table.
        assumed: settings that no weight determines, taken from the official configurations.
        aside: weights of other modules in the source, under its names, as they were asked for.
    """

    origin: str
    architecture: str
    settings: dict[str, Any]
    state: dict[str, Tensor] = field(repr=False)
    class_names: tuple[str, ...] | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    unknown: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    aside: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    def build(
        self,
        *,
        num_classes: int | None = None,
        temporal: TemporalModule | None = None,
        allow_missing: Sequence[str] = (),
        allow_unexpected: Sequence[str] = (),
        **settings: Any,
    ) -> tuple[ClipSegmenter, LoadReport]:
        """Make the network and load the weights.

        Args:
            num_classes: the class head starts afresh where the weights have another number.
            temporal: a module for the network; it keeps its own weights.
            allow_missing: prefixes of names that may be missing; they start afresh.
            allow_unexpected: prefixes of names, the source's or ours, that may be left out.
            **settings: constructor's arguments that override those from the weights.

        Returns:
            The network in eval mode, and what started afresh (`missing`) or was left out.

        Raises:
            WeightsMismatch: something is missing, unknown or of another shape.
            ValueError: a setting is out of its range.
        """
        wanted = self.settings | settings
        if num_classes is not None:
            wanted["num_classes"] = num_classes
        model = NETWORKS[self.architecture](**wanted, temporal=temporal)
        return model.eval(), self._load(model, allow_missing, allow_unexpected)

    def _load(
        self, model: ClipSegmenter, allow_missing: Sequence[str], allow_unexpected: Sequence[str]
    ) -> LoadReport:
        """Load the weights if they fit but for what is allowed (see `build`)."""
        fresh = self._other_classes(model)
        state = {name: tensor for name, tensor in self.state.items() if name not in fresh}
        found = compare(model, state)
        report = replace(found, unexpected=found.unexpected + self.unknown)
        refused = replace(
            report,
            missing=not_under((*allow_missing, *fresh, "temporal."), report.missing),
            unexpected=tuple(
                name
                for name in not_under(allow_unexpected, report.unexpected)
                if not_under(allow_unexpected, self.sources.get(name, (name,)))
            ),
        )
        if refused != LoadReport():
            raise WeightsMismatch(refused, type(model).__name__, self.origin)
        known = {name: state[name] for name in state if name not in found.unexpected}
        model.load_state_dict(known, strict=False)
        return report

    def describe(self, model: ClipSegmenter, report: LoadReport) -> str:
        """Describe what became of the weights, given what `build` returned: a headline and rows."""
        taken = len(model.state_dict()) - len(report.missing)
        headline = (
            f"{self.origin}: {model.config['backbone']}, {model.num_classes} classes; {taken} "
            f"weights taken over, {len(self.left_out) + len(report.unexpected)} left out, "
            f"{len(report.missing)} start afresh"
        )
        why = dict(self.left_out) | dict.fromkeys(report.unexpected, "the network has no place")
        why |= dict.fromkeys(self.unknown, "no table knows it")
        rows = [("left out", name, reason) for name, reason in _grouped(why)]
        why = {name: self._why_fresh(name, model) for name in report.missing}
        rows += [("starts afresh", name, reason) for name, reason in _grouped(why)]
        rows += [self._why_so(name, model) for name in self.assumed]
        width = max((len(name) for _, name, _ in rows), default=0)
        return "\n".join(
            [headline, *(f"  {kind:<13}  {name:<{width}}  {reason}" for kind, name, reason in rows)]
        )

    def _why_so(self, name: str, model: ClipSegmenter) -> tuple[str, str, str]:
        """Return the row of a setting that no weight determines: the official one, unless given."""
        default = inspect.signature(NETWORKS[self.architecture]).parameters[name].default
        value = model.config[name]
        if value == self.settings.get(name, default):
            kind, reason = "assumed", "no weight tells; as in the official configuration"
        else:
            kind, reason = "given", "no weight tells"
        return kind, f"{name}={value}", reason

    def _why_fresh(self, name: str, model: ClipSegmenter) -> str:
        if name in CLASS_WEIGHTS and name in self.state:
            return f"the source has {self.settings['num_classes']} classes, not {model.num_classes}"
        return "the source has none"

    def _other_classes(self, model: ClipSegmenter) -> tuple[str, ...]:
        """Return the names of the class head where another number of classes is asked for."""
        if model.num_classes == self.settings.get("num_classes", model.num_classes):
            return ()
        return tuple(name for name in CLASS_WEIGHTS if name in self.state)


def _grouped(why: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, reason); where many names share a reason, the first and how many more."""
    for reason in dict.fromkeys(why.values()):
        names = [name for name, given in why.items() if given == reason]
        if len(names) > NAMES_SHOWN:
            names = [f"{names[0]} and {len(names) - 1} more"]
        yield from ((name, reason) for name in names)
