"""Metrics on the screen."""

from __future__ import annotations

import pytest

from vidgap_vis.evaluation.table import format_percent, format_table


def test_a_table_reads_in_percent_with_names_left_and_numbers_right():
    rows = {
        "ours": {"AP": 0.45321, "AP50": 1.0, "APl": None},
        "no temporal module": {"AP": 0.0, "AP50": 0.0496, "APl": None},
    }
    assert format_table(rows, title="run").splitlines() == [
        "run                   AP    AP50    APl",
        "------------------  ----  ------  -----",
        "ours                45.3   100.0    n/a",
        "no temporal module   0.0     5.0    n/a",
    ]


def test_columns_can_be_chosen_and_ordered():
    table = format_table({"a": {"AP": 0.1, "AP50": 0.2, "AR1": 0.3}}, ["AR1", "AP"])
    assert table.splitlines()[0].split() == ["AR1", "AP"]
    assert table.splitlines()[-1].split() == ["a", "30.0", "10.0"]


def test_a_table_without_rows_is_its_head():
    assert format_table({}, ["AP"], title="run").splitlines() == ["run    AP", "-----  ----"]


def test_a_row_that_lacks_a_column_is_an_error():
    with pytest.raises(ValueError, match=r"row 'b' lacks AP50; it has AP"):
        format_table({"a": {"AP": 0.1, "AP50": 0.2}, "b": {"AP": 0.1}})


@pytest.mark.parametrize(("value", "text"), [(None, "n/a"), (0.12345, "12.3"), (0, "0.0")])
def test_percent(value, text):
    assert format_percent(value) == text
