"""Pairs of image and mask files: by name templates, list files, or a seeded split. Needs no torch."""

from seg.data.pairs.names import list_files as list_files, list_images as list_images, shared_name as shared_name
from seg.data.pairs.pair import Pair as Pair, list_both as list_both, pair as pair, with_instances as with_instances
from seg.data.pairs.scenes import scenes_of as scenes_of, split as split, torn_scenes as torn_scenes
from seg.data.pairs.several import Folders as Folders, as_list as as_list, one as one
