"""Groups of parameters for AdamW (Mask2Former's training recipe)."""

from __future__ import annotations

from typing import TypedDict

from torch import nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
BIAS_TABLE = "relative_position_bias_table"


class ParameterGroup(TypedDict):
    """One group as torch's optimisers take it."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float, backbone_multiplier: float = 0.1
) -> list[ParameterGroup]:
    """Split trainable parameters by learning rate and weight decay.

    The backbone learns at `lr * backbone_multiplier`. Norm layers, embeddings and relative
    position bias tables do not decay; everything else does, biases included.

    Args:
        model: with its backbone under the name `backbone`.
        lr: of everything else.
        weight_decay: of what decays.
        backbone_multiplier: of the backbone's learning rate.

    Returns:
        Up to four groups that hold each trainable parameter once.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        in_backbone = "backbone" in module_name.split(".")
        rate = lr * backbone_multiplier if in_backbone else lr
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            exempt = isinstance(module, (*NORMS, nn.Embedding)) or name == BIAS_TABLE
            groups.setdefault((rate, 0.0 if exempt else weight_decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
