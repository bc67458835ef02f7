"""Start a run from a parent's weights, and report what was taken over and what was not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidgap_segmenter import ClipSegmenter, Mask2Former, Mask2FormerVIS, SavableTemporalModule
from vidgap_segmenter.weights import ARCHITECTURE, CLASS_WEIGHTS, CONFIG_FILE
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.weights.folder import fit, read_folder

SETTINGS_OF_A_RUN = ("num_classes", "train_backbone", "init")
"""Settings in which a child may well differ from its parent."""

PARENTS = {Mask2FormerVIS.architecture: (Mask2Former.architecture,)}
"""Networks -> others with the same weights, from which they may start."""

OPTIONAL = {"temporal.": "temporal module", "decoder.embedding_head.": "embedding head"}
"""Parts that a parent may lack, by the prefix of their weights."""


def initialise(
    model: ClipSegmenter, classes: ClassList, folder: str | Path, *, complete: bool = False
) -> str:
    """Load a parent's weights into a model that is to be fine-tuned.

    The class head keeps its fresh values where the class list differs, and the temporal module and
    the embedding head theirs where the parent has none; anything else must fit. A Mask2Former-VIS
    may start from a Mask2Former.

    Args:
        model: changed in place.
        classes: of the new data.
        folder: the parent's weights folder.
        complete: nothing may start afresh, because the model does not learn.

    Returns:
        What was not taken over, one line per weight, under a headline.

    Raises:
        InputError: as for `load`; or `complete` is wanted and not so.
    """
    folder = Path(folder)
    config, state, before = read_folder(folder)
    found = config["segmenter"].get(ARCHITECTURE, Mask2Former.architecture)
    if found != model.architecture and found not in PARENTS.get(model.architecture, ()):
        message = f"wanted {model.architecture}, as this run's model, got {found}"
        raise InputError(folder / CONFIG_FILE, f"segmenter.{ARCHITECTURE}", message)
    fresh: list[str] = []
    if [info.name for info in before] != [info.name for info in classes]:
        own = model.state_dict()
        fresh += [name for name in CLASS_WEIGHTS if name in own]
        state = {name: tensor for name, tensor in state.items() if name not in CLASS_WEIGHTS}
    absent = {p: w for p, w in OPTIONAL.items() if not any(n.startswith(p) for n in state)}
    fresh += absent
    missing = fit(model, state, folder, allow_missing=tuple(fresh))
    lines = [f"{folder}: {len(state)} weights taken over, {len(missing)} start afresh"]
    for name in missing:
        part = next((what for prefix, what in absent.items() if name.startswith(prefix)), "")
        why = f"the parent has no {part}" if part else "the classes differ"
        lines.append(f"  {name:<60}  {why}")
        if complete:
            message = f"{name} is missing ({why}), and this run leaves the segmenter as it is"
            raise InputError(folder, "", message)
    return "\n".join([*lines, *_changed_settings(config, model)])


def _changed_settings(parent: Mapping[str, Any], model: ClipSegmenter) -> list[str]:
    """Return which settings differ from the parent's: not all of them change a weight's shape."""
    module = model.temporal if isinstance(model.temporal, SavableTemporalModule) else None
    now = {"model": model.config, "temporal": module and module.config}
    before = {"model": parent["segmenter"], "temporal": parent["temporal"]}
    return [
        f"  {section}.{name}: the parent had {before[section][name]!r}, now {value!r}"
        for section, values in now.items()
        if values and before[section]
        for name, value in values.items()
        if name not in SETTINGS_OF_A_RUN and before[section].get(name, value) != value
    ]
