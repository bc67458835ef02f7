"""What an experiment is: generated data, trainings, arms and seeds, read from `arms.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from vidgap_vis.config import FinetuneConfig, PretrainConfig, TrackerConfig
from vidgap_vis.config.reading import construct, flat, read_files
from vidgap_vis.errors import ConfigError
from vidgap_vis.experiments.files import ClipFiles, Files, Key, StillFiles
from vidgap_vis.synthetic import SyntheticOptions, world

FILE = "arms.yaml"

Stage: TypeAlias = Literal["pretrain", "finetune"]
Config: TypeAlias = PretrainConfig | FinetuneConfig

CONFIGS: dict[Stage, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
}

GENERATED = Files(
    StillFiles(Path("images_train.json"), Path("images")),
    ClipFiles(Path("clips_train.json"), Path("frames")),
    {"": ClipFiles(Path("clips_valid.json"), Path("frames"))},
)
"""Of generated data, in their folder."""

QUICK_STEPS = 3
"""One more than a profile leaves out."""

QUICK_DATA = {"num_train_images": 8, "num_train_clips": 2, "num_valid_clips": 3}
QUICK_FRAMES = 6
"""Of a clip, where no world says how many."""


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        stage: `pretrain` or `finetune`.
        config: what differs from `common`.
        init: the run whose weights it starts from.
        clips: of `files`, how many fine-tuning has; null: all.
    """

    stage: Stage
    config: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    clips: int | None = None


@dataclass(frozen=True)
class Arm:
    """A row of a table: what a run has trained, measured on clips or on stills.

    Attributes:
        run: its name; "": nothing is learned, bright things are tracked (`brightness`), for files
            of one class.
        tracker: a name and options; empty: that of the weights.
        copies: null: the held-out clips are tracked. Else the held-out stills are segmented, each
            as a clip of so many copies (paper A.2).
        memory: off: on clips, the temporal module sees each frame alone.
        held_out: of `files`, what it is measured on; each arm is, on all of them in turn.
    """

    run: str
    tracker: dict[str, Any] = field(default_factory=dict)
    copies: int | None = None
    memory: bool = True
    held_out: str = ""


@dataclass(frozen=True)
class Experiment:
    """Arms by seeds, on generated data or on files.

    Attributes:
        about: the question, one line.
        against: the arm that the others on clips are compared with.
        runs: the trainings, by name.
        arms: the rows, by name.
        pairs: further comparisons, of an arm with another.
        seeds: of data and training; what is reported.
        world: the generated world (`synthetic.WORLDS`); null: that of the defaults.
        synthetic: what differs from it; of a named world, the amounts alone.
        files: data that are there already; null: generated ones.
        common: what the configurations of all runs of a stage share.
    """

    about: str
    against: str
    runs: dict[str, Run]
    arms: dict[str, Arm]
    pairs: tuple[tuple[str, str], ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    world: str | None = None
    synthetic: dict[str, Any] = field(default_factory=dict)
    files: Files | None = None
    common: dict[Stage, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError("", "seeds", f"wanted different ones from 0 on, got {self.seeds}")
        if self.against not in self.on_clips or not self.arms[self.against].run:
            message = f"wanted one of the arms on clips, with a run, got {self.against!r}"
            raise ConfigError("", "against", message)
        for index, pair in enumerate(self.pairs):
            kinds = [name in self.on_clips for name in pair if name in self.arms]
            if len(kinds) < len(pair) or len(set(kinds)) > 1 or pair[0] == pair[1]:
                message = f"wanted two arms, both on clips or both on stills, got {[*pair]}"
                raise ConfigError("", f"pairs[{index}]", message)
        if self.files is not None and (self.world or self.synthetic or self.on_stills):
            given = {"world": self.world, "synthetic": self.synthetic, "copies": self.on_stills}
            others = ", ".join(name for name, value in given.items() if value)
            message = f"wanted without world, synthetic and arms on stills, got {others} beside it"
            raise ConfigError("", "files", message)
        for name, run in self.runs.items():
            if run.clips is not None and (self.files is None or run.clips < 0):
                message = f"wanted with files, 0 or more, got {run.clips}"
                raise ConfigError("", f"runs.{name}.clips", message)
            if run.init is not None and run.init not in [*self.runs][: [*self.runs].index(name)]:
                message = f"wanted a run that stands before, got {run.init!r}"
                raise ConfigError("", f"runs.{name}.init", message)
            if run.init is None and run.stage == "finetune":
                raise ConfigError("", f"runs.{name}.init", "missing, fine-tuning starts from a run")
        for name, arm in self.arms.items():
            if not arm.run:
                if self.files is None or arm != Arm("", held_out=arm.held_out):
                    message = "wanted a run; none is for experiments on files, and stands alone"
                    raise ConfigError("", f"arms.{name}.run", message)
            elif arm.run not in self.runs:
                raise ConfigError("", f"arms.{name}.run", f"wanted a run, got {arm.run!r}")
            if arm.copies is not None and (arm.copies < 1 or arm.tracker or not arm.memory):
                message = f"wanted 1 or more, with memory and no tracker, got {arm.copies}"
                raise ConfigError("", f"arms.{name}.copies", message)

    @property
    def on_clips(self) -> list[str]:
        """The arms that are measured on clips."""
        return [name for name, arm in self.arms.items() if arm.copies is None]

    @property
    def data_files(self) -> Files:
        """The files, or those of generated data."""
        return GENERATED if self.files is None else self.files

    def truth_of(self, name: str, folder: Path) -> ClipFiles:
        """Return what an arm on clips is measured on, below the folder of the data.

        Args:
            name: the arm's.
            folder: of the seed's annotations of some clips.
        """
        return self.data_files.set_of(self.arms[name].held_out, folder)

    @property
    def compared(self) -> list[str]:
        """The arms on clips whose truth is known."""
        sets = self.data_files.held_out
        return [name for name in self.on_clips if sets[self.arms[name].held_out].truth]

    @property
    def on_stills(self) -> list[str]:
        """The arms that are measured on stills."""
        return [name for name, arm in self.arms.items() if arm.copies is not None]

    def data(self, seed: int) -> SyntheticOptions:
        """Return what the data of a seed are made of.

        Raises:
            ConfigError: an option is wrong, or there is no still for arms on stills.
        """
        options = construct(SyntheticOptions, [*flat(self.synthetic), (("seed",), seed)])
        if self.on_stills and options.num_valid_images == 0:
            message = "wanted 1 or more for arms on stills, got 0"
            raise ConfigError("", "synthetic.num_valid_images", message)
        if self.world is None:
            return options
        amounts = {name: getattr(options, name) for name in ("seed", *self.synthetic)}
        try:
            return world(self.world, **amounts)
        except ValueError as error:
            raise ConfigError("", "world", str(error)) from error

    def config(
        self,
        name: str,
        seed: int,
        root: Path,
        folder: Path | None = None,
        train: Mapping[str, Any] | None = None,
    ) -> Config:
        """Return the configuration of a run.

        Args:
            name: the run's.
            seed: of data and training.
            root: the folder of the data.
            folder: of the seed's annotations of some clips; None: `root`.
            train: of its section `train`, what is otherwise than the experiment says.

        Raises:
            ConfigError: it is none; the key is named from the run on.
        """
        run = self.runs[name]
        given = {**dict(flat(self.common.get(run.stage, {}))), **dict(flat(run.config))}
        files = self.data_files
        forced: dict[Key, Any] = {("train", "seed"): seed}
        if run.stage == "pretrain":
            forced |= files.of_stills(root)
        else:
            forced |= files.of_clips(root, seed, run.clips, folder or root)
        forced |= {("train", key): value for key, value in (train or {}).items()}
        pseudo = [pair for pair in given.items() if pair[0][:2] == ("data", "pseudo")]
        if pseudo and pseudo[-1] != (("data", "pseudo"), None):  # it switches off what `common` has
            forced |= files.of_pseudo(root)
        try:
            return construct(CONFIGS[run.stage], [*given.items(), *forced.items()])
        except ConfigError as error:
            raise ConfigError("", f"runs.{name}.config.{error.item}", error.message) from error

    def like(self, name: str) -> str | None:
        """Return the first arm that has another tracker than one at most; None: it is that one."""
        arm = self.arms[name]
        alike = (one for one, two in self.arms.items() if replace(two, tracker=arm.tracker) == arm)
        first = next(alike)
        return None if first == name else first

    @property
    def rival(self) -> str:
        """`against`, as it is called without the set that it is measured on."""
        return self.against.removesuffix(on("", self.arms[self.against].held_out))

    def rival_of(self, name: str) -> str | None:
        """Return the arm that one is compared with, on the same clips; None: it is that one."""
        held_out = self.arms[name].held_out
        rival = on(self.rival, held_out) if held_out else self.rival
        return None if rival == name else rival

    def on_each(self) -> Experiment:
        """Return the same with each arm on each held-out set of `files`, as an arm of its own."""
        if self.files is None:
            return self
        sets = self.files.held_out
        arms = {
            on(name, held_out): replace(arm, held_out=held_out)
            for held_out in sets
            for name, arm in self.arms.items()
        }
        known = [held_out for held_out, files in sets.items() if files.truth]
        pairs = tuple((on(one, s), on(two, s)) for s in known for one, two in self.pairs)
        return replace(self, arms=arms, pairs=pairs, against=on(self.against, known[0]))

    def quick(self) -> Experiment:
        """Return the same with a few steps, on a few clips if generated; numbers mean nothing."""
        common = {
            stage: {**(config := self.common.get(stage, {})), "train": _train(config)}
            for stage in CONFIGS
        }
        runs = {
            name: replace(run, config={**run.config, "train": _train(run.config)})
            for name, run in self.runs.items()
        }
        if self.files is not None:
            return replace(self, common=common, runs=runs)
        data = QUICK_DATA if self.world else QUICK_DATA | {"num_frames": QUICK_FRAMES}
        if self.on_stills:
            data = data | {"num_valid_images": 4}
        return replace(self, common=common, runs=runs, synthetic={**self.synthetic, **data})


def read_experiment(folder: Path) -> Experiment:
    """Read an experiment's `arms.yaml`, and check all that can be known before hours of training.

    Raises:
        ConfigError: it is missing or wrong; the key is named.
    """
    path = folder / FILE
    if not path.is_file():
        raise ConfigError(folder, "", f"holds no experiment ({FILE} is missing)")
    contents = read_files(path)
    if len(contents) > 1:
        raise ConfigError(path, "base", "wanted none: results go with one file, by its hash")
    pairs = [*flat(contents[str(path)])]
    try:
        experiment = construct(Experiment, pairs)
        if experiment.files is None:
            experiment.data(experiment.seeds[0])
        for name in experiment.runs:
            _check_run(name, experiment.runs)
            experiment.config(name, experiment.seeds[0], folder)
        for name, arm in experiment.arms.items():
            _check_arm(name, arm)
    except ConfigError as error:
        raise ConfigError(path, error.item, error.message) from error
    return experiment


def on(arm: str, held_out: str) -> str:
    """Return the name of an arm on a held-out set."""
    return f"{arm} on {held_out}"


def _check_run(name: str, others: Iterable[str]) -> None:
    """Raise ConfigError where a run's folder would not lie in that of all runs, or holds others."""
    path = Path(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or str(path) != name:
        message = f"wanted names of folders in one another, as video/pretrain, got {name!r}"
        raise ConfigError("", "runs", message)
    for other in others:
        if path in Path(other).parents:
            message = f"wanted no run in another's folder, got {name!r} and {other!r}"
            raise ConfigError("", "runs", message)


def _check_arm(name: str, arm: Arm) -> None:
    """Raise ConfigError where no file can have an arm's name, or no tracker its name or options."""
    if Path(name).name != name:
        raise ConfigError("", "arms", f"wanted names that a file can have, got {name!r}")
    if arm.held_out:
        message = f"wanted none, each arm is measured on every set, got {arm.held_out!r}"
        raise ConfigError("", f"arms.{name}.held_out", message)
    try:
        construct(TrackerConfig, flat(arm.tracker))
    except ConfigError as error:
        raise ConfigError("", f"arms.{name}.tracker.{error.item}", error.message) from error


def _train(config: dict[str, Any]) -> dict[str, Any]:
    return {**config.get("train", {}), "steps": QUICK_STEPS, "warmup_steps": 0, "milestones": []}
