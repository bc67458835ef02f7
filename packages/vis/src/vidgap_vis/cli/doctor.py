"""`vidgap doctor`."""

from __future__ import annotations

from argparse import Namespace

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser


class Doctor(Command):
    """`vidgap doctor`."""

    summary = "versions, devices, and which backend each op uses, why, and whether it is right"

    def add_arguments(self, parser: Parser) -> None:
        pass

    def run(self, options: Namespace) -> int:  # noqa: ARG002 (it has none)
        """Print the report; 1 where an op disagrees with its reference."""
        from vidgap_vis import doctor

        return doctor.run()
