"""A results file read video by video: what the reader of whole files finds, or the same error."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vis.support.result_files import LENGTHS, SIZE, TRUTH, broken, entry, files
from vis.support.run_lengths import compressed

from vidgap_vis.errors import InputError
from vidgap_vis.formats import Rle
from vidgap_vis.formats.results import ResultFile, Track, read_results

Found = list[Track] | str
"""Tracks in the file's order, or what is wrong."""


def whole(path: Path) -> Found:
    try:
        return read_results(path, TRUTH)
    except InputError as error:
        return str(error)


def by_video(path: Path, threads: int = 1) -> Found:
    """All tracks, their masks checked, each video for itself."""
    try:
        with ResultFile(path, TRUTH) as results, ThreadPoolExecutor(threads) as pool:
            tracks = [track for found in pool.map(results.tracks, LENGTHS) for track in found]
    except InputError as error:
        return str(error)
    tracks.sort(key=lambda track: int(track.source.strip("[]")))
    for track in tracks:
        for frame, mask in enumerate(track.masks):
            try:
                assert mask is None or mask.checked()
            except ValueError as error:
                return str(InputError(path, track.source, f"segmentations[{frame}]: {error}"))
    return tracks


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results") / "results.json"


@settings(max_examples=300, deadline=None)
@given(text=files(), threads=st.sampled_from([1, 4]))
def test_well_formed_files_are_read_as_a_whole_one_is(path: Path, text: str, threads: int) -> None:
    path.write_bytes(text.encode())
    wanted = whole(path)
    assert isinstance(wanted, list)
    assert by_video(path, threads) == wanted


TRICKS = {
    "another id in an object before": '[{"of": {"video_id": 22}, %s]',
    "another id in a list before": '[{"of": [{"video_id": 22}], %s]',
    "an escaped key behind": '[{"video_id": 22, "video\\u005fid": 21, %s]',
    "an escaped key before": '[{"video\\u005fid": 22, %s]',
    "the key twice": '[{"video_id": 22, %s]',
    "the key in a string": '[{"note": "\\"video_id\\": 22", %s]',
    "the key as a string": '[{"note": "video_id", "x": ["video_id"], %s]',
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=list(TRICKS))
def test_an_entry_is_in_the_video_that_a_parser_finds(text: str, path: Path) -> None:
    rest = json.dumps(entry(21))[1:]
    path.write_text(text % rest)
    wanted = whole(path)
    assert isinstance(wanted, list)
    assert by_video(path) == wanted
    # A video that is asked for first must have it, too.
    for first in LENGTHS:
        with ResultFile(path, TRUTH) as results:
            assert results.tracks(first) == [t for t in wanted if t.video_id == first]


@settings(max_examples=1500, deadline=None)
@given(text=broken())
def test_a_broken_file_has_the_error_of_a_whole_one(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert by_video(path) == whole(path)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b" ",
            b"[",
            b"]",
            b"{}",
            b"[]x",
            b"[1]",
            b"[,]",
            b"[{},]",
            b"[[]]",
            b"[{}]",
            b"null",
        ),
        *(b"[}", b"\xef\xbb\xbf[]", b"[\xef\xbb\xbf]", b"[" * 100_000, b'["', b"[]\0", b"[[1},2]"),
        *(b'[{"video_id": [21]}]', b'[{"video_id": 1e1}]', b'[{"video_id": 21.0}]'),
        *(b'[{"video_id": true}]', b'[{"a": {"video_id": 21}}]'),
        b'[{"video_id": 210000000000000000021}]',
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_results_file_is_refused_alike(text: bytes, path: Path) -> None:
    path.write_bytes(text)
    wanted = whole(path)
    assert isinstance(wanted, str)
    assert by_video(path) == wanted


def test_an_empty_list_and_a_missing_file(path: Path, tmp_path: Path) -> None:
    path.write_text("\n[ ]\n")
    assert by_video(path) == whole(path) == []
    for nothing in (tmp_path / "none.json", tmp_path):
        wanted = whole(nothing)
        assert isinstance(wanted, str)
        assert by_video(nothing) == wanted


@pytest.fixture(params=["native", "reference"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "reference":
        monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    return request.param


def test_masks_and_scattered_entries_come_in_the_files_order(backend: str, path: Path) -> None:
    order = [21, 0, 21, -7, 22, 21, 0]
    random.Random(0).shuffle(order)
    path.write_text(json.dumps([entry(number, score=i / 8) for i, number in enumerate(order)]))
    with ResultFile(path, TRUTH) as results:
        for number in LENGTHS:
            tracks = results.tracks(number)
            assert [t.score for t in tracks] == [i / 8 for i, n in enumerate(order) if n == number]
            assert all(
                t.masks == (Rle(SIZE, compressed([2, 3, 25])),) * LENGTHS[number] for t in tracks
            )
            assert np.array_equal(tracks[0].areas, [3.0] * LENGTHS[number])
        assert results.tracks(99) == [], backend


def test_a_pipe_is_read_once(path: Path, tmp_path: Path) -> None:
    text, pipe = json.dumps([entry(21), entry(0)]), tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_text, text)
        got = by_video(pipe)
        writing.result()
    path.write_text(text)
    assert got == whole(path)
