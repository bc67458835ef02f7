"""Stages that work at the same time: each in a thread, a bounded number of items between them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

import torch

_T = TypeVar("_T")
_S = TypeVar("_S")


class Pipeline:
    """Makes the items of iterators ahead of whoever reads them, each iterator in its own thread.

    A context manager. Leaving it, by an error or Ctrl-C too, stops every thread after the item that
    it is making, has it close what it iterates over, and waits for it. Stages are iterators over
    those before:

        with Pipeline() as pipeline:
            frames = pipeline.ahead(decode(path))
            results = pipeline.ahead(each(network, frames))
            for result in results:
                write(result)

    Threads have as many threads of torch as are set, but its grad and autocast modes are those of a
    new thread.

    Args:
        threads: False makes every item when it is asked for, in the thread that asks.
    """

    def __init__(self, *, threads: bool = True) -> None:
        self.threads = threads
        self._running: list[_Ahead[Any]] = []
        self._plain: list[Iterator[object]] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interrupt_held_back():
            for stage in self._running:
                stage.stop()
        for stage in self._running:
            stage.join()
        for items in reversed(self._plain):
            if isinstance(items, Generator):
                items.close()

    def ahead(self, items: Iterable[_T], capacity: int = 1, name: str = "stage") -> Iterator[_T]:
        """Return an iterator over the same items in the same order, made in a thread from now on.

        An error of `items` is raised where its item would come.

        Args:
            items: only the thread iterates over them.
            capacity: how many items may be there that nobody has asked for yet, the one being made
                among them. With the one that the reader holds, `capacity + 1` are alive.
            name: of the thread.

        Raises:
            ValueError: the capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if not self.threads:
            plain = iter(items)
            self._plain.append(plain)
            return plain
        stage = _Ahead(items, capacity, f"vidgap {name}")
        self._running.append(stage)
        stage.start()
        return stage


def each(function: Callable[[_S], _T], items: Iterable[_S]) -> Iterator[_T]:
    """Yield `function` of each item; unlike `map`, hold nothing while waiting for the next one."""
    for item in items:
        made = function(item)
        del item
        yield made
        del made


@contextmanager
def interrupt_held_back() -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM, come after the block, whatever the handlers do about them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs handlers in its main thread alone
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}
    came: list[tuple[int, FrameType | None]] = []
    for number in held:
        signal.signal(number, lambda *call: came.append(call))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for call in came[:1]:
            held[signal.Signals(call[0])](*call)


class _Stopped(BaseException):
    """The pipeline was left: the thread that meets this ends."""


@dataclass(frozen=True)
class _Item(Generic[_T]):
    value: _T


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class _Ahead(Iterator[_T]):
    """One iterator and its thread.

    Queues in C are all that they share: a signal in the middle of one leaves no lock behind, as it
    may in those of `threading` and `queue`, which are Python.
    """

    def __init__(self, items: Iterable[_T], capacity: int, name: str) -> None:
        self._ready: SimpleQueue[_Item[_T] | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # an entry for each item that may be made
        for _ in range(capacity):
            self._room.put(None)
        self._stopped = False
        # A daemon: a second Ctrl-C, while the first one waits for a stage, ends the process.
        self._thread = threading.Thread(target=self._make, args=(items,), name=name, daemon=True)

    def start(self) -> None:
        with interrupt_held_back():  # in `Thread.start` it may break a lock
            self._thread.start()

    def stop(self) -> None:
        """Wake whoever waits here; no further item is made."""
        self._stopped = True
        self._room.put(None)
        self._ready.put(_End())

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def __next__(self) -> _T:
        entry = self._ready.get()
        if self._stopped:
            raise _Stopped
        if isinstance(entry, _Item):
            self._room.put(None)
            return entry.value
        self._ready.put(_End())
        if entry.error is None:
            raise StopIteration
        raise entry.error

    def _make(self, items: Iterable[_T]) -> None:
        """Put all items; this is what the thread does."""
        # This takes torch.set_num_threads over; before, oneDNN would start a thread a core here.
        torch.get_num_threads()
        try:
            made = iter(items)
            try:
                while self._may_go_on():
                    self._ready.put(_Item(next(made)))
            finally:
                if isinstance(made, Generator):
                    made.close()
        except StopIteration:
            self._ready.put(_End())
        except _Stopped:
            pass
        except BaseException as error:
            self._ready.put(_End(error))

    def _may_go_on(self) -> bool:
        """Wait for room; return whether there is any more to do."""
        self._room.get()
        return not self._stopped
