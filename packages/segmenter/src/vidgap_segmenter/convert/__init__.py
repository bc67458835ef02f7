"""Converting other people's weights to our networks, and back.

`read(source)` takes official Mask2Former (-VIS), CTVIS and Mask DINO files and Hugging Face's
Mask2Former folders, `Converted.build()` makes the network; `to_official` and `to_hugging_face`
rename weights back. `vidgap weights convert` is this on the command line.
"""

from vidgap_segmenter.convert.comparison import Parity, obstacle, parity, twin
from vidgap_segmenter.convert.converted import Converted
from vidgap_segmenter.convert.reading import files, read
from vidgap_segmenter.convert.writing import (
    to_hugging_face,
    to_official,
    write_hugging_face,
    write_official,
)

__all__ = [
    "Converted",
    "Parity",
    "files",
    "obstacle",
    "parity",
    "read",
    "to_hugging_face",
    "to_official",
    "twin",
    "write_hugging_face",
    "write_official",
]
