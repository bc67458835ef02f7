"""Tables of weights' names: ours on the left, somebody else's on the right, for both directions.

A name is a template: `#` stands for a number and a final `*` for the last word (`weight`,
`running_mean`); both sides have the same ones in the same order. Several names on the right are
parts of one weight of ours, joined along dimension 0 (their query, key and value are our `qkv`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Row:
    """A line of a table: our template, and theirs (several: the parts of ours)."""

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class Renamed:
    """Weights under our names.

    Attributes:
        state: the weights.
        sources: our name -> their names of its parts, in order.
        unknown: their names that match no row, or whose other parts are missing.
    """

    state: dict[str, Tensor]
    sources: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows, of which a name matches one at most."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str | Sequence[str]]]) -> Table:
        """Make a table of (ours, theirs) pairs."""
        rows = ((ours, (theirs,) if isinstance(theirs, str) else theirs) for ours, theirs in pairs)
        return cls(tuple(Row(ours, tuple(theirs)) for ours, theirs in rows))

    def to_ours(self, state: Mapping[str, Tensor]) -> Renamed:
        """Rename their weights to ours, joining parts.

        Raises:
            ValueError: two names mean one weight of ours, or parts differ in shape.
        """
        found: dict[str, dict[int, str]] = {}  # our name -> part -> their name
        wanted: dict[str, int] = {}
        unknown = []
        for name in state:
            found_row = self._find_theirs(name)
            if found_row is None:
                unknown.append(name)
                continue
            ours, part, wanted[ours] = found_row
            other = found.setdefault(ours, {}).setdefault(part, name)
            if other != name:
                raise ValueError(f"{other} and {name} are both {ours}")
        sources: dict[str, tuple[str, ...]] = {}
        for ours, parts in found.items():
            names = tuple(name for _, name in sorted(parts.items()))
            if len(names) == wanted[ours]:
                sources[ours] = names
            else:
                unknown += names
        joined = {ours: _join({n: state[n] for n in names}) for ours, names in sources.items()}
        return Renamed(joined, sources, tuple(unknown))

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename our weights to theirs, splitting into parts.

        Raises:
            ValueError: no row knows one of our names.
        """
        renamed: dict[str, Tensor] = {}
        for name, tensor in state.items():
            names = self._find_ours(name)
            if names is None:
                raise ValueError(f"{name} has no name there")
            parts = tensor.chunk(len(names)) if len(names) > 1 else (tensor,)
            renamed.update(zip(names, (part.contiguous() for part in parts), strict=True))
        return renamed

    def _find_theirs(self, name: str) -> tuple[str, int, int] | None:
        """Return our name, which part of it this is, and of how many; None without a match."""
        for pattern, row, part in self._theirs:
            match = pattern.fullmatch(name)
            if match:
                return _fill(row.ours, match.groups()), part, len(row.theirs)
        return None

    def _find_ours(self, name: str) -> list[str] | None:
        for pattern, row in self._ours:
            match = pattern.fullmatch(name)
            if match:
                return [_fill(theirs, match.groups()) for theirs in row.theirs]
        return None

    @cached_property
    def _theirs(self) -> list[tuple[re.Pattern[str], Row, int]]:
        return [
            (_pattern(theirs), row, part)
            for row in self.rows
            for part, theirs in enumerate(row.theirs)
        ]

    @cached_property
    def _ours(self) -> list[tuple[re.Pattern[str], Row]]:
        return [(_pattern(row.ours), row) for row in self.rows]


def respell(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """Apply (pattern, replacement) rules to a name, one after another."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def merge(
    state: Mapping[str, Tensor], rules: Iterable[tuple[str, str]]
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Respell all names; weights whose names become the same must be equal.

    Returns:
        The weights under their new names, and the old names of each.

    Raises:
        ValueError: names of one weight hold different values.
    """
    rules = list(rules)
    merged: dict[str, Tensor] = {}
    names: dict[str, list[str]] = {}
    for name, tensor in state.items():
        spelling = respell(name, rules)
        first = merged.setdefault(spelling, tensor)
        names.setdefault(spelling, []).append(name)
        if first is not tensor and not _same(first, tensor):
            raise ValueError(
                f"{names[spelling][0]} and {name} are both {spelling}, and must hold the same "
                "values, got others"
            )
    return merged, names


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _join(parts: Mapping[str, Tensor]) -> Tensor:
    shapes = {name: tuple(tensor.shape) for name, tensor in parts.items()}
    if len(parts) == 1:
        return next(iter(parts.values()))
    if len(set(shapes.values())) > 1 or () in shapes.values():
        raise ValueError(f"parts of one weight must have one shape, got {shapes}")
    return torch.cat(list(parts.values()))


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(re.escape("#"), r"(\d+)")
    return re.compile(pattern.replace(re.escape("*"), r"(\w+)"))


def _fill(template: str, values: Sequence[str | None]) -> str:
    rest = iter(values)
    return re.sub(r"[#*]", lambda _: str(next(rest)), template)
