"""`vidgap experiment`: arms by seeds, trained, tracked and compared; resumable."""

from vidgap_vis.experiments.plan import Arm, Experiment, Run, read_experiment
from vidgap_vis.experiments.runner import run_experiment

__all__ = ["Arm", "Experiment", "Run", "read_experiment", "run_experiment"]
