"""`vidgap analyze`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.evaluate import write_metrics
from vidgap_vis.cli.parser import Parser
from vidgap_vis.files import check_output


class Analyze(Command):
    """`vidgap analyze`."""

    summary = "why results lose AP: a cause for every error, and what each costs"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument("--gt", type=Path, required=True, help="annotations with truth")
        parser.add_argument("--against", type=Path, help="other results JSON, analysed beside it")
        parser.add_argument("--json", type=Path, help="write everything here, 0..1")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.evaluation import Evaluation
        from vidgap_vis.evaluation.analysis import analyse, tables
        from vidgap_vis.formats import read_youtube_vis

        files = [options.results, *([options.against] if options.against else [])]
        if options.json is not None:
            check_output("--json", options.json, [*files, options.gt])
        truth = read_youtube_vis(options.gt)
        found = {str(path): analyse(Evaluation.of_files(path, truth)) for path in files}
        write_metrics(options.json, found)
        for path, data in found.items():
            print("\n\n".join(tables(path, data)), end="\n\n")
        return 0
