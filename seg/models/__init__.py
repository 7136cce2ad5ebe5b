"""Encoder-decoder models of segmentation-models-pytorch: built from plain arguments, restored from checkpoints."""

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
from seg.models.pretrained import Found, fill, is_file, read_weights
from seg.models.restoring import restore, transfer

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Found",
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
