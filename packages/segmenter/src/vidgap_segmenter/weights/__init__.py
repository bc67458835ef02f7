"""Reading, writing and loading weights: a network's folder, here or on the Hub, and other files.

Loading is strict or reported, never silent, and reading a file runs none of its code.
"""

from vidgap_segmenter.weights.files import read_state_dict, write_state_dict
from vidgap_segmenter.weights.folder import (
    ARCHITECTURE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_temporal,
    read_config,
    read_settings,
    read_weights,
    write_folder,
)
from vidgap_segmenter.weights.loading import (
    CLASS_HEAD,
    CLASS_WEIGHTS,
    LoadReport,
    WeightsMismatch,
    compare,
    load_checked,
    not_under,
)

__all__ = [
    "ARCHITECTURE",
    "CLASS_HEAD",
    "CLASS_WEIGHTS",
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "LoadReport",
    "WeightsMismatch",
    "check_temporal",
    "compare",
    "load_checked",
    "not_under",
    "read_config",
    "read_settings",
    "read_state_dict",
    "read_weights",
    "write_folder",
    "write_state_dict",
]
