"""Encoder-decoder models of segmentation-models-pytorch: built from plain arguments, restored from checkpoints.

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
)
from seg.models.heads import WithHeads, features_of
from seg.models.pretrained import fill, is_file, read_weights
from seg.models.restoring import restore, transfer

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Normalization",
    "WithHeads",
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
]
