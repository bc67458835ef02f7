"""What frames come from: files, folders, data sets, cameras and streams."""

from vidgap_vis.video.sources.base import Frame, FrameSource, Shot, SourceGoneError
from vidgap_vis.video.sources.camera import Camera
from vidgap_vis.video.sources.excerpt import WHOLE, Excerpt, Span, moment
from vidgap_vis.video.sources.images import DatasetVideo, ImageFolder, natural_key
from vidgap_vis.video.sources.streams import LiveStream
from vidgap_vis.video.sources.videos import VideoFile

__all__ = [
    "WHOLE",
    "Camera",
    "DatasetVideo",
    "Excerpt",
    "Frame",
    "FrameSource",
    "ImageFolder",
    "LiveStream",
    "Shot",
    "SourceGoneError",
    "Span",
    "VideoFile",
    "moment",
    "natural_key",
]
