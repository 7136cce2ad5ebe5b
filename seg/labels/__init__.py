"""Label maps: class names, the colours or values that stand for them in label images, and class indices.

The class index is the row order among the classes that are not ignored; ignored classes become `IGNORE` (255).
Those of well-known data sets are built in: the YAML files of ``palettes/`` here, each with its source. The forms of
files that `LabelMap.load` reads are listed, with an example of each, in ``formats.md`` beside this file.
"""

from seg.labels.label import IGNORE, Color, Label
from seg.labels.map import PALETTES, LabelMap, builtin_names

__all__ = ["IGNORE", "PALETTES", "Color", "Label", "LabelMap", "builtin_names"]
