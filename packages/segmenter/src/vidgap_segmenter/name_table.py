"""Tables of names: our weights on the left, somebody else's on the right, read in both directions.

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
    """Weights under our names, and their names that no row knows or whose other parts lack."""

    state: dict[str, Tensor]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows, each name matched by one of them at most."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str | Sequence[str]]]) -> Table:
        """Make a table of (ours, theirs) pairs."""
        rows = ((ours, (theirs,) if isinstance(theirs, str) else theirs) for ours, theirs in pairs)
        return cls(tuple(Row(ours, tuple(theirs)) for ours, theirs in rows))

    def to_ours(self, state: Mapping[str, Tensor]) -> Renamed:
        """Give their weights our names, joining parts.

        Raises:
            ValueError: two names mean one weight of ours.
        """
        found: dict[str, dict[int, str]] = {}  # our name -> part -> their name
        wanted: dict[str, int] = {}
        unknown = []
        for name in state:
            place = self._find_theirs(name)
            if place is None:
                unknown.append(name)
                continue
            ours, part, wanted[ours] = place
            other = found.setdefault(ours, {}).setdefault(part, name)
            if other != name:
                raise ValueError(f"{other} and {name} are both {ours}")
        whole = {ours: parts for ours, parts in found.items() if len(parts) == wanted[ours]}
        unknown += [
            name for ours, parts in found.items() if ours not in whole for name in parts.values()
        ]
        joined = {
            ours: _join([state[parts[part]] for part in sorted(parts)])
            for ours, parts in whole.items()
        }
        return Renamed(joined, tuple(unknown))

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give our weights their names, splitting into parts.

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
        """Return our name, which part of it this is, and of how many; None where no row knows."""
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


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(re.escape("#"), r"(\d+)")
    return re.compile(pattern.replace(re.escape("*"), r"(\w+)"))


def _fill(template: str, values: Sequence[str | None]) -> str:
    rest = iter(values)
    return re.sub(r"[#*]", lambda _: str(next(rest)), template)
