"""Seeds of an experiment that were run elsewhere, or earlier: out of their `results.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from vidgap_vis.errors import InputError

MADE_OF = "arms.yaml sha256"
"""Key of what a `results.json` was made of."""

Results: TypeAlias = Mapping[str, Any]
"""What a `results.json` holds."""


def read_elsewhere(paths: Sequence[Path], made_of: str, seeds: Sequence[int]) -> list[Results]:
    """Read the results of other seeds of the same experiment.

    Args:
        paths: of `results.json` files.
        made_of: the hash of the experiment's `arms.yaml`, as it was run.
        seeds: that are run here.

    Raises:
        InputError: a file is none, is another experiment's, or has a seed that is there already.
    """
    found, known = [], {*seeds}
    for path in paths:
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            own = {int(seed) for seed in results["seeds"]}
        except OSError as error:
            raise InputError(path, "", f"cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(path, "", "wanted the results.json of an experiment") from error
        if results.get(MADE_OF) != made_of:
            message = f"wanted results of the same arms.yaml, {made_of}, got {results.get(MADE_OF)}"
            raise InputError(path, MADE_OF, message)
        if twice := sorted(known & own):
            raise InputError(path, "seeds", f"wanted others than are there already, got {twice}")
        known |= own
        found.append(results)
    return found


def by_seed(results: Sequence[Results], *keys: str) -> Iterator[tuple[int, Any]]:
    """Yield (seed, value) of a table by seeds that stands under some keys in each of them."""
    for one in results:
        table: Any = one
        for key in keys:
            table = table[key]
        yield from ((int(seed), value) for seed, value in table.items())
