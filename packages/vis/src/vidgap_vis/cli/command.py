"""What a command of `vidgap` is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from typing import ClassVar

from vidgap_vis.cli.parser import Parser


class Command(ABC):
    """One command of `vidgap`.

    Args:
        name: as users write it, "data pseudo".

    Attributes:
        summary: what it does, one line.
        parser: reads its arguments, and the configuration of those that take one.
    """

    summary: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.parser = Parser(f"vidgap {name}", self.summary)
        self.add_arguments(self.parser)

    @abstractmethod
    def add_arguments(self, parser: Parser) -> None:
        """Add what the command takes to its parser."""

    @abstractmethod
    def run(self, options: Namespace) -> int:
        """Run the command; return the exit code."""
