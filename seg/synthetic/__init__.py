"""The embedded dataset: rendered street scenes with RGB label maps, which need no download.

What bites here: ``cv2.fillPoly`` draws other pixels in OpenCV 4.9 and 4.10 than later, so that `seg.synthetic.street`
uses ``fillConvexPoly`` alone; a changed hash in ``tests/synthetic`` changes every dataset and every number that was
measured on one. JPEG tiles cut at multiples of 16 pixels keep equal pixels, so that test pictures of a video need noise
of their own; noise drawn from the seed that made random test images is correlated with them.
"""

from seg.synthetic.rendering import Rendering
from seg.synthetic.scenes import LABELS, THINGS, Thing, render_scene, scene_things, write_dataset

__all__ = ["LABELS", "THINGS", "Rendering", "Thing", "render_scene", "scene_things", "write_dataset"]
