"""Every command by its name.

What is heavy is imported when a command runs, so that `vidgap --help` answers at once.
"""

from __future__ import annotations

from vidgap_vis.cli.analyze import Analyze
from vidgap_vis.cli.bench import Bench
from vidgap_vis.cli.command import Command
from vidgap_vis.cli.data import DataPseudo, DataSynthetic
from vidgap_vis.cli.demo import Demo
from vidgap_vis.cli.doctor import Doctor
from vidgap_vis.cli.evaluate import Evaluate, EvaluateImages
from vidgap_vis.cli.experiment import Experiment
from vidgap_vis.cli.export import Export
from vidgap_vis.cli.predict import Predict
from vidgap_vis.cli.submit import Submit
from vidgap_vis.cli.train import Finetune, Pretrain
from vidgap_vis.cli.weights import WeightsConvert, WeightsExport, WeightsSlim

COMMANDS: dict[str, type[Command]] = {
    "doctor": Doctor,
    "demo": Demo,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "predict": Predict,
    "experiment": Experiment,
    "bench": Bench,
    "evaluate": Evaluate,
    "evaluate images": EvaluateImages,
    "analyze": Analyze,
    "submit": Submit,
    "data synthetic": DataSynthetic,
    "data pseudo": DataPseudo,
    "weights convert": WeightsConvert,
    "weights export": WeightsExport,
    "weights slim": WeightsSlim,
    "export": Export,
}
"""Every command by its name."""
