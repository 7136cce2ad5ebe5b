"""Numbers of the objects in an image: 16 bits, 0 = none."""

from typing import TYPE_CHECKING, Any

from seg.labels import IGNORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODES = {"id256": 256, "id1000": 1000}
"""What a pixel of a label image of 16 bits holds: class * this + instance."""

_MOST = (1 << 16) - 1


def checked_number(number: int) -> int:
    """Return the number of an object; raises ValueError if 16 bits do not hold it."""
    if number > _MOST:
        raise ValueError(f"expected at most {_MOST} objects, got more; cut the image, or leave instances out")
    return number


def coded_objects(samples: "NDArray[Any]", read: str, mask: "NDArray[np.uint8]") -> "NDArray[np.uint16]":
    """Return the number of the object at each pixel of an image that codes it, counted from 1 by what is stored.

    Args:
        samples: (H, W) integers, class * `CODES` + instance. With ``id1000``, those below 1000 are no objects; with
            ``id256`` every number is one, because some data sets count instances from 0.
        mask: (H, W) uint8; pixels to ignore have no object.

    Raises:
        ValueError: more objects than 16 bits count.
    """
    import numpy as np

    objects = (samples >= 1000 if read == "id1000" else samples >= 0) & (mask != IGNORE)
    values, numbers = np.unique(samples[objects], return_inverse=True)
    checked_number(len(values))
    numbered = np.zeros(samples.shape, np.uint16)
    numbered[objects] = numbers + 1
    return numbered
