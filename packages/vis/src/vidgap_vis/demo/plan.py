"""What the demo does: the experiment of `arms.yaml` beside this file, on one seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidgap_vis.experiments.plan import Experiment, read_experiment

FOLDER = Path(__file__).parent

LATE_MODULE = "late_module/finetune"
"""The run whose temporal module begins in fine-tuning."""


def make_plan(*, quick: bool = False, late_module: bool = True) -> Experiment:
    """Return the demo's experiment.

    Args:
        quick: the same in seconds, with numbers that mean nothing.
        late_module: with the run that gets its temporal module in fine-tuning.
    """
    plan = read_experiment(FOLDER)
    if not late_module:
        runs = {name: run for name, run in plan.runs.items() if name != LATE_MODULE}
        arms = {name: arm for name, arm in plan.arms.items() if arm.run != LATE_MODULE}
        plan = replace(plan, runs=runs, arms=arms)
    return plan.quick() if quick else plan
