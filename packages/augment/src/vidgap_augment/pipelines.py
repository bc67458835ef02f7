"""The transforms that make the paper's training clips, composed of those of this package."""

from __future__ import annotations

from collections.abc import Sequence

from vidgap_augment.arguments import Per
from vidgap_augment.auto_augment import VideoAutoAugment
from vidgap_augment.copy_paste import VideoCopyPaste
from vidgap_augment.crop import ClipCrop, ClipFixedCrop
from vidgap_augment.flip import ClipFlip
from vidgap_augment.pseudo_clip import PseudoClip
from vidgap_augment.resize import VIS_SHORT_EDGES, ClipResize, ClipScaleJitter
from vidgap_augment.rotation import SlowRotation
from vidgap_augment.transform import ClipCompose, ClipTransform


def pretrain_clips(
    num_frames: int = 3,
    size: Sequence[int] | None = (1024, 1024),
    *,
    scale_range: Sequence[float] = (0.1, 2.0),
    flip_probability: float = 0.5,
    max_rotation_deg: float = 15.0,
    rotation: Per = "video",
    auto_augment: Per | None = "video",
    copy_paste: Per | None = "video",
    paste_probability: float = 0.5,
    paste_min_area: int = 32**2,
    paste_scale_range: Sequence[float] = (0.8, 1.25),
    paste_max_displacement: float = 0.15,
) -> ClipCompose:
    """Return the transform of an image sample for pre-training (paper §3.1, §4; Table 4).

    Mask2Former's large-scale jitter, once for the clip, after the paste. The flip comes after the
    paste too, which is the same in distribution as before it.

    Args:
        num_frames: T.
        size: (height, width) of the clip; None: the image's own, without jitter.
        scale_range: of the jitter.
        flip_probability: of mirroring the clip.
        max_rotation_deg: of the slow rotation. 0: none, but `auto_augment` may then draw the
            rotation of its pool; for clips that never turn set it to None too.
        rotation: "image" turns each frame separately.
        auto_augment: `VideoAutoAugment`, for the clip or each frame separately; None: without.
            The paper's arm "Image" (Table 3) is "image" here and for `rotation`.
        copy_paste: `VideoCopyPaste`, for the clip or each frame separately; None: without.
            Table 3's "Image" is "image" here alone.
        paste_probability: of a paste in a clip.
        paste_min_area, paste_scale_range, paste_max_displacement: of `VideoCopyPaste`.

    Raises:
        ValueError: an argument is out of range.
    """
    pasted = (paste_probability, paste_scale_range, paste_max_displacement, paste_min_area)
    steps: list[ClipTransform] = [
        PseudoClip(num_frames, max_rotation_deg, per=rotation),
        *_auto_augment(auto_augment, max_rotation_deg),
        *_copy_paste(copy_paste, *pasted),
        ClipFlip(flip_probability),
    ]
    if size is not None:
        steps += [ClipScaleJitter(size, scale_range), ClipFixedCrop(size)]
    return ClipCompose(steps)


def finetune_pseudo_clips(
    num_frames: int = 10,
    *,
    crop_probability: float = 0.5,
    crop_short_edges: Sequence[int] = (400, 500, 600),
    crop_max_size: int = 1333,
    crop_range: Sequence[int] = (384, 600),
    short_edges: Sequence[int] = VIS_SHORT_EDGES,
    max_size: int = 768,
    flip_probability: float = 0.5,
    max_rotation_deg: float = 15.0,
    rotation: Per = "video",
    auto_augment: Per | None = "video",
    copy_paste: Per | None = "video",
    paste_probability: float = 0.5,
    paste_min_area: int = 32**2,
    paste_scale_range: Sequence[float] = (0.8, 1.25),
    paste_max_displacement: float = 0.15,
) -> ClipCompose:
    """Return the transform of an image sample beside real clips (CTVIS; paper §4, Table 7).

    CTVIS's sliding crop, resize, flip and slow rotation; then the paste onto the rotated frames.

    Args:
        num_frames: T.
        crop_probability: of the sliding crop.
        crop_short_edges, crop_max_size: the size before the sliding crop.
        crop_range: smallest and largest side of the crop.
        short_edges, max_size: the size of the clip; no short edges: its own.
        flip_probability: of mirroring the clip.
        max_rotation_deg, rotation, auto_augment, copy_paste, paste_probability, paste_min_area,
            paste_scale_range, paste_max_displacement: as in `pretrain_clips`.

    Raises:
        ValueError: an argument is out of range.
    """
    pasted = (paste_probability, paste_scale_range, paste_max_displacement, paste_min_area)
    sliding_crop = ClipCompose(
        [
            ClipResize(crop_short_edges, crop_max_size),
            ClipCrop(crop_range, sliding=True, probability=1.0),
        ],
        probability=crop_probability,
    )
    return ClipCompose(
        [
            PseudoClip(num_frames, max_rotation_deg=0.0),
            *_auto_augment(auto_augment, max_rotation_deg),
            sliding_crop,
            *_resize(short_edges, max_size),
            ClipFlip(flip_probability),
            SlowRotation(max_rotation_deg, per=rotation),
            *_copy_paste(copy_paste, *pasted),
        ]
    )


def finetune_real_clips(
    *,
    crop_probability: float = 0.5,
    crop_range: Sequence[int] = (384, 600),
    short_edges: Sequence[int] = VIS_SHORT_EDGES,
    max_size: int = 768,
    flip_probability: float = 0.5,
) -> ClipCompose:
    """Return the transform of a clip of a real video (CTVIS): crop, resize, flip, each once.

    Args:
        crop_probability: of the crop, the same window in all frames.
        crop_range, short_edges, max_size, flip_probability: as in `finetune_pseudo_clips`.

    Raises:
        ValueError: an argument is out of range.
    """
    return ClipCompose(
        [
            ClipCrop(crop_range, probability=crop_probability),
            *_resize(short_edges, max_size),
            ClipFlip(flip_probability),
        ]
    )


def _auto_augment(per: Per | None, max_rotation_deg: float) -> list[ClipTransform]:
    """Return the photometric stage; its pool rotates only clips that are not rotated already."""
    if per is None:
        return []
    return [VideoAutoAugment(max_rotation_deg=0.0 if max_rotation_deg > 0 else 15.0, per=per)]


def _copy_paste(
    per: Per | None,
    probability: float,
    scale_range: Sequence[float],
    max_displacement: float,
    min_area: int,
) -> list[ClipTransform]:
    if per is None:
        return []
    return [
        VideoCopyPaste(
            probability,
            scale_range=scale_range,
            max_displacement=max_displacement,
            min_area=min_area,
            per=per,
        )
    ]


def _resize(short_edges: Sequence[int], max_size: int) -> list[ClipTransform]:
    return [ClipResize(short_edges, max_size)] if short_edges else []
