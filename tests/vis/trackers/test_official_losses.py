"""The losses and targets of DVIS, VITA, GenVIS and IDOL are the official codes'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import PARITY_FLOAT64
from vis.support.loss_inputs import INPUTS, draw_inputs
from vis.support.official_numbers import Array, draw_weights, errors, mean_errors, read_cases
from vis.trackers.official_losses import RUNS, clip_criterion, clip_targets, make_criterion

from vidgap_segmenter import Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.prediction import JointPrediction
from vidgap_vis.trackers.dvis import ReferringLoss, consistent_matching
from vidgap_vis.trackers.genvis import UnifiedLoss
from vidgap_vis.trackers.idol import FrameCosts, FrameInstances, ReidTargets

CASES = {
    f"{method}-{name}": (method, case)
    for method in INPUTS
    for name, case in read_cases(Path(__file__).parent / "official" / f"{method}.json").items()
}

every_case = pytest.mark.parametrize(("method", "case"), CASES.values(), ids=CASES)


@every_case
def test_what_is_drawn_is_what_the_official_code_saw(method: str, case: dict[str, Any]) -> None:
    weights = draw_weights(case) or {"none": np.zeros(1)}
    assert max(mean_errors(case, weights, draw_inputs(method, case["constants"])).values()) < 1e-15


@every_case
def test_numbers_are_the_official_ones(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    found = errors(
        case, RUNS[method](draw_weights(case), draw_inputs(method, constants), constants)
    )
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT64} == {}


def inputs_of(name: str) -> tuple[dict[str, Array], dict[str, Any], dict[str, Any]]:
    method, case = CASES[name]
    constants = case["constants"]
    return draw_inputs(method, constants), constants, case["outputs"]


def test_dvis_alone_gives_a_late_object_a_query_of_its_own() -> None:
    """The release's objects 0 and 2 share query 3."""
    inputs, constants, official = inputs_of("dvis_targets-a")
    logits, masks = (
        torch.as_tensor(inputs[n]).transpose(0, 1)[None] for n in ("pred_logits", "pred_masks")
    )
    targets, size = [clip_targets(inputs)], tuple(constants["size"])
    listed = FrameTargets.from_whole_clips(targets, size, list_unseen=True)
    criterion, prediction = make_criterion(constants), Prediction(logits, masks)
    own = consistent_matching(criterion, prediction, targets, listed).tables()[0].tolist()
    shared = official["query_of_object"]["ints"]
    assert [shared[n] for n in (0, 1, 3)] == [own[n] for n in (0, 1, 3)]
    assert shared[0] == shared[2] == own[0]
    assert len(set(own)) == 4
    losses = ReferringLoss(criterion)([prediction], targets, size)
    assert not np.isclose(float(losses.parts["class"]), official["loss_ce"]["mean"])


def test_genvis_alone_keeps_the_query_of_an_object_that_is_away() -> None:
    """The release gives query 3 to object 2 while object 0 is away, and both share it later."""
    inputs, constants, official = inputs_of("genvis_targets-a")
    loss, state, tables = UnifiedLoss(clip_criterion(constants)), None, []
    target = clip_targets(inputs)
    logits, masks = (torch.as_tensor(inputs[n]) for n in ("pred_logits", "pred_masks"))
    for time in range(len(logits)):
        layer = JointPrediction(logits[time][None, None], masks[time][None, None, :, None])
        shown = type(target)(target.labels, target.masks[:, [time]], target.ids)
        _, matchings, state = loss.step([layer], [shown], tuple(constants["size"]), state)
        tables.append(matchings[0].tables()[0].numpy())
    shared, own = np.array(official["query_of_object"]["ints"]), np.stack(tables)
    assert ((shared >= 0) == (own >= 0)).all()
    assert (shared[:, [0, 1, 3]] == own[:, [0, 1, 3]]).all()
    assert shared[-1, 0] == shared[-1, 2]
    assert own[-1, 0] != own[-1, 2]
    assert len(set(own[own[:, 2] >= 0, 2].tolist())) == 1


@pytest.mark.parametrize("name", ["a", "b"])
def test_idol_gives_every_object_queries_of_its_own(name: str) -> None:
    """In case b the release never has to settle anything, and agrees; in a its negatives differ."""
    inputs, _, official = inputs_of(f"idol_reid-{name}")
    given = {key: torch.as_tensor(array) for key, array in inputs.items()}
    shown = {"key": torch.ones(len(given["labels"]), dtype=torch.bool), "ref": given["valid"] > 0}
    costs = [
        FrameCosts.of(
            given[f"{frame}_logits"].sigmoid(),
            given[f"{frame}_boxes"],
            FrameInstances(given["labels"][None], given[f"{frame}_gt"][None], present[None]),
        )
        for frame, present in shown.items()
    ]
    targets = ReidTargets.of(*costs)
    positives = targets.positives[0].numpy()
    assert (positives.sum(0) <= 1).all()
    valid = given["valid"].numpy() > 0
    assert (positives.any(1) == valid).all()
    assert not (targets.positives & targets.negatives).any()
    theirs = (np.array(official["ref_candidate"]["ints"]) == 0) & valid[:, None]
    assert (targets.negatives[0].numpy() == theirs).all() == (name == "b")
