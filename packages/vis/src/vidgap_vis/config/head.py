"""Section `head`; null leaves a value to the constructor it goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from vidgap_vis.config.network import ModelConfig
from vidgap_vis.config.section import FROM_0, Count, Section
from vidgap_vis.errors import ConfigError

HeadName: TypeAlias = Literal["dvis", "dvis_offline", "vita", "genvis", "masktrack"]

SERVES: dict[str, tuple[str, ...]] = {
    "dvis": ("dvis",),
    "dvis_offline": ("dvis_offline", "dvis"),
    "vita": ("vita",),
    "genvis": ("genvis",),
    "masktrack": ("masktrack",),
}
"""The trackers that a head makes possible; the first one is the default."""

ON_FRAMES = ("mask2former", "mask_dino")
"""Architectures whose queries are instances of single frames."""

DVIS, VITA = ("dvis", "dvis_offline"), ("vita", "genvis")
ONLY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("num_layers", "num_heads", "ffn_channels"), DVIS + VITA),
    **dict.fromkeys(("num_encoder_layers", "num_queries", "window"), VITA),
    **dict.fromkeys(("num_levels", "similarity_weight"), VITA),
    **dict.fromkeys(("clip_frames", "forget_absent"), ("genvis",)),
    "inverse_alignment": DVIS,
    "reuse_queries": ("dvis",),
    **dict.fromkeys(("embedding_dim", "weight"), ("masktrack",)),
}
"""Settings -> the heads that have them."""


@dataclass(frozen=True)
class HeadConfig(Section, key="head"):
    """What learns to follow the segmenter's queries. DVIS and GenVIS leave the segmenter as it is.

    Attributes:
        name: `dvis`, its tracker; `dvis_offline`, its refiner, on a parent's tracker; `vita`;
            `genvis`; `masktrack`.
        num_layers: of tracker or refiner, of VITA's decoder; null: 6, of VITA and GenVIS 3.
        num_heads: attention heads; null: 8.
        ffn_channels: hidden width of the layers; null: 2048.
        num_encoder_layers: layers between the queries of frames (vita, genvis); null: 6.
        num_queries: of a clip (vita, genvis); null: 100.
        window: frames that attend to each other in the encoder, 0: all (vita, genvis); null: 6, of
            GenVIS 0.
        num_levels: the segmenter's last decoder levels that clips are decoded from (vita, genvis);
            null: 3.
        clip_frames: frames of GenVIS's clips; null: 1.
        embedding_dim: width of the track head's embeddings (masktrack); null: 1024.
        weight: of the track head's loss (masktrack); null: 1.0.
        similarity_weight: of the similarity loss (vita, genvis); null: 0.5.
        inverse_alignment: order queries as DVIS's release does (dvis, dvis_offline); null: off.
        reuse_queries: let instances share a query as DVIS's release does (dvis); null: off.
        forget_absent: instances that are away hold no query, as in GenVIS's release; null: off.
    """

    name: HeadName
    num_layers: Count | None = None
    num_heads: Count | None = None
    ffn_channels: Count | None = None
    num_encoder_layers: Count | None = None
    num_queries: Count | None = None
    window: Annotated[int, FROM_0] | None = None
    num_levels: Count | None = None
    clip_frames: Count | None = None
    embedding_dim: Count | None = None
    weight: Annotated[float, FROM_0] | None = None
    similarity_weight: Annotated[float, FROM_0] | None = None
    inverse_alignment: bool | None = None
    reuse_queries: bool | None = None
    forget_absent: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, heads in ONLY.items():
            fits = getattr(self, name) is None or self.name in heads
            self.require(name, fits, f"null unless head.name is {' or '.join(heads)}")

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the named settings that are not null."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def check_model(self, model: ModelConfig) -> None:
        """Raise ConfigError unless the head can be on the queries of a segmenter."""
        networks = ON_FRAMES if self.name == "masktrack" else ON_FRAMES[:1]
        wanted = f"null unless model.architecture is {' or '.join(networks)}"
        self.require("name", model.architecture in networks, wanted)
        heads = self.num_heads or 8
        if self.name in ONLY["num_heads"] and model.channels % heads:
            message = f"wanted a divisor of model.channels ({model.channels}), got {heads}"
            raise ConfigError("", "head.num_heads", message)
        levels = (model.num_decoder_layers or 9) + 1
        if self.name in ONLY["num_levels"] and (self.num_levels or 3) > levels:
            message = f"wanted at most the {levels} levels of the segmenter's decoder, got "
            raise ConfigError("", "head.num_levels", message + str(self.num_levels or 3))

    def check_clip(self, num_frames: int) -> None:
        """Raise ConfigError unless the head can learn from clips of so many frames."""
        wanted = ""
        if self.name in (*DVIS, "masktrack") and num_frames < 2:
            wanted = f"2 or more for head.name {self.name}"
        clip = self.clip_frames or 1
        if self.name == "genvis" and (num_frames % clip or num_frames < 2 * clip):
            wanted = f"two or more whole clips of head.clip_frames ({clip})"
        if wanted:
            raise ConfigError("", "clip.num_frames", f"wanted {wanted}, got {num_frames}")
