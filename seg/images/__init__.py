"""Image and mask files as arrays.

Images may be grayscale (repeated to three channels), RGBA (alpha dropped) or 16-bit (65535 becomes 255, rounded);
EXIF orientation is applied, as label tools do. A `Reading` says otherwise: other bands, another range of values. Masks
are 8-bit grayscale PNG, as ``seg-preprocess`` writes them.

What bites here:

- cv2 and Pillow multiply 4-bit gray by 17 and expand palettes: masks are 8-bit grayscale PNG, and `read_mask` refuses
  anything else by its header.
- OpenCV reads gray TIFF of several samples as its first one, mixes up 16-bit planar RGB, multiplies 8-bit RGBA TIFF by
  alpha, zeroes 16-bit gray with alpha and always applies TIFF's orientation: `seg.images.decoding` knows. tifffile's
  ``page.decode`` moves the file's position when it is first looked up: read the bytes before.
- Whatever reads an image takes a `Reading`; a remembered result has it in its purpose.
"""

from seg.images.decoding import (
    MOST_BYTES,
    Values,
    decode,
    decode_values,
)
from seg.images.files import (
    Image,
    as_rgb,
    check_limit,
    decode_image,
    decode_mask,
    is_mask,
    limit,
    read_image,
    read_instances,
    read_mask,
    read_values,
)
from seg.images.reading import RGB, Reading
from seg.images.rows import Rows, tiff_rows

__all__ = [
    "MOST_BYTES",
    "RGB",
    "Image",
    "Reading",
    "Rows",
    "Values",
    "as_rgb",
    "check_limit",
    "decode",
    "decode_image",
    "decode_mask",
    "decode_values",
    "is_mask",
    "limit",
    "read_image",
    "read_instances",
    "read_mask",
    "read_values",
    "tiff_rows",
]
