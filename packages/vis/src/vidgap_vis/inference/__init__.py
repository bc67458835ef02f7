"""Run a model on videos and images: streams, masks, overlays, results files, exported steps."""
