"""Results files for tests: well-formed in every odd way, and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from vis.support.run_lengths import compressed

from vidgap_vis.classes import from_categories
from vidgap_vis.formats import VideoInfo, VideoSet

SIZE = (6, 5)
LENGTHS = {21: 3, 22: 1, 0: 2, -7: 1}
TRUTH = VideoSet(
    Path("truth.json"),
    None,
    from_categories([(8, "fish"), (3, "person")]),
    tuple(
        VideoInfo(number, tuple(f"{frame}.jpg" for frame in range(length)), SIZE)
        for number, length in LENGTHS.items()
    ),
    annotated=False,
)


def entry(video_id: int, **more: Any) -> dict[str, Any]:
    masks = [{"size": list(SIZE), "counts": compressed([2, 3, 25])}] * LENGTHS[video_id]
    return {"video_id": video_id, "category_id": 3, "score": 0.5, "segmentations": masks} | more


RLES = st.sampled_from([[30], [0, 30], [2, 3, 25], [7, 9, 5, 9], [1, 28, 1], [14, 1, 1, 14]]).map(
    lambda counts: {"size": list(SIZE), "counts": compressed(counts)}
)
TEXTS = st.text(st.sampled_from('\\"u0[]{},: \té\U0001f41f\ud800video_id'), max_size=12)
NESTED = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS | st.sampled_from(["video_id", "score"]), inner, max_size=3)
        | st.sampled_from(list(LENGTHS)).map(lambda number: {"video_id": number})
    ),
    max_leaves=6,
)


@st.composite
def entries_of_any_order(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """The pairs of an entry, in any order, with others between them; a key may stand twice."""
    video_id = draw(st.sampled_from(list(LENGTHS)))
    length = LENGTHS[video_id]
    pairs: list[tuple[str, Any]] = [
        ("video_id", video_id),
        ("category_id", draw(st.sampled_from([3, 8]))),
        ("score", draw(st.sampled_from([0, 1, 0.25, 1e-9, 0.999]))),
        ("segmentations", draw(st.lists(st.none() | RLES, min_size=length, max_size=length))),
    ]
    extra = draw(st.lists(st.tuples(TEXTS.filter(lambda key: key != "video_id"), NESTED)))
    earlier = [("video_id", number) for number in draw(st.lists(st.sampled_from([21, 22, 5])))]
    mixed = draw(st.permutations(pairs + extra))
    return earlier + mixed


@st.composite
def files(draw: st.DrawFn) -> str:
    """Well-formed results as text: spaces anywhere, characters escaped or not."""
    space = st.text(" \n\t\r", max_size=3)
    escape = draw(st.booleans())

    def word(value: Any) -> str:
        return json.dumps(
            value, ensure_ascii=escape or "\ud800" in json.dumps(value, ensure_ascii=False)
        )

    def key(name: str) -> str:
        if name and draw(st.integers(0, 3)) == 0:
            at = draw(st.integers(0, len(name) - 1))
            if name[at].isalpha() or name[at] == "_":
                return f'"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"'
        return word(name)

    def named(pairs: list[tuple[str, Any]]) -> str:
        texts = []
        for name, value in pairs:
            safe = key(name) if name.isascii() and name.isidentifier() else word(name)
            texts.append(f"{draw(space)}{safe}{draw(space)}:{draw(space)}{word(value)}")
        return "{" + ",".join(texts) + draw(space) + "}"

    items = [named(pairs) for pairs in draw(st.lists(entries_of_any_order(), max_size=5))]
    inner = ",".join(f"{draw(space)}{item}{draw(space)}" for item in items)
    return f"{draw(space)}[{inner or draw(space)}]{draw(space)}"


BASE = json.dumps(
    [entry(21), entry(22), entry(21, score=1), entry(0), entry(-7)], indent=1
).encode()
WORDS = [
    b"NaN",
    b"-Infinity",
    b'"1"',
    b"1e400",
    b"1.5",
    b"-0",
    b"null",
    b"[]",
    b"}",
    b"]",
    b"{",
    b'"',
]
WORDS += [
    b",",
    b"\\",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xff",
    b"\0",
    b"\\ud800",
    b"1" * 5000,
    b"\f",
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A results file with a fault: cut, or with bytes deleted, repeated, changed or put in."""
    kind = draw(st.sampled_from(["cut", "delete", "repeat", "flip", "insert", "value"]))
    at = draw(st.integers(0, len(BASE) - 1))
    stop = min(len(BASE), at + draw(st.integers(1, 120)))
    if kind == "cut":
        return BASE[:at]
    if kind == "delete":
        return BASE[:at] + BASE[stop:]
    if kind == "repeat":
        return BASE[:stop] + BASE[at:]
    if kind == "flip":
        return BASE[:at] + bytes([BASE[at] ^ 1 << draw(st.integers(0, 7))]) + BASE[at + 1 :]
    if kind == "insert":
        return BASE[:at] + draw(st.sampled_from(WORDS)) + BASE[at:]
    key = draw(
        st.sampled_from([b"video_id", b"category_id", b"score", b"segmentations", b"counts"])
    )
    places = [i for i in range(len(BASE)) if BASE.startswith(b'"' + key + b'": ', i)]
    start = draw(st.sampled_from(places)) + len(key) + 4
    behind = start + min(BASE[start:].find(mark) for mark in (b",", b"\n") if mark in BASE[start:])
    return BASE[:start] + draw(st.sampled_from(WORDS)) + BASE[behind:]
