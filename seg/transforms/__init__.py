"""Augmentations of image and mask together.

A transform is a callable ``(image (C, H, W) uint8 or float32 in 0..1, mask (H, W) uint8) -> (image, mask)`` that draws
from the torch RNG and never writes to its inputs. Pixels that no image covers become 0 in the image and 255 in the
mask; no transform interpolates between classes. ``p`` is the probability that a transform does anything at all.
Lengths are pixels if they are whole numbers (``int``), and shares of the image's side if not (``float``).

Where objects have numbers, the mask is int32 and holds the class in its lowest byte (``mask.byte()``) and the number
above it, so that whatever moves a pixel moves both; 255 is an ignored pixel without a number.

To add one: a module here, or one of your own, and a YAML. For example, in ``my_transforms.py``::

    import torch


    class HalfTurn:  # where no side is up, as in images from above
        def __init__(self, *, p=0.5):
            self.p = p

        def __call__(self, image, mask):
            if torch.rand(()) >= self.p:
                return image, mask
            return image.rot90(2, (1, 2)), mask.rot90(2)

and, in ``my_conf/augment/turned.yaml``, a recipe that goes on where another ends::

    defaults: [standard, _self_]
    turn: {_target_: my_transforms.HalfTurn, p: 0.5}

``seg-train --config-dir my_conf augment=turned augment.turn.p=1 ...`` trains with it, ``seg-augment`` writes copies.
What combines several images derives from `seg.transforms.mix.Mix`.

One of ours is exported here and stands in a recipe of ``conf/augment/``, with a comment for each option; it draws from
`seg.transforms.draw` and checks its options by `seg.files.checks`. ``tests/transforms/test_contract.py`` enrols every
export and every recipe.

What bites here: images are kept in (H, W, C) memory behind a (C, H, W) view; a contiguous copy makes later steps
several times slower. A recipe that inherits (``defaults: [standard, _self_]``) needs ``_self_``.
"""

from seg.transforms.color import Blur, ColorJitter, Illumination, Noise
from seg.transforms.compose import Compose, Transform
from seg.transforms.erase import Cutout, GridMask, RandomErasing
from seg.transforms.geometry import Flip, Pad, ScaleCrop
from seg.transforms.mix import ClassMix, CutMix, Mosaic, classmix, cutmix, mosaic
from seg.transforms.warp import Affine, Elastic, Rotate

__all__ = [
    "Affine",
    "Blur",
    "ClassMix",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "Elastic",
    "Flip",
    "GridMask",
    "Illumination",
    "Mosaic",
    "Noise",
    "Pad",
    "RandomErasing",
    "Rotate",
    "ScaleCrop",
    "Transform",
    "classmix",
    "cutmix",
    "mosaic",
]
