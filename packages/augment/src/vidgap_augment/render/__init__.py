"""Make the clip of a plan: every frame warped once from its source, its masks together.

In CPU memory with OpenCV (`cpu`), elsewhere with torch alone (`device`).
"""

from __future__ import annotations

from vidgap_augment.geometry import Placement
from vidgap_augment.plan import Plan, SourceMasks
from vidgap_augment.render.cpu import render_on_cpu
from vidgap_augment.render.device import render_on_device
from vidgap_augment.render.result import Rendered, kept_rows

__all__ = ["Rendered", "kept_rows", "materialised", "render"]


def render(plan: Plan, *, keep_absent: bool = False) -> Rendered:
    """Make the pixels of a plan, in new memory, on the device of its frames.

    Args:
        plan: of the clip.
        keep_absent: keep the instances that have no pixel in any frame.
    """
    make = render_on_cpu if plan.frames.device.type == "cpu" else render_on_device
    return make(plan, keep_absent=keep_absent)


def materialised(plan: Plan) -> Plan:
    """Return a plan whose source is the rendered clip of a plan."""
    if plan.is_made:
        return plan
    rendered = render(plan, keep_absent=plan.labels is None)
    return Plan(
        rendered.frames,
        Placement.start(plan.num_frames, plan.placement.size),
        None if rendered.masks is None else SourceMasks(rendered.masks),
        rendered.boxes if plan.masks is None else None,
        kept_rows(plan.labels, rendered.kept),
        kept_rows(plan.ids, rendered.kept),
        kept_rows(plan.crowds, rendered.kept),
        next_id=plan.next_id,
        is_image=plan.is_image,
    )
