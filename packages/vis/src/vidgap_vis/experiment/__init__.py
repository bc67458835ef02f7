"""`vidgap experiment`: arms by seeds, trained, tracked and compared; resumable."""

from vidgap_vis.experiment.plan import Arm, Experiment, Run, read_experiment
from vidgap_vis.experiment.runner import run_experiment

__all__ = ["Arm", "Experiment", "Run", "read_experiment", "run_experiment"]
