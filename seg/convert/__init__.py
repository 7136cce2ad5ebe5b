"""Label images to masks in bulk, on top of the C++ helper, and back.

    from seg.convert import convert_folder
    summary = convert_folder("labels", "masks", LabelMap.load("class_dict.csv"))

A mask is an 8-bit grayscale PNG of class indices, 255 = ignore. Nothing is guessed: a colour that the label map
does not list fails its file, and the reason names the colour, its place and the nearest listed colour.

What bites here:

- pycocotools checks little: `seg.convert.coco` looks at every number before it is called, and unpacks run lengths
  itself.
- On a network file system two machines cannot append to one file: every shard writes its own manifest.
- Advice is followed to the letter: `LabelReader.reason` proposes nothing that gives a wrong mask without a word, such
  as the nearest colour for what may be a number.
- A file may hold more than its first picture (pages, frames, bands): `seg.images.headers` counts before anything reads.
- Shapes that are written are drawn again by the rule of the reader: a polygon is a mask only under a rule.
- `seg.convert.pillow` knows what OpenCV misreads; see `seg.images`.
"""

from seg.convert.folder import convert_folder, recolor_folder
from seg.convert.reader import LabelReader, convert_array
from seg.convert.recolor import recolor_array
from seg.convert.summary import Summary
from seg.convert.tiles import Cut, ImageTiles

__all__ = [
    "Cut",
    "ImageTiles",
    "LabelReader",
    "Summary",
    "convert_array",
    "convert_folder",
    "recolor_array",
    "recolor_folder",
]
