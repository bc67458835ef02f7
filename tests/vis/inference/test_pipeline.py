"""Iterators made ahead in threads: the same items in order, few at a time, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from weakref import WeakSet

import pytest

from vidgap_vis.inference.pipeline import Pipeline, each

SETTINGS = [(False, 1), (True, 1), (True, 2), (True, 7)]

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [one.name for one in threading.enumerate() if one.name.startswith("vidgap ")] == []


class Watched:
    """Numbers without end, which say when they are made and whether they were closed."""

    def __init__(self) -> None:
        self.made = 0
        self.closed_in: int | None = None

    def __iter__(self) -> Iterator[int]:
        try:
            for number in count():
                self.made += 1
                yield number
        finally:
            self.closed_in = threading.get_ident()


@pytest.mark.parametrize(("threads", "capacity"), SETTINGS, ids=str)
@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_every_item_comes_in_order_through_three_stages(
    threads: bool, capacity: int, length: int
) -> None:
    with Pipeline(threads=threads) as pipeline:
        items = pipeline.ahead(range(length), capacity)
        items = pipeline.ahead(each(lambda number: number + 1, items), capacity)
        items = pipeline.ahead(each(lambda number: 2 * number, items), capacity)
        assert list(items) == [2 * (number + 1) for number in range(length)]
        assert list(items) == []


def test_each_iterator_has_a_thread_and_without_threads_none_has() -> None:
    def where(_: object) -> int:
        return threading.get_ident()

    for threads, wanted in ((True, 3), (False, 1)):
        with Pipeline(threads=threads) as pipeline:
            first = pipeline.ahead(each(where, range(1)))
            second = pipeline.ahead(each(lambda found: (found, where(None)), first))
            (pair,) = second
        assert len({*pair, where(None)}) == wanted


def test_without_threads_nothing_is_made_before_it_is_asked_for() -> None:
    watched = Watched()
    with Pipeline(threads=False) as pipeline:
        items = pipeline.ahead(watched, 5)
        assert watched.made == 0
        assert [next(items), next(items)] == [0, 1]
        assert watched.made == 2
    assert watched.closed_in == threading.get_ident()


@pytest.mark.parametrize("capacity", [1, 3])
def test_no_more_is_made_than_there_is_room_for(capacity: int) -> None:
    watched = Watched()
    with Pipeline() as pipeline:
        items = pipeline.ahead(watched, capacity)
        for asked in range(4):
            wait_until(lambda asked=asked: watched.made == asked + capacity)
            time.sleep(0.01)  # it may not go on
            assert watched.made == asked + capacity
            assert next(items) == asked


def wait_until(holds) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Thing:
    pass


@pytest.mark.parametrize("slow", [None, 0, 1, 2], ids=["none", "source", "stage", "reader"])
@pytest.mark.parametrize("capacity", [1, 2])
def test_few_items_are_alive_whatever_is_slow(slow: int | None, capacity: int) -> None:
    alive: WeakSet[Thing] = WeakSet()
    most = 0

    def pause(place: int) -> None:
        if place == slow:
            time.sleep(0.003)

    def things() -> Iterator[Thing]:
        nonlocal most
        for _ in range(60):
            pause(0)
            thing = Thing()
            alive.add(thing)
            most = max(most, len(alive))
            yield thing
            del thing

    def stage(thing: Thing) -> Thing:
        pause(1)
        return thing

    with Pipeline() as pipeline:
        items = pipeline.ahead(each(stage, pipeline.ahead(things(), capacity)), capacity)
        for item in items:
            pause(2)
            del item
    # In each stage what has room; one in the reader's hands; and one changing hands a stage.
    assert most <= 2 * capacity + 3
    if slow == 2:
        assert most >= 2 * capacity
    assert not alive


@pytest.mark.parametrize(("threads", "capacity"), SETTINGS, ids=str)
def test_an_error_comes_as_it_was_after_the_items_before(threads: bool, capacity: int) -> None:
    wanted = KeyError("frame 3")

    def stage(number: int) -> int:
        if number == 3:
            raise wanted
        return number

    watched, seen = Watched(), []

    def run() -> None:
        with Pipeline(threads=threads) as pipeline:
            items = pipeline.ahead(each(stage, pipeline.ahead(watched, capacity)), capacity)
            for item in pipeline.ahead(items, capacity):
                seen.append(item)

    with pytest.raises(KeyError) as raised:
        run()
    assert raised.value is wanted
    assert "stage" in [entry.name for entry in raised.traceback]
    assert seen == [0, 1, 2]
    assert watched.closed_in is not None
    assert (watched.closed_in == threading.get_ident()) is not threads


@pytest.mark.parametrize(("threads", "capacity"), SETTINGS, ids=str)
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_reader_that_stops_early_ends_all_stages(
    threads: bool, capacity: int, taken: int
) -> None:
    watched = Watched()
    with Pipeline(threads=threads) as pipeline:
        items = pipeline.ahead(watched, capacity)
        items = pipeline.ahead(each(abs, pipeline.ahead(each(abs, items), capacity)), capacity)
        for _ in range(taken):
            next(items)
    assert watched.made >= taken
    assert (watched.closed_in is not None) is (watched.made > 0)


def test_a_stop_iteration_in_a_stage_is_an_error_and_no_early_end() -> None:
    def stage(number: int) -> int:
        return next(iter(())) if number == 2 else number  # type: ignore[call-overload]

    with pytest.raises(RuntimeError, match="StopIteration"), Pipeline() as pipeline:
        list(pipeline.ahead(each(stage, range(5))))


@pytest.mark.parametrize("waits_for", ["items", "nothing"])
def test_ctrl_c_ends_all_stages(waits_for: str) -> None:
    """A real signal, while the main thread waits for an item that never comes, or works."""
    going = threading.Event()
    watched = Watched()

    def stage(number: int) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
            if waits_for == "items":
                going.wait(30)
        return number

    def run() -> None:
        with Pipeline() as pipeline:
            items = pipeline.ahead(each(stage, pipeline.ahead(watched)))
            try:
                for _ in items:
                    pass
            finally:
                going.set()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert watched.closed_in is not None


def test_room_for_nothing_is_named() -> None:
    with Pipeline() as pipeline, pytest.raises(ValueError, match="must be at least 1, got 0"):
        pipeline.ahead([], 0)


FIRST_CALL = """
import os
import torch
from vidgap_vis.inference.pipeline import Pipeline, each

torch.set_num_threads(1)
frames, weights = torch.zeros(1, 16, 64, 64), torch.zeros(16, 16, 3, 3)

def stage(_):
    before = len(os.listdir("/proc/self/task"))
    torch.conv2d(frames, weights)
    return len(os.listdir("/proc/self/task")) - before

with Pipeline() as pipeline:
    print(*pipeline.ahead(each(stage, range(1))))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="counts threads in /proc")
def test_a_stage_has_as_many_threads_of_torch_as_are_set() -> None:
    """Even if its first call goes to oneDNN, which else takes as many as OMP_NUM_THREADS says."""
    words = [sys.executable, "-c", FIRST_CALL]
    env = {**os.environ, "OMP_NUM_THREADS": "4"}
    said = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert said.stdout == "0\n"
