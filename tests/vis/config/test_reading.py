"""Configurations: defaults, YAML in and out, and what a mistake reads like."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from vis.support.tiny_runs import finetune_config, pretrain_config

from vidgap_segmenter import (
    ClipCriterion,
    Criterion,
    Mask2Former,
    Mask2FormerVIS,
    MaskDINO,
    MaskDINOCriterion,
    SeqFormer,
    SeqFormerCriterion,
)
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.cli.parser import Parser, attribute_texts
from vidgap_vis.config import (
    FinetuneConfig,
    HeadConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    PseudoDataConfig,
    TemporalConfig,
    TrainConfig,
    VideoDataConfig,
)
from vidgap_vis.config.reading import read_files, to_mapping, write_yaml
from vidgap_vis.errors import ConfigError
from vidgap_vis.trackers.dvis import ReferringTracker, TemporalRefiner
from vidgap_vis.trackers.vita import VITA

Config = TypeVar("Config")
CONFIGS = Path(__file__).parents[3] / "configs"


def read(path: Path, section: type[Config]) -> Config:
    """Read a file as `-c` does."""
    parser = Parser("vidgap")
    parser.add_section(section)
    parser.parse(["-c", str(path)])
    return parser.configuration(section)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_project_is_one(path: Path) -> None:
    stage = PretrainConfig if path.name.startswith("pretrain_") else FinetuneConfig
    config = read(path, stage)
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    command = (
        f"# vidgap {'pretrain' if stage is PretrainConfig else 'finetune'} -c configs/{path.name}"
    )
    assert any(line.startswith(command) for line in header)
    assert config.train.steps > 0


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {root: .}\n")
    pretrain = read(path, PretrainConfig)
    finetune = read(path, FinetuneConfig)
    assert (pretrain.clip.num_frames, pretrain.clip.max_rotation_deg) == (3, 15.0)
    assert (pretrain.clip.size, pretrain.clip.scale_range) == ((1024, 1024), (0.1, 2.0))
    assert (pretrain.train.steps, pretrain.train.milestones) == (368_750, (327_778, 355_092))
    assert (finetune.train.steps, finetune.train.milestones) == (16_000, (6_000, 12_000))
    assert (finetune.clip.num_frames, finetune.clip.frame_range) == (10, 20)
    for config in (pretrain, finetune):
        train = config.train
        assert (train.batch_size, train.lr, train.weight_decay) == (16, 1e-4, 0.05)
        assert (train.backbone_multiplier, train.clip_norm) == (0.1, 0.01)
        assert config.temporal == TemporalConfig()


def test_a_section_given_in_part_keeps_the_stages_own_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {root: .}\ntrain: {lr: 3e-4}\n")
    train = read(tmp_path / "run.yaml", FinetuneConfig).train
    assert train == replace(FinetuneConfig(VideoDataConfig(Path())).train, lr=3e-4)


@pytest.mark.parametrize("temporal", [None, TemporalConfig(gru_channels=8)], ids=["off", "on"])
def test_yaml_gives_back_an_equal_configuration(
    tmp_path: Path, temporal: TemporalConfig | None
) -> None:
    config = replace(pretrain_config(tmp_path), temporal=temporal)
    write_yaml(tmp_path / "run.yaml", to_mapping(config))
    assert read(tmp_path / "run.yaml", PretrainConfig) == config


def test_yaml_gives_back_nested_sections_and_integer_keys(tmp_path: Path) -> None:
    config = finetune_config(tmp_path)
    pseudo = PseudoDataConfig(tmp_path, ratio=0.5, category_map={3: 7})
    config = replace(config, data=replace(config.data, pseudo=pseudo))
    write_yaml(tmp_path / "run.yaml", to_mapping(config))
    assert read(tmp_path / "run.yaml", FinetuneConfig) == config


@pytest.mark.parametrize("name", ["1e5", "12", "1.5", "null", "no", "2026-01-01", "~"])
def test_yaml_gives_back_a_text_that_looks_like_something_else(tmp_path: Path, name: str) -> None:
    write_yaml(tmp_path / "run.yaml", {"data": {"root": name}})
    assert read(tmp_path / "run.yaml", PretrainConfig).data.root == Path(name)


def test_numbers_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {root: .}\ntrain: {lr: 1e-3, weight_decay: 0}\n")
    train = read(tmp_path / "run.yaml", PretrainConfig).train
    assert (train.lr, train.weight_decay) == (1e-3, 0.0)
    assert isinstance(train.weight_decay, float)


def test_a_value_may_stand_for_another(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("a: &one {x: 1}\nb: {inner: *one}\n")
    assert read_files(path) == {str(path): {"a": {"x": 1}, "b": {"inner": {"x": 1}}}}


MISTAKES = {
    "clip: {num_framez: 3}": "clip.num_framez: unknown key (did you mean num_frames?)",
    "clipp: {}": "clipp: unknown key (did you mean clip?)",
    "qwxyz: 1": "qwxyz: unknown key (known: data, clip, model, temporal, loss, contrast, train, "
    "frames_apart)",
    "clip: 3": "clip: wanted a section of `key: value` lines, got 3",
    "clip: {num_frames: many}": "clip.num_frames: wanted a whole number, got 'many'",
    "clip: {num_frames: 2.5}": "clip.num_frames: wanted a whole number, got 2.5",
    "clip: {num_frames: true}": "clip.num_frames: wanted a whole number, got True",
    "clip: {num_frames: 0}": "clip.num_frames: wanted a number above 0, got 0",
    "clip: {flip_probability: 1.5}": "clip.flip_probability: wanted a number in 0..1, got 1.5",
    "clip: {max_rotation_deg: fast}": "clip.max_rotation_deg: wanted a number, got 'fast'",
    "clip: {max_rotation_deg: .nan}": "clip.max_rotation_deg: wanted an angle in 0..180, got nan",
    "clip: {size: [1, 2, 3]}": "clip.size: wanted a list of 2, each a whole number, or null, "
    "got [1, 2, 3]",
    "clip: {size: [1, b]}": "clip.size[1]: wanted a whole number, got 'b'",
    "clip: {scale_range: [2, 1]}": "clip.scale_range: wanted [low, high] within 0.001..1000, "
    "got (2.0, 1.0)",
    "model: {train_backbone: maybe}": "model.train_backbone: wanted true or false, or null, "
    "got 'maybe'",
    "model: {num_heads: 3}": "model.channels: wanted a multiple of model.num_heads (3), got 256",
    "temporal: {pairing: odd}": "temporal.pairing: wanted one of half, adjacent, or null, "
    "got 'odd'",
    "temporal: {num_gru_layers: -1}": "temporal.num_gru_layers: wanted 0 or more layers, or null, "
    "got -1",
    "train: {steps: 10}": "train.milestones: wanted steps below train.steps (10), "
    "got (327778, 355092)",
    "train: {precision: no}": "train.precision: wanted one of fp32, bf16, fp16, got False",
    "train: {num_threads: 0}": "train.num_threads: wanted 1 or more, or null, got 0",
    "loss: {oversample: .inf}": "loss.oversample: wanted 1 or more, or null, got inf",
    "train: {lr: .inf}": "train.lr: wanted a number above 0, got inf",
    "train: {weight_decay: .inf}": "train.weight_decay: wanted 0 or more, got inf",
    f"train: {{seed: {2**63}}}": f"train.seed: wanted 0 to 2**63 - 1, got {2**63}",
    "loss: {importance: 2}": "loss.importance: wanted a number in 0..1, or null, got 2.0",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_names_file_key_and_what_is_wanted(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: .}}\n{line}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: {message}")) as caught:
        read(path, PretrainConfig)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


FILES = {
    "clip: [3\n": "line 2, column 1: broken YAML",
    "clip: {}\ntrain: {}\nclip: {}\n": "line 3, column 1: broken YAML: key 'clip' stands twice",
    "- 3\n": "wanted sections as `key: value`, got [3]",
    "data: !!python/object:os.system {}\n": "broken YAML: could not determine a constructor",
    "a: &one {x: 1}\nb: {<<: *one}\n": "line 2, column 5: broken YAML: merging (<<) is not taken",
    "a: {b: {c: 1, d: 2, c: 3}}\n": "line 1, column 21: broken YAML: key 'c' stands twice",
    "a: {!!binary aGk=: 1}\n": "cannot be read (keys must be str",
    "data: &one {root: *one}\n": "cannot be read (Circular reference detected)",
    "data: " + 3000 * "[" + "\n": "cannot be read (maximum recursion depth exceeded",
    'base: "\\0"\n': r"base: wanted a path, got '\x00'",
}


@pytest.mark.parametrize(("content", "message"), FILES.items(), ids=[repr(key) for key in FILES])
def test_a_broken_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: .*{re.escape(message)}"):
        read(path, PretrainConfig)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe\x00")])
def test_what_is_no_text_file_is_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=r"run\.yaml: (cannot be read|not a text file)"):
        read(tmp_path / "run.yaml", PretrainConfig)


def test_a_file_changes_values_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "base.yaml").write_text(
        "data: {root: a}\nclip: {num_frames: 5, size: null}\ntrain: {lr: 3e-4}\n"
    )
    path = tmp_path / "run.yaml"
    path.write_text("base: below/base.yaml\nclip: {num_frames: 7}\ntemporal: null\n")
    config = read(path, PretrainConfig)
    assert (config.data.root, config.train.lr, config.temporal) == (Path("a"), 3e-4, None)
    assert (config.clip.num_frames, config.clip.size) == (7, None)


BASES = {
    "clip: {num_framez: 3}": "base.yaml: clip.num_framez: unknown key (did you mean num_frames?)",
    "clip: {num_frames: 0}": "base.yaml: clip.num_frames: wanted a number above 0, got 0",
    "base: more.yaml": "base.yaml: base: wanted none in a file that is a base itself, "
    "got 'more.yaml'",
    "clip: [3": "base.yaml: line 2, column 1: broken YAML",
}


@pytest.mark.parametrize(("line", "message"), BASES.items(), ids=BASES)
def test_a_mistake_in_a_base_names_the_base(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "base.yaml").write_text(f"{line}\n")
    (tmp_path / "run.yaml").write_text("base: base.yaml\ndata: {root: .}\nclip: {size: null}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/{message}")):
        read(tmp_path / "run.yaml", PretrainConfig)


def test_a_base_that_is_no_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("base: [3]\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: base: wanted a path, got [3]")):
        read(path, PretrainConfig)
    path.write_text("base: nowhere.yaml\n")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        read(path, PretrainConfig)


def test_the_last_file_wins_and_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("data: {root: .}\nclip: {num_frames: 0}\ntemporal: null\n")
    two.write_text("clip: {num_frames: 4}\ntemporal: {window_size: 4}\n")
    parser = Parser("vidgap")
    parser.add_section(PretrainConfig)
    parser.parse(["-c", str(one), "-c", str(two)])
    config = parser.configuration(PretrainConfig)
    assert (config.clip.num_frames, config.temporal) == (4, TemporalConfig(window_size=4))
    two.write_text("clip: {num_frames: -1}\n")
    parser = Parser("vidgap")
    parser.add_section(PretrainConfig)
    parser.parse(["-c", str(one), "-c", str(two)])
    with pytest.raises(ConfigError, match=re.escape(f"{two}: clip.num_frames: ")):
        parser.configuration(PretrainConfig)


CONSTRUCTORS = {
    ModelConfig: (Mask2Former, Mask2FormerVIS, MaskDINO, SeqFormer),
    TemporalConfig: (MultiScaleTemporalModule,),
    LossConfig: (Criterion, ClipCriterion, MaskDINOCriterion, SeqFormerCriterion),
    HeadConfig: (ReferringTracker, TemporalRefiner, VITA),
}


@pytest.mark.parametrize("section", CONSTRUCTORS)
def test_help_tells_what_a_constructor_takes_for_null(section: type) -> None:
    texts = attribute_texts(section)
    for field in fields(section):  # type: ignore[arg-type]
        for constructor in CONSTRUCTORS[section]:
            parameter = inspect.signature(constructor).parameters.get(field.name)
            if parameter is None or parameter.default is None or field.default is not None:
                continue
            default = parameter.default
            words = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            words = {"True": "on", "False": "off"}.get(words, words)
            said = texts[field.name].partition("null: ")[2].replace("`", "")
            assert re.search(rf"(^|Mask DINO |SeqFormer |GenVIS ){re.escape(words)}\b", said), (
                field.name,
                said,
            )


def test_sections_check_themselves_in_python_too() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: wanted a number above 0, got 0"):
        TrainConfig(batch_size=0)
    with pytest.raises(ConfigError, match=r"data\.pseudo\.ratio: wanted a number above 0"):
        PseudoDataConfig(Path(), ratio=-1)


TRAININGS = {
    "head: {}": "head.name: missing",
    "head: {name: dviss}": (
        "head.name: wanted one of dvis, dvis_offline, vita, genvis, masktrack, got 'dviss'"
    ),
    "head: {name: vita, num_headz: 2}": "head.num_headz: unknown key (did you mean num_heads?)",
    "head: {name: vita, num_queries: 0}": (
        "head.num_queries: wanted a number above 0, or null, got 0"
    ),
    "head: {name: dvis, num_queries: 5}": (
        "head.num_queries: wanted null unless head.name is vita or genvis, got 5"
    ),
    "head: {name: dvis_offline, reuse_queries: true}": (
        "head.reuse_queries: wanted null unless head.name is dvis, got True"
    ),
    "head: {name: masktrack, num_layers: 5}": (
        "head.num_layers: wanted null unless head.name is dvis or dvis_offline or vita or "
        "genvis, got 5"
    ),
    "head: {name: dvis, num_heads: 3}": (
        "head.num_heads: wanted a divisor of model.channels (256), got 3"
    ),
    "head: {name: vita, num_levels: 11}": (
        "head.num_levels: wanted at most the 10 levels of the segmenter's decoder, got 11"
    ),
    "head: {name: dvis}\ncontrast: {}": (
        "head: wanted null beside a section contrast, they are two trainings"
    ),
    "head: {name: vita}\nmodel: {architecture: mask_dino}": (
        "head.name: wanted null unless model.architecture is mask2former, got 'vita'"
    ),
    "head: {name: masktrack}\nmodel: {architecture: seqformer}": (
        "head.name: wanted null unless model.architecture is mask2former or mask_dino, got "
        "'masktrack'"
    ),
    "head: {name: dvis}\nclip: {num_frames: 1}": (
        "clip.num_frames: wanted 2 or more for head.name dvis, got 1"
    ),
    "head: {name: genvis, clip_frames: 3}\nclip: {num_frames: 10}": (
        "clip.num_frames: wanted two or more whole clips of head.clip_frames (3), got 10"
    ),
    "head: {name: genvis, clip_frames: 3}\nclip: {num_frames: 3}": (
        "clip.num_frames: wanted two or more whole clips of head.clip_frames (3), got 3"
    ),
    "head: {name: dvis}\ntracker: {name: vita}": (
        "tracker.name: wanted dvis, or null, with head.name dvis, got 'vita'"
    ),
    "head: {name: dvis_offline}\ntracker: {name: ctvis}": (
        "tracker.name: wanted dvis_offline or dvis, or null, with head.name dvis_offline, "
        "got 'ctvis'"
    ),
    "contrast: {method: other}": "contrast.method: wanted one of ctvis, idol, got 'other'",
    "contrast: {negatives: 3}": (
        "contrast.negatives: wanted null unless contrast.method is idol, got 3"
    ),
    "contrast: {idol_compat: true}": (
        "contrast.idol_compat: wanted false unless contrast.method is idol, got True"
    ),
    "contrast: {method: idol, memory: last}": (
        "contrast.memory: wanted null unless contrast.method is ctvis, got 'last'"
    ),
    "contrast: {method: idol}": (
        "model.embedding_dim: wanted a number where contrast.method is idol, got None"
    ),
}


@pytest.mark.parametrize(("lines", "message"), TRAININGS.items(), ids=TRAININGS)
def test_what_cannot_be_trained_is_named(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: .}}\n{lines}\n")
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(path, FinetuneConfig)
