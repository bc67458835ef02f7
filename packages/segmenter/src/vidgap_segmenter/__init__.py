"""Mask2Former, Mask DINO and joint decoders on clips, with a seam for a temporal module."""

from vidgap_segmenter.backbones import Backbone, build_backbone, load_backbone_weights
from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.frame_targets import Matching
from vidgap_segmenter.inference import instance_inference
from vidgap_segmenter.joint import ClipCriterion, Mask2FormerVIS, SeqFormer, SeqFormerCriterion
from vidgap_segmenter.losses import Losses, NonFiniteLoss
from vidgap_segmenter.mask2former import Criterion, Mask2Former
from vidgap_segmenter.mask_dino import MaskDINO, MaskDINOCriterion, MaskDINOOutput
from vidgap_segmenter.networks import NETWORKS
from vidgap_segmenter.ops import backends, ms_deform_attn, ms_deform_attn_fused
from vidgap_segmenter.optim import parameter_groups
from vidgap_segmenter.structures import ClipOutput, HeadInputs, Instances, Prediction
from vidgap_segmenter.targets import ClipTargets
from vidgap_segmenter.temporal import SavableTemporalModule, TemporalModule
from vidgap_segmenter.weights import LoadReport, WeightsMismatch

__all__ = [
    "NETWORKS",
    "Backbone",
    "ClipCriterion",
    "ClipOutput",
    "ClipSegmenter",
    "ClipTargets",
    "Criterion",
    "HeadInputs",
    "Instances",
    "LoadReport",
    "Losses",
    "Mask2Former",
    "Mask2FormerVIS",
    "MaskDINO",
    "MaskDINOCriterion",
    "MaskDINOOutput",
    "Matching",
    "NonFiniteLoss",
    "Prediction",
    "SavableTemporalModule",
    "SeqFormer",
    "SeqFormerCriterion",
    "TemporalModule",
    "WeightsMismatch",
    "backends",
    "build_backbone",
    "instance_inference",
    "load_backbone_weights",
    "ms_deform_attn",
    "ms_deform_attn_fused",
    "parameter_groups",
]
