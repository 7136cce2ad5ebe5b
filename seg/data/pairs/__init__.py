"""Pairs of image and mask files: by name templates, list files, or a seeded split. Needs no torch."""

from seg.data.pairs.names import list_files, list_images, shared_name
from seg.data.pairs.pair import Pair, list_both, pair, with_instances
from seg.data.pairs.scenes import scenes_of, split, torn_scenes
from seg.data.pairs.several import Folders, as_list, one

__all__ = [
    "Folders",
    "Pair",
    "as_list",
    "list_both",
    "list_files",
    "list_images",
    "one",
    "pair",
    "scenes_of",
    "shared_name",
    "split",
    "torn_scenes",
    "with_instances",
]
