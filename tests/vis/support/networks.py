"""Small networks of the official architectures, and when two are the same."""

from __future__ import annotations

import torch

from vidgap_segmenter import ClipSegmenter

SIZES = {
    "channels": 32,
    "num_queries": 9,
    "num_encoder_layers": 1,
    "encoder_ffn_channels": 16,
    "num_decoder_layers": 2,
    "decoder_ffn_channels": 16,
}


def same_weights(one: ClipSegmenter, other: ClipSegmenter) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
