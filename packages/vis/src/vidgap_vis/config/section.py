"""What a section is: a frozen dataclass whose annotations say the type and range of each value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from vidgap_vis.errors import ConfigError


@dataclass(frozen=True)
class Wanted:
    """A range, beside the type in an annotation.

    Attributes:
        words: the range, as an error says it.
        holds: whether a value lies in it.
    """

    words: str
    holds: Callable[[Any], bool]


Count = Annotated[int, Wanted("a number above 0", lambda value: value > 0)]
Positive = Annotated[float, Wanted("a number above 0", lambda value: 0 < value < inf)]
Finite = Annotated[float, Wanted("a finite number", isfinite)]
Fraction = Annotated[float, Wanted("a number in 0..1", lambda value: 0 <= value <= 1)]
Seed = Annotated[int, Wanted("0 to 2**63 - 1", lambda value: 0 <= value < 2**63)]
FROM_0 = Wanted("0 or more", lambda value: 0 <= value < inf)
FROM_1 = Wanted("1 or more", lambda value: 1 <= value < inf)


class Section:
    """The base of a section: a value out of range is refused; null is in every range.

    Attributes:
        key: where the section stands in a configuration, as `data.pseudo`; "" at the top.
    """

    key: ClassVar[str]

    def __init_subclass__(cls, key: str = "") -> None:
        cls.key = key

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            for kind in (hint, *get_args(hint)):  # `Count`, and the parts of `Count | None`
                or_null = "" if kind is hint else ", or null"
                for wanted in getattr(kind, "__metadata__", ()):
                    holds = value is None or wanted.holds(value)
                    self.require(name, holds, wanted.words + or_null)

    def require(self, name: str, holds: bool, wanted: str) -> None:
        """Raise ConfigError about a field unless `holds`; reads `key: wanted ..., got ...`."""
        if not holds:
            key = f"{self.key}.{name}" if self.key else name
            raise ConfigError("", key, f"wanted {wanted}, got {getattr(self, name)!r}")
