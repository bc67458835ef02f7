"""Networks whose queries are instances of whole clips: Mask2Former-VIS, SeqFormer; their losses."""

from vidgap_segmenter.joint.criterion import ClipCriterion, SeqFormerCriterion
from vidgap_segmenter.joint.mask2former_vis import Mask2FormerVIS
from vidgap_segmenter.joint.seqformer import SeqFormer

__all__ = ["ClipCriterion", "Mask2FormerVIS", "SeqFormer", "SeqFormerCriterion"]
