"""The embedded dataset: rendered street scenes with RGB label maps, which need no download."""

from seg.synthetic.scenes import LABELS, render_scene, write_dataset

__all__ = ["LABELS", "render_scene", "write_dataset"]
