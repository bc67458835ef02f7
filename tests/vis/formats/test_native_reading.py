"""What compiled code reads of JSON and masks is what the parsers in Python read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgap_vis.classes import from_categories
from vidgap_vis.errors import InputError
from vidgap_vis.formats import Rle, VideoInfo, VideoSet, read_youtube_vis
from vidgap_vis.formats.results import ResultFile, read_results
from vidgap_vis.formats.rle import parse_rle
from vidgap_vis.native import extension

native = extension(warns=False)
if native is None:
    pytest.skip("the extension is not built here", allow_module_level=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"size": [2, 3], "counts": [1, 2, 3]}', '{"size": [2, 3], "counts": "123"}'),
        ('{"counts":[1,2,3],"size":[2,3]}', '{"counts": "123","size":[2,3]}'),
        ('{ "size":[2 , 3] ,"counts" :\n[ 1,2 ,3 ] }', '{ "size":[2 , 3] ,"counts" : "123" }'),
        ('{"size": [6, 10], "counts": [16, 44]}', '{"size": [6, 10], "counts": "`0\\\\1"}'),
    ],
)
def test_lists_of_run_lengths_become_strings(text: str, wanted: str) -> None:
    assert native.with_compressed_counts(text) == wanted
    size = tuple(json.loads(text)["size"])
    counts = np.array(json.loads(text)["counts"])
    assert Rle(size, json.loads(wanted)["counts"]).run_lengths().tolist() == counts.tolist()


@pytest.mark.parametrize(
    "text",
    [
        '{"size": [2, 3], "counts": [1, 2, 4]}',  # another sum
        '{"size": [2, 3], "counts": [1, -2, 7]}',
        '{"size": [2, 3], "counts": [1, 2.0, 3]}',
        '{"size": [2, 3], "counts": [1, 02, 3]}',
        '{"size": [2, 3], "counts": [1, true, 4]}',
        '{"size": [2, 3], "counts": [1, 2, 3,]}',
        '{"size": [2, 3], "counts": [1, 2, 3',
        '{"size": [2, 3], "counts": []}',
        '{"size": [0, 3], "counts": []}',
        '{"size": [2, 3], "counts": "123"}',
        '{"size": [2, 3], "counts"',
        '{"size": [2, 3], "id": 1, "counts": [1, 2, 3]}',  # the size stands elsewhere
        '{"size": [2, 3, 1], "counts": [1, 2, 3]}',
        '{"counts": [1, 2, 3]}',
        '{"\\"counts": [1, 2, 3], "size": [2, 3]}',  # a key that ends so
        '{"\\"size": [2, 3], "counts": [1, 2, 3]}',
        '{"size": [2, 3], "counts": [99999999999999999999, 2, 3]}',
        "",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert native.with_compressed_counts(text) == text


def test_numbers_of_all_lengths_are_compressed_as_pycocotools_does() -> None:
    rng = np.random.default_rng(0)
    for most in (2, 20, 600, 20_000, 900_000, 30_000_000):
        counts = rng.integers(0, most, 40).tolist()
        mask = {"size": [1, sum(counts)], "counts": counts}
        text = native.with_compressed_counts(json.dumps(mask))
        assert json.loads(text)["counts"] == parse_rle(mask, (1, sum(counts))).counts


def test_strings_are_decoded_as_by_the_reference() -> None:
    """Right ones, and ones with a character changed, left out or put in."""
    rng = np.random.default_rng(1)
    seen = {True: 0, False: 0}
    for _ in range(3000):
        counts = rng.integers(0, rng.choice([2, 20, 2000]), rng.integers(1, 9))
        pixels = int(counts.sum())
        text = parse_rle({"size": [1, pixels], "counts": counts.tolist()}, (1, pixels)).counts
        if rng.random() < 0.7:
            place = int(rng.integers(len(text)))
            middle = "".join(map(chr, rng.integers(46, 114, rng.integers(3))))
            text = text[:place] + middle + text[place + int(rng.integers(2)) :]
        rle = Rle((1, pixels), text)
        try:
            wanted = rle.area()
        except ValueError:
            wanted = -1
        seen[wanted >= 0] += 1
        assert native.area(text, pixels) == wanted, text
    assert min(seen.values()) > 300


@pytest.fixture
def video_set() -> VideoSet:
    """Video 5, of three frames."""
    video = VideoInfo(5, ("5/0.jpg", "5/1.jpg", "5/2.jpg"), (2, 3))
    classes = from_categories([(1, "fish")])
    return VideoSet(Path("truth.json"), None, classes, (video,), annotated=False)


def entry(masks: str, more: str = "") -> str:
    return f'{{"video_id": 5, "category_id": 1, "score": 0.5, "segmentations": {masks}{more}}}'


MASK = '{"size": [2, 3], "counts": "123"}'


@pytest.mark.parametrize(
    "text",
    [
        entry(f"[null, {MASK}, null]"),
        entry("[null, null, null]"),
        entry('[null,{"counts":"123","size":[2,3]},null]'),
        entry('[ null , { "size" : [ 2 , 3 ] , "counts" : "123" } , null ]'),
        entry('[null, {"size": [2, 3], "counts": "123", "id": 7}, null]'),
        entry('[null, {"size": [2, 3], "counts": "\\u003123"}, null]'),
        entry('[null, {"size": [2, 3], "counts": "12\\"3"}, null]'),
        entry('[null, {"size": [2, 3], "counts": ""}, null]'),
        entry('[null, {"size": [2, 3], "counts": [1, 2, 3]}, null]'),
        entry('[null, {"size": [2.0, 3], "counts": "123"}, null]'),
        entry(f"[null, {MASK}, null]", ', "segmentations": [null, null, null]'),
        entry(f"[null, {MASK}, null]", ', "s\\u0065gmentations": [null, null, null]'),
        entry(f"[null, {MASK}, null]", f', "id": {{"segmentations": [{MASK}]}}'),
        f'{{"id": {{"segmentations": [{MASK}]}}, {entry(f"[null, {MASK}, null]")[1:]}',
    ],
)
def test_an_entry_is_read_as_by_a_parser(
    text: str, tmp_path: Path, video_set: VideoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    path.write_text(f"[{text}]")
    with ResultFile(path, video_set) as results:
        got = results.tracks(5)
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    with ResultFile(path, video_set) as results:
        assert got == results.tracks(5)
    assert len(got) == 1


@pytest.mark.parametrize("text", ["", "u", r"\\u", r"\n", r"\\\\u0041", "\\"])
def test_no_unicode_escape_is_seen_where_none_is(text: str) -> None:
    assert not native.has_unicode_escape(text.encode())


@pytest.mark.parametrize("text", [r"\u0041", r"a\nb\u0041", r"\\\u0041", r"\\u\u"])
def test_a_unicode_escape_is_seen(text: str) -> None:
    assert native.has_unicode_escape(text.encode())


@pytest.mark.parametrize(
    "masks",
    [
        "[null, null]",
        "[]",
        "null",
        "0",
        '[null, {"size": [3, 2], "counts": "123"}, null]',
        '[null, {"size": [2, 3]}, null]',
        '[null, {"size": [2, 3], "counts": 1}, null]',
        '[null, {"size": [2, 3], "counts": [1, 2]}, null]',
        "[null, 3, null]",
        '[null, {"segmentations": [null, null, null]}, null]',
    ],
)
def test_what_is_wrong_with_an_entry_is_said_as_by_a_parser(
    masks: str, tmp_path: Path, video_set: VideoSet
) -> None:
    path = tmp_path / "results.json"
    path.write_text(f"[{entry(masks)}]")
    with pytest.raises(InputError) as wanted:
        read_results(path, video_set)
    with ResultFile(path, video_set) as results, pytest.raises(InputError) as got:
        results.tracks(5)
    assert str(got.value) == str(wanted.value)


@pytest.mark.parametrize("counts", ["123 ", " 123", "1 23", "123\\t", "", " "])
def test_spaces_in_a_string_are_part_of_it(
    counts: str, tmp_path: Path, video_set: VideoSet
) -> None:
    path = tmp_path / "results.json"
    mask = f'{{"size": [2, 3], "counts": "{counts}"}}'
    path.write_text(f"[{entry(f'[null, {mask}, null]')}]")
    with ResultFile(path, video_set) as results:
        (track,) = results.tracks(5)
    read = track.masks[1]
    assert read is not None
    assert read.counts == json.loads(f'"{counts}"')


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ([1, 2, 3], None),
        ("123", None),
        ([1, 2, 2], "RLE counts must sum to 2x3 = 6, got 5"),
        ([1, 2, True], "RLE counts must be integers, got True"),
        ([1, 9, 3], "RLE counts must be at most 6, got 9"),
        ([1, -2, 7], "RLE counts must be at most 6, got 7|must not be negative, got -2"),
        ([], "RLE counts must sum to 2x3 = 6, got 0"),
    ],
)
def test_truth_is_read_alike_with_and_without_compiled_code(
    counts: Any, error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "videos": [{"id": 5, "file_names": ["5/0.jpg"], "height": 2, "width": 3}],
        "categories": [{"id": 1, "name": 'fish "counts": [1, 2, 3], "size": [2, 3]'}],
        "annotations": [
            {
                "id": 2,
                "video_id": 5,
                "category_id": 1,
                "segmentations": [{"size": [2, 3], "counts": counts}],
            }
        ],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    outcomes = []
    for backend in ("", "reference"):
        monkeypatch.setenv("VIDGAP_BACKEND", backend)
        if error is None:
            outcomes.append(str(read_youtube_vis(path).videos))
            assert "counts='123'" in outcomes[-1]
        else:
            with pytest.raises(InputError, match=error) as raised:
                read_youtube_vis(path)
            outcomes.append(str(raised.value))
    assert outcomes[0] == outcomes[1]
