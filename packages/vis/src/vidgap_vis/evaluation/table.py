"""Metrics as plain-text tables for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

NOT_AVAILABLE = "n/a"


def format_percent(value: float | None) -> str:
    """Write 0.4532 as "45.3"; None as "n/a"."""
    # Adding 0 leaves no "-0.0".
    return NOT_AVAILABLE if value is None else f"{round(100 * value, 1) + 0.0:.1f}"


def format_table(
    rows: Mapping[str, Mapping[str, float | str | None]],
    columns: Sequence[str] | None = None,
    *,
    title: str = "",
) -> str:
    """Lay out metrics: a line for each row; numbers in percent with one decimal, "n/a" for None.

    Args:
        rows: name of the row -> metric -> 0..1, a text as it stands, or None.
        columns: the metrics to show, in this order; None means those of the first row.
        title: head of the column of names.

    Returns:
        Lines joined by line breaks; names to the left, numbers to the right.

    Raises:
        ValueError: a row lacks a column.
    """
    if columns is None:
        columns = list(next(iter(rows.values()), {}))
    for name, row in rows.items():
        missing = [column for column in columns if column not in row]
        if missing:
            raise ValueError(f"row {name!r} lacks {', '.join(missing)}; it has {', '.join(row)}")
    cells = [[name, *(_cell(row[key]) for key in columns)] for name, row in rows.items()]
    return tabulate(
        cells,
        [title, *columns],
        disable_numparse=True,
        preserve_whitespace=True,
        colalign=["left", *["right"] * len(columns)],
    )


def _cell(value: float | str | None) -> str:
    return value if isinstance(value, str) else format_percent(value)
