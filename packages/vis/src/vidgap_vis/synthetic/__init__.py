"""A data set that is generated, not downloaded: look-alikes that cross and hide one another.

`write_synthetic` writes stills (COCO JSON) and clips (YouTube-VIS JSON) with exact masks.
`world` gives the options of worlds that never change. `image_scene` and `clip_scene` draw the same
scenes without files, `render` shows one, and `find_crossings` says where its look-alikes cross.
"""

from vidgap_vis.synthetic.crossings import Crossing, find_crossings
from vidgap_vis.synthetic.options import SyntheticOptions
from vidgap_vis.synthetic.render import Render, render
from vidgap_vis.synthetic.scene import CLASS_NAMES, Scene, clip_scene, image_scene
from vidgap_vis.synthetic.worlds import WORLDS, world
from vidgap_vis.synthetic.write import write_synthetic

__all__ = [
    "CLASS_NAMES",
    "WORLDS",
    "Crossing",
    "Render",
    "Scene",
    "SyntheticOptions",
    "clip_scene",
    "find_crossings",
    "image_scene",
    "render",
    "world",
    "write_synthetic",
]
