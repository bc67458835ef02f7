"""The file formats of the field, read and written with every fault named; no torch here."""

from vidgap_vis.formats.coco import ImageInfo, ImageInstance, ImageSet, read_coco
from vidgap_vis.formats.rle import Polygons, Rle, Segmentation, parse_rle, parse_segmentation
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance, VideoSet, read_youtube_vis

__all__ = [
    "ImageInfo",
    "ImageInstance",
    "ImageSet",
    "Polygons",
    "Rle",
    "Segmentation",
    "VideoInfo",
    "VideoInstance",
    "VideoSet",
    "parse_rle",
    "parse_segmentation",
    "read_coco",
    "read_youtube_vis",
]
