"""The scanner finds in a list of JSON, cut anywhere into pieces, the items that a parser finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vis.support.result_files import TEXTS

from vidgap_vis import native


def read_in_pieces(text: bytes | str) -> list[bytes] | None:
    """The items that the scanner finds in a text that comes in pieces; None where it is no list."""
    raw = text.encode() if isinstance(text, str) else text
    extension = native.extension()
    assert extension is not None
    whole = scan(extension, [raw])
    for length in (1, 2, 3, 7):
        pieces = [raw[i : i + length] for i in range(0, len(raw), length)]
        assert scan(extension, pieces) == whole
    return (
        None if whole is None else [raw[a:b] for a, b in zip(whole[::2], whole[1::2], strict=True)]
    )


def scan(extension: Any, pieces: list[bytes]) -> list[int] | None:
    scanner, bounds = extension.ItemScanner(), []
    for piece in pieces:
        found = scanner.scan(piece)
        if found is None:
            return None
        bounds += found
    return bounds if scanner.closed else None


def items_of(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS.filter(lambda t: t.isascii()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


@pytest.mark.skipif(native._native is None, reason="the extension is not built")
@settings(max_examples=600, deadline=None)
@given(value=st.lists(JSON, max_size=5), indent=st.sampled_from([None, 0, 1]), data=st.data())
def test_the_items_found_are_those_of_a_parser(
    value: list[Any], indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    found = read_in_pieces(text)
    assert found is not None
    assert [json.loads(item) for item in found] == value
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.sampled_from([*'\\"[]{},: ', ""])) + text[at + 1 :]
    found, wanted = read_in_pieces(changed), items_of(changed)
    if wanted is not None:
        assert found is not None
    if found is not None:  # each item alone is broken, or all are together what they are alone
        alone = [items_of(f"[{item.decode()}]") for item in found]
        joined = [one[0] for one in alone if one]
        assert (joined if all(one and len(one) == 1 for one in alone) else None) == wanted
