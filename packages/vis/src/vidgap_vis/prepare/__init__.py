"""Make data sets: pseudo-clips on disk."""
