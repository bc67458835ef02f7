"""Commands keep the memory that they free, and so do the processes that they start."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from vidgap_vis.cli import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")


class Libc:
    """Stands for the C library; remembers what malloc was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.told.append((parameter, value))
        return 1


def test_malloc_is_told_here_and_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    name, *others = memory.MALLOC
    monkeypatch.setenv(name, "7")
    for other in others:
        monkeypatch.setenv(other, "0")  # so that it is as before afterwards
        monkeypatch.delenv(other)
    libc = Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    memory.keep_freed_memory()
    assert libc.told == [memory.MALLOC[other] for other in others]
    assert os.environ[name] == "7"
    assert {os.environ[other] for other in others} == {str(value) for _, value in libc.told}
    memory.keep_freed_memory()
    assert len(libc.told) == len(others)


def test_a_library_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.keep_freed_memory()
