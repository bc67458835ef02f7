"""`vidgap data synthetic` and `vidgap data pseudo`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.parser import Parser
from vidgap_vis.errors import ConfigError
from vidgap_vis.files import check_replaceable


class DataSynthetic(Command):
    """`vidgap data synthetic`."""

    summary = "generate a data set with truth: images, and clips of look-alikes that cross"

    def add_arguments(self, parser: Parser) -> None:
        from vidgap_vis.synthetic import WORLDS, SyntheticOptions

        parser.add_section(SyntheticOptions, file=False)
        parser.add_argument(
            "--world", choices=WORLDS, help="one that never changes; flags say how much of it"
        )
        parser.add_argument("--out", type=Path, required=True, help="folder to make")

    def run(self, options: Namespace) -> int:
        from vidgap_vis.synthetic import SyntheticOptions, world, write_synthetic
        from vidgap_vis.synthetic.worlds import AMOUNTS

        data = self.parser.configuration(SyntheticOptions)
        if options.world is not None:
            given = [field.name for field in fields(data) if hasattr(options, field.name)]
            for name in given:
                if name not in AMOUNTS:
                    raise ConfigError("", f"--{name}", f"is fixed by --world {options.world}")
            data = world(options.world, **{name: getattr(data, name) for name in given})
        print(write_synthetic(options.out, data))
        return 0


class DataPseudo(Command):
    """`vidgap data pseudo`."""

    summary = "write pseudo-clips of still images: YouTube-VIS JSON, frames and a preview"

    def add_arguments(self, parser: Parser) -> None:
        from vidgap_vis.config import PseudoExportConfig

        parser.add_argument("annotations", metavar="ANNOTATIONS", type=Path, help="COCO JSON")
        parser.add_argument("--images", type=Path, required=True, help="folder of its images")
        parser.add_argument("--out", type=Path, required=True, help="folder to make")
        parser.add_section(PseudoExportConfig)

    def run(self, options: Namespace) -> int:
        from vidgap_vis import build
        from vidgap_vis.config import PseudoExportConfig
        from vidgap_vis.formats import read_coco
        from vidgap_vis.prepare.pseudo import PREVIEW, write_pseudo_clips

        config = self.parser.configuration(PseudoExportConfig)
        check_replaceable(options.out)
        folder = write_pseudo_clips(
            options.out,
            read_coco(options.annotations, options.images),
            build.image_clips(config.clip),
            clips_per_image=config.clips_per_image,
            max_images=config.max_images,
            seed=config.seed,
        )
        print(folder / PREVIEW)
        return 0
