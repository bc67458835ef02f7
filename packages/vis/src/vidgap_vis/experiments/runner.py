"""Run an experiment: data, trainings and arms of each seed, as processes side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vidgap_vis.config import PretrainConfig
from vidgap_vis.config.training import Precision
from vidgap_vis.errors import ConfigError
from vidgap_vis.experiments import arms
from vidgap_vis.experiments.elsewhere import read_elsewhere
from vidgap_vis.experiments.files import some_clips
from vidgap_vis.experiments.plan import FILE, Config, Experiment, read_experiment
from vidgap_vis.experiments.processes import Job, run_jobs, saying
from vidgap_vis.experiments.summary import Summary, summarise
from vidgap_vis.experiments.tables import Records
from vidgap_vis.files import replacing
from vidgap_vis.synthetic import SyntheticOptions, write_synthetic
from vidgap_vis.training.checkpoint import CHECKPOINT_FOLDER
from vidgap_vis.training.finetune import finetune
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.training.run_folder import WEIGHTS_FOLDER
from vidgap_vis.weights.provenance import sha256

RESULTS_FILE = "results.json"


def run_experiment(
    folder: Path,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    processes: int | None = None,
    gpus: Sequence[int] = (),
    precision: Precision | None = None,
    root: Path | None = None,
    elsewhere: Sequence[Path] = (),
    quick: bool = False,
) -> Summary:
    """Do what of an experiment is not done yet, and summarise it in `out/results.json`.

    ```text
    out/seed_1/data/                   the generated data, or which files' clips are used
    out/seed_1/runs/NAME/              a training's run folder, NAME.log beside it
    out/seed_1/arms/NAME.json          an arm's results, NAME.metrics.json what was measured
    ```

    Args:
        folder: holds `arms.yaml`.
        out: where everything goes; a folder of the same experiment goes on where it was left.
        seeds: None: the experiment's.
        processes: at once, a thread each; None: one for each GPU, without any one for each core,
            at most two.
        gpus: on which everything is trained and tracked, dealt out to the processes; none: the CPU.
        precision: in which everything is trained; None: what the experiment says.
        root: the folder of the experiment's files, where it has files.
        elsewhere: `results.json` files of other seeds, which the tables have, too.
        quick: a few steps, on a few clips if generated, to see it run.

    Raises:
        ConfigError: the experiment is wrong, a root is missing or not wanted, or `out` holds
            another experiment.
        InputError: a training or an arm cannot be done, or a file of `elsewhere` does not go with
            this experiment and these seeds.
    """
    experiment = read_experiment(folder).on_each()
    if experiment.files is not None:
        root = experiment.files.check(root)
    elif root is not None:
        raise ConfigError("", "--root", "wanted for experiments on files alone")
    if seeds is not None:
        experiment = replace(experiment, seeds=tuple(seeds))
    if quick:
        experiment = experiment.quick()
    marks = [mark for mark in ("quick" if quick else None, precision) if mark]
    check_is_the_same(folder, out, marks)
    others = read_elsewhere(elsewhere, sha256(out / FILE), experiment.seeds)
    device = {"device": "auto"} if gpus else {}
    given = device if precision is None else {**device, "precision": precision}
    jobs: dict[str, Job] = {}
    for seed in experiment.seeds:
        jobs |= seed_jobs(experiment, seed, out / f"seed_{seed}", given, root)
    with counting(len(jobs)) as progress:
        done = run_jobs(jobs, progress, processes, gpus)
    records: Records = {
        name: {seed: done[f"seed {seed}: {name}"] for seed in experiment.seeds}
        for name in experiment.arms
    }
    summary = summarise(experiment, records, out, root, others)
    with replacing(out / RESULTS_FILE) as temporary:
        temporary.write_text(json.dumps(summary.data, indent=1) + "\n", encoding="utf-8")
    return summary


def check_is_the_same(folder: Path, out: Path, marks: Sequence[str]) -> None:
    """Keep a copy of `arms.yaml`; ConfigError where there is one of another experiment.

    Args:
        folder: holds it.
        out: where the copy goes.
        marks: what of a run is otherwise than it says.
    """
    first = f"# {', '.join(marks)}\n" if marks else ""
    kept, now = out / FILE, first.encode() + (folder / FILE).read_bytes()
    if kept.is_file() and kept.read_bytes() != now:
        message = f"{out} holds runs of another {FILE} than {folder / FILE}; choose another folder"
        raise ConfigError("", "--out", message)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as temporary:
        temporary.write_bytes(now)


def seed_jobs(
    experiment: Experiment,
    seed: int,
    out: Path,
    given: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> dict[str, Job]:
    """Return the jobs of a seed; those of arms return their `Record`.

    Args:
        experiment: what is done.
        seed: of data and training.
        out: the seed's folder.
        given: of trainings, what is otherwise than the experiment says; arms are tracked on its
            `device`, without one on the CPU.
        root: the folder of the experiment's files; None: data are generated.
    """
    folder = out / "data"
    data = f"seed {seed}: data"
    if root is None:
        root = folder
        jobs = {data: Job(partial(generate, root, experiment.data(seed)))}
    else:
        jobs = {data: Job(partial(choose, experiment, root, folder, seed))}
    for name, run in experiment.runs.items():
        config = experiment.config(name, seed, root, folder, given)
        start = None if run.init is None else out / "runs" / run.init
        needs = data if run.init is None else f"seed {seed}: run {run.init}"
        jobs[f"seed {seed}: run {name}"] = Job(
            partial(train, config, start, out / "runs" / name), needs
        )
    for name, arm in experiment.arms.items():
        weights = out / "runs" / arm.run / WEIGHTS_FOLDER if arm.run else None
        truth = experiment.truth_of(name, folder) if arm.copies is None else None
        where = (given or {}).get("device", "cpu")
        like = experiment.like(name)
        measured = (name, arm, weights, root, truth, out / "arms", where)
        call = partial(arms.measure, *measured, like=like)
        needs = f"seed {seed}: {like or f'run {arm.run}'}" if arm.run else data
        jobs[f"seed {seed}: {name}"] = Job(call, needs)
    return jobs


def generate(root: Path, options: SyntheticOptions) -> None:
    """Write the data, unless they are there."""
    if not root.is_dir():
        write_synthetic(root, options, progress=False)


def choose(experiment: Experiment, root: Path, folder: Path, seed: int) -> None:
    """Write the annotations of the clips that runs with fewer of them, and held-out sets, have."""
    assert experiment.files is not None
    for name, held_out in experiment.files.held_out.items():
        if held_out.videos:
            experiment.files.write_set(root, folder, name)
    for run in experiment.runs.values():
        if run.clips and not some_clips(folder, seed, run.clips).is_file():
            experiment.files.write_some(root, folder, seed, run.clips)


def train(config: Config, parent: Path | None, folder: Path, *, profile: bool = False) -> None:
    """Do a training, or the rest of it, unless it is done; what it says goes into a log.

    Args:
        config: of the run.
        parent: the run folder that it starts from.
        folder: the run's.
        profile: log where a step's time goes.
    """
    if (folder / WEIGHTS_FOLDER).is_dir():
        return
    resume = (folder / CHECKPOINT_FOLDER).is_dir()
    if folder.exists() and not resume:
        shutil.rmtree(folder)  # stopped before its first checkpoint
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = None if parent is None else parent / WEIGHTS_FOLDER
    with saying(folder.with_name(f"{folder.name}.log")):
        if isinstance(config, PretrainConfig):
            pretrain(config, folder, start, resume=resume, profile=profile)
        else:
            finetune(config, start, folder, resume=resume, profile=profile)


@contextmanager
def counting(total: int) -> Iterator[Callable[[int], Any]]:
    """Yield what shows how many of some jobs are done."""
    with tqdm(total=total, unit="job", dynamic_ncols=True, mininterval=0) as bar:
        yield lambda done: bar.update(done - bar.n)
