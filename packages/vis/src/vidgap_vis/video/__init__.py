"""Frames in, pictures out: video files, folders, overlays and sheets."""
