"""From decoded frames to tracks, masks, overlays: `python -m bench.run inference`."""
