"""Label maps: class names, the colours or values that stand for them in label images, and class indices.

The class index is the row order among the classes that are not ignored; ignored classes become `IGNORE` (255).
Those of well-known data sets are built in: the YAML files of ``palettes/`` here, each with its source. The forms of
files that `LabelMap.load` reads are listed, with an example of each, in ``formats.md`` beside this file.

A map of your own is such a file. For example, ``my_palette.yaml``::

    # Roads and buildings from above.
    # Source: the colours of our annotators' guide, page 3.
    classes:
      - {name: road, colors: [[128, 64, 128], [130, 66, 130]], id: 1}  # of label images that hold numbers
      - {name: building, color: "#464646", id: 2}
      - {name: unlabelled, color: [0, 0, 0], id: 0, ignore: true}

``seg-preprocess labels=my_palette.yaml source=DIR destination=DIR`` converts label images by it. In ``palettes/`` the
same file is known by its name, ``labels=my_palette``, as one of ours: its comment says where colours and values are
published, and ``tests/labels/test_palettes.py`` enrols it.
"""

from seg.labels.label import IGNORE, Color, Label
from seg.labels.map import PALETTES, LabelMap, builtin_names

__all__ = ["IGNORE", "PALETTES", "Color", "Label", "LabelMap", "builtin_names"]
