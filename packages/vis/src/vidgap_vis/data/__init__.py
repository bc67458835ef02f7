"""Reading data sets, and making batches of clips from them."""

from vidgap_vis.data.coco import ImageInfo, ImageInstance, ImageSet, read_coco
from vidgap_vis.data.datasets import (
    ClipDataset,
    MixedDataset,
    PseudoClipDataset,
    VideoClipDataset,
    choose_frames,
    clip_generator,
)
from vidgap_vis.data.loader import ClipBatch, ClipLoader, EpochSampler, collate, make_loader
from vidgap_vis.data.masks import Polygons, Rle, Segmentation, parse_rle, parse_segmentation
from vidgap_vis.data.youtube_vis import VideoInfo, VideoInstance, VideoSet, read_youtube_vis

__all__ = [
    "ClipBatch",
    "ClipDataset",
    "ClipLoader",
    "EpochSampler",
    "ImageInfo",
    "ImageInstance",
    "ImageSet",
    "MixedDataset",
    "Polygons",
    "PseudoClipDataset",
    "Rle",
    "Segmentation",
    "VideoClipDataset",
    "VideoInfo",
    "VideoInstance",
    "VideoSet",
    "choose_frames",
    "clip_generator",
    "collate",
    "make_loader",
    "parse_rle",
    "parse_segmentation",
    "read_coco",
    "read_youtube_vis",
]
