"""`vidgap submit`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser
from vidgap_vis.files import check_output

SHOWN = 5


class Submit(Command):
    """`vidgap submit`."""

    summary = "results -> a zip for an evaluation server, checked against the data set's JSON"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument(
            "--gt", type=Path, required=True, help="YouTube-VIS JSON of the videos, as valid.json"
        )
        parser.add_argument("--out", type=Path, required=True, help="zip to write")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.formats import read_youtube_vis
        from vidgap_vis.formats.submission import RESULTS, pack

        check_output("--out", options.out, [options.results, options.gt])
        found = pack(options.results, read_youtube_vis(options.gt), options.out)
        where = f"{found.num_videos} videos, at most {found.most} each"
        print(f"{options.out}: {RESULTS} with {found.num_tracks} tracks in {where}")
        if found.without:
            names = ", ".join(map(str, found.without[:SHOWN]))
            more = f" and {len(found.without) - SHOWN} more" if len(found.without) > SHOWN else ""
            print(f"videos without a track: {names}{more}")
        return 0
