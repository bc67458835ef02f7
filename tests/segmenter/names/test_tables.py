"""The tables of names: no row for nothing, no name in two."""

from __future__ import annotations

import re

import pytest
from segmenter.convert_cases import MODELS, model

from vidgap_segmenter.names import hugging_face, official
from vidgap_segmenter.names.table import Table

TABLES = {
    "official Mask2Former": (official.MASK2FORMER, r"mask2former .*"),
    "official Mask DINO": (official.MASK_DINO, r"mask_dino .*"),
    "Hugging Face": (hugging_face.MASK2FORMER, r"mask2former (resnet26|swin_tiny)"),
}


@pytest.mark.parametrize("table", TABLES)
def test_each_row_is_used_and_each_name_has_one_row(table: str) -> None:
    whole, pattern = TABLES[table]
    alone = [Table((row,)) for row in whole.rows]
    states = [model(name).state_dict() for name in MODELS if re.fullmatch(pattern, name)]
    used = set()
    weights = {name: tensor for state in states for name, tensor in state.items()}
    for ours, tensor in weights.items():
        theirs = whole.to_theirs({ours: tensor})
        knowing = [row for row in alone if list(row.to_ours(theirs).state) == [ours]]
        assert len(knowing) == 1, ours
        assert all(row.to_ours(theirs).state == {} for row in alone if row not in knowing)
        used.update(knowing[0].rows)
    assert used == set(whole.rows)
