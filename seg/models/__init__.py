"""Encoder-decoder models of segmentation-models-pytorch: built from plain arguments, restored from checkpoints.

A model of your own is a module and a YAML. For example, in ``my_models.py``::

    from torch import nn


    class Tiny(nn.Module):
        def __init__(self, classes, in_channels=3, width=16):  # classes are told; in_channels unless there are three
            super().__init__()
            self.first = nn.Conv2d(in_channels, width, 3, padding=1)
            self.last = nn.Conv2d(width, classes, 1)

        def forward(self, images):  # (N, in_channels, H, W) float32, normalised -> logits (N, classes, H, W)
            return self.last(self.first(images).relu())

and, in ``my_conf/model/tiny.yaml``::

    _target_: my_models.Tiny
    width: 16

``seg-train --config-dir my_conf model=tiny model.width=32 ...`` trains it. A checkpoint runs no code unless you say so:
``seg-evaluate``, ``seg-predict``, ``seg-export`` and ``seg-diagnose`` load it with ``trust=[my_models]``, from Python
`seg.inference.trained.load` with ``trust=["my_models"]``. Rates of the encoder need an ``encoder``, heads of further
tasks ``decoder`` and ``segmentation_head`` as well (`features_of`). Of what ``forward`` returns, `adapted` takes the
logits: the first of a tuple, ``out`` or ``logits`` of a dict; those of a quarter of the size are upsampled. Auxiliary
logits beside them, as torchvision's models have, are trained with ``task=auxiliary task.auxiliary.weight=0.4``.

One of ours is a module here, ``conf/model/NAME.yaml``, and an entry in ``_known`` of `seg.models.restoring`, by which
checkpoints may name it; ``tests/models/test_kit.py`` enrols the YAML.

What bites here:

- smp swallows encoder arguments that the encoder does not take: `build` compares signatures first. Its
  ``get_preprocessing_params`` uses the network even when the weights are cached.
- A head of ours that a checkpoint may name stands in `seg.models.restoring.HEADS`.
"""

from seg.models.building import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalization,
    build,
    check_build,
    first_line,
    normalization,
    try_build,
)
from seg.models.heads import WithHeads, features_of
from seg.models.outputs import AUXILIARY, WrongOutput, adapted
from seg.models.pretrained import fill, is_file, read_weights
from seg.models.restoring import restore, transfer

__all__ = [
    "AUXILIARY",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Normalization",
    "WithHeads",
    "WrongOutput",
    "adapted",
    "build",
    "check_build",
    "features_of",
    "fill",
    "first_line",
    "is_file",
    "normalization",
    "read_weights",
    "restore",
    "transfer",
    "try_build",
]
