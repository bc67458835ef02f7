"""Pipelines of clip augmentations against other libraries."""
