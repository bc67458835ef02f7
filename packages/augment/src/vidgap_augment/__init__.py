"""Video-consistent augmentation: pseudo-clips from images, and clip transforms on tv_tensors."""

from vidgap_augment.crop import ClipCrop, ClipFixedCrop
from vidgap_augment.flip import ClipFlip
from vidgap_augment.pseudo_clip import PseudoClip
from vidgap_augment.resize import ClipResize, ClipScaleJitter
from vidgap_augment.rotation import SlowRotation
from vidgap_augment.sample import Sample, boxes_from_masks, drop_empty
from vidgap_augment.transform import ClipCompose, ClipTransform

__all__ = [
    "ClipCompose",
    "ClipCrop",
    "ClipFixedCrop",
    "ClipFlip",
    "ClipResize",
    "ClipScaleJitter",
    "ClipTransform",
    "PseudoClip",
    "Sample",
    "SlowRotation",
    "boxes_from_masks",
    "drop_empty",
]
