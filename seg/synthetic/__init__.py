"""The embedded dataset: rendered street scenes with RGB label maps, which need no download."""

from seg.synthetic.rendering import Rendering
from seg.synthetic.scenes import LABELS, THINGS, Thing, render_scene, scene_things, write_dataset

__all__ = ["LABELS", "THINGS", "Rendering", "Thing", "render_scene", "scene_things", "write_dataset"]
