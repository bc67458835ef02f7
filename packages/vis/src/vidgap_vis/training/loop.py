"""The training loop, on Accelerate: one process or many, stopped and resumed without a trace.

What a step computes depends on the weights before it, the seed and the step's number: the clips of
a batch and the points of the loss come from seeds made of them, never from a running generator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.tracking import get_available_trackers

from vidgap_segmenter import Losses, NonFiniteLoss
from vidgap_vis.classes import ClassList
from vidgap_vis.config import TrainConfig
from vidgap_vis.config.reading import flat
from vidgap_vis.data import ClipBatch, ClipDataset, EpochSampler, make_loader
from vidgap_vis.errors import ConfigError, InputError, TrainingError, TrainingInterrupted
from vidgap_vis.training.checkpoint import load_checkpoint, save_checkpoint
from vidgap_vis.training.metrics import MetricsLog
from vidgap_vis.training.optimizer import make_optimizer
from vidgap_vis.training.profile import StepProfile
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER, Provenance, open_run
from vidgap_vis.training.schedule import learning_rate_factor, set_learning_rates
from vidgap_vis.training.stopping import StopRequest
from vidgap_vis.training.units import TrainingUnit
from vidgap_vis.weights import Usage

logger = get_logger(__name__)

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The dtype of each precision; None: no autocast."""


@dataclass(frozen=True)
class Task:
    """What is trained on what.

    Attributes:
        unit: what a step computes, on any device.
        dataset: of clips.
        classes: what the labels mean.
        provenance: what the weights will have been made from.
        usage: how they are to be used, where that is known.
    """

    unit: TrainingUnit
    dataset: ClipDataset
    classes: ClassList
    provenance: Provenance
    usage: Usage | None = None


def train(
    accelerator: Accelerator,
    task: Task,
    settings: TrainConfig,
    run: Path,
    *,
    resume: bool = False,
    profile: bool = False,
) -> Path:
    """Train to the last step and write the weights.

    Args:
        accelerator: of `make_accelerator`.
        task: what is trained; its unit is changed in place.
        settings: how.
        run: the run's folder: new or empty, or the run to resume.
        resume: go on from its last checkpoint.
        profile: log where a step's time went.

    Returns:
        The folder of the weights, `run/weights`.

    Raises:
        TrainingInterrupted: a signal stopped it; a checkpoint was left.
        TrainingError: a loss or a gradient is not finite.
        InputError: a data file, the folder or the checkpoint is at fault.
    """
    if accelerator.is_main_process:
        open_run(run, task.provenance, resume=resume)
    accelerator.wait_for_everyone()
    loop = Loop(accelerator, task, settings, run, profile=profile)
    start, pending = load_checkpoint(accelerator, loop.scaler, run) if resume else (0, {})
    loop.run(start, pending)
    weights = run / WEIGHTS_FOLDER
    if accelerator.is_main_process:
        provenance = {**asdict(task.provenance), "steps": settings.steps}
        unit: TrainingUnit = accelerator.unwrap_model(loop.unit)
        unit.save(weights, task.classes, provenance, task.usage)
    accelerator.wait_for_everyone()
    if profile:
        logger.info(f"where a step's time goes:\n{loop.profile.table()}")
    return weights


class Loop:
    """The steps of one run.

    Args:
        accelerator: device, processes and precision.
        task: what is trained.
        settings: how.
        run: the run's folder.
        profile: measure where a step's time goes.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        task: Task,
        settings: TrainConfig,
        run: Path,
        *,
        profile: bool,
    ) -> None:
        self.accelerator, self.task, self.settings, self.folder = accelerator, task, settings, run
        self.device = device_of(accelerator, settings)
        self.profile = StepProfile(profile, self.device)
        self.profile.watch(task.unit.parts())
        optimizer = make_optimizer(task.unit.to(self.device), settings)
        self.unit, self.optimizer = accelerator.prepare(task.unit, optimizer)
        dtype = AUTOCAST[settings.precision]
        self.autocast = torch.autocast(self.device.type, dtype, enabled=dtype is not None)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        self.stage = task.provenance.stage
        self.trained = [p for p in self.unit.parameters() if p.requires_grad]

    def run(self, start: int, pending: Mapping[str, Any]) -> None:
        """Do steps `start` to the last, with checkpoints on the way and after the last.

        `pending` is of the log, what it had not written yet.
        """
        steps, every = self.settings.steps, self.settings.checkpoint_every
        self.unit.train()
        batches = self._batches(start)
        with StopRequest() as stop, self._log(start, pending) as log:
            for step in range(start, steps):
                try:
                    with self.profile.part("data"):
                        batch = next(batches).to(self.device, non_blocking=True)
                    losses, rate = self._step(step, batch)
                except (InputError, TrainingError):
                    if step > start and step % every:
                        self._rescue(step, log)
                    raise
                self.profile.end_step()
                done = step + 1
                log.add(done, losses, rate)
                stopping = self._agree(stop.wanted) and done < steps
                if stopping or done % every == 0 or done == steps:
                    self._save(done, log)
                if stopping:
                    raise TrainingInterrupted(self.folder, self.stage, done, steps) from stop.cause

    def _save(self, step: int, log: MetricsLog) -> None:
        save_checkpoint(self.accelerator, self.scaler, self.folder, step, log.pending())

    def _rescue(self, step: int, log: MetricsLog) -> None:
        """Save the state before a step that failed; the step has not changed it yet."""
        # Other processes are in the middle of the step, so saving together would wait for ever;
        # and weights that are no longer finite must not replace an older checkpoint.
        alone = self.accelerator.num_processes == 1
        if alone and all(bool(weight.isfinite().all()) for weight in self.trained):
            self._save(step, log)

    def _step(self, step: int, batch: ClipBatch) -> tuple[dict[str, float], float]:
        """Do one optimiser step; return its losses and the learning rate."""
        torch.manual_seed(step_seed(self.settings.seed, step, self.accelerator.process_index))
        try:
            with self.autocast:
                losses: Losses = self.unit(batch, step / self.settings.steps)
        except NonFiniteLoss as error:
            raise TrainingError(f"step {step + 1}: {error}") from error
        with self.profile.part("backward"):
            self.accelerator.backward(self.scaler.scale(losses.total))
        with self.profile.part("optimiser"):
            self.scaler.unscale_(self.optimizer)
            norm = self.accelerator.clip_grad_norm_(self.trained, self.settings.clip_norm)
            # fp16's scaler leaves such a step out; else it would make all weights nan.
            if not self.scaler.is_enabled() and not bool(torch.as_tensor(norm).isfinite()):
                raise TrainingError(f"step {step + 1}: the gradient is not finite")
            factor = learning_rate_factor(step, self.settings)
            set_learning_rates(self.optimizer, factor)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
        return numbers(losses), factor * self.settings.lr

    def _batches(self, start: int) -> Iterator[ClipBatch]:
        """Return the batches from step `start` on; they end with the last step."""
        ranks, size = self.accelerator.num_processes, self.settings.batch_size
        sampler = EpochSampler(
            len(self.task.dataset),
            self.settings.seed,
            start=start * size,
            stop=self.settings.steps * size,
            rank=self.accelerator.process_index,
            num_ranks=ranks,
        )
        return iter(
            make_loader(
                self.task.dataset,
                size // ranks,
                # Batches do not depend on the number of workers; more than cores only wait.
                min(self.settings.num_workers, os.cpu_count() or 1),
                sampler=sampler,
                padding_colour=self.task.unit.model.padding_colour,
                pin_memory=self.device.type == "cuda",
            )
        )

    def _log(self, start: int, pending: Mapping[str, Any]) -> MetricsLog:
        config = {".".join(key): str(value) for key, value in flat(self.task.provenance.config)}
        self.accelerator.init_trackers(self.stage, config)
        return MetricsLog(
            self.folder,
            self.stage,
            start=start,
            steps=self.settings.steps,
            every=self.settings.log_every,
            quiet=not self.accelerator.is_main_process,
            trackers=self.accelerator.trackers,
            pending=pending,
        )

    def _agree(self, stop: bool) -> bool:
        """Return whether any process was asked to stop: they stop after the same step."""
        if self.accelerator.num_processes == 1:
            return stop
        if stop:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())


def make_accelerator(settings: TrainConfig, run: Path) -> Accelerator:
    """Return what joins the processes and logs the numbers of a run in the folder `run`.

    Precision and, in a single process, the device are the loop's: Accelerate keeps those of its
    first use for the rest of the process.

    Raises:
        ConfigError: the device cannot train in the precision, the processes cannot share a batch
            evenly, or what is to log is not installed.
    """
    if settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    if settings.log_with not in (None, *map(str, get_available_trackers())):
        raise ConfigError("", "train.log_with", f"{settings.log_with} is not installed")
    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1  # as every launcher sets it
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=settings.device == "cpu" and distributed,
        device_placement=False,
        log_with=settings.log_with,
        project_dir=run,
    )
    if settings.precision == "fp16" and device_of(accelerator, settings).type == "cpu":
        raise ConfigError("", "train.precision", "fp16 needs a GPU; wanted bf16 or fp32 on a CPU")
    ranks, size = accelerator.num_processes, settings.batch_size
    if size % ranks:
        message = f"wanted a multiple of the {ranks} processes, got {size}"
        raise ConfigError("", "train.batch_size", message)
    return accelerator


def device_of(accelerator: Accelerator, settings: TrainConfig) -> torch.device:
    """Return the device that a process trains on."""
    return torch.device("cpu") if settings.device == "cpu" else accelerator.device


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what is random inside a step: the points of the loss."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


def numbers(losses: Losses) -> dict[str, float]:
    """Return the total and the unweighted losses of the last decoder level, in one transfer."""
    parts = {"loss": losses.total, **{name: part[0] for name, part in losses.parts.items()}}
    return dict(zip(parts, torch.stack(list(parts.values())).detach().tolist(), strict=True))
