"""Video-consistent augmentation: pseudo-clips from images, and clip transforms on tv_tensors."""

from vidgap_augment.auto_augment import VideoAutoAugment
from vidgap_augment.boxes import boxes_from_masks
from vidgap_augment.copy_paste import VideoCopyPaste
from vidgap_augment.crop import ClipCrop, ClipFixedCrop
from vidgap_augment.flip import ClipFlip
from vidgap_augment.geometry import ClipShape, Step
from vidgap_augment.pipelines import finetune_pseudo_clips, finetune_real_clips, pretrain_clips
from vidgap_augment.plan import Plan
from vidgap_augment.pseudo_clip import PseudoClip
from vidgap_augment.resize import ClipResize, ClipScaleJitter
from vidgap_augment.rotation import SlowRotation
from vidgap_augment.sample import Sample, drop_empty
from vidgap_augment.sanitize import SanitizeInstances
from vidgap_augment.transform import ClipCompose, ClipTransform, FrameTransform, GeometricTransform

__all__ = [
    "ClipCompose",
    "ClipCrop",
    "ClipFixedCrop",
    "ClipFlip",
    "ClipResize",
    "ClipScaleJitter",
    "ClipShape",
    "ClipTransform",
    "FrameTransform",
    "GeometricTransform",
    "Plan",
    "PseudoClip",
    "Sample",
    "SanitizeInstances",
    "SlowRotation",
    "Step",
    "VideoAutoAugment",
    "VideoCopyPaste",
    "boxes_from_masks",
    "drop_empty",
    "finetune_pseudo_clips",
    "finetune_real_clips",
    "pretrain_clips",
]
