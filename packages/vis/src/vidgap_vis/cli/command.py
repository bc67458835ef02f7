"""What a command of `vidgap` is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from typing import ClassVar

from vidgap_vis.cli.parser import Parser


class Command(ABC):
    """One command of `vidgap`.

    Attributes:
        summary: what it does, one line.
    """

    summary: ClassVar[str]

    @abstractmethod
    def add_arguments(self, parser: Parser) -> None:
        """Say what the command takes."""

    @abstractmethod
    def run(self, parser: Parser, options: Namespace) -> int:
        """Do it; return the exit code."""
