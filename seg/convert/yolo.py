"""YOLO's text for segments: a line for each, its class number and its corners as shares of the image's size.

The size is that of the image of the same name, turned upright by its EXIF orientation. Corners become whole pixels and
are filled by OpenCV, as ultralytics does, in the order of the lines, a later one over an earlier one. Every line is an
object. Numbers are those of ``names`` in ``data.yaml``, in the folder of the files or the next above, or else count the
classes of the label map.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from seg.convert.annotations import AnnotationReader
from seg.convert.part import Part
from seg.convert.reader import Mapped
from seg.convert.sources import Source, list_sources
from seg.files import decoded, read_file
from seg.labels import LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES = "data.yaml"
_MOST = 0.01  # of the size, that a corner may lie outside, as ultralytics allows


class YoloReader(AnnotationReader):
    """Reads segments as masks, see `AnnotationReader`.

    Args:
        images: of the files, by their names.

    Raises:
        ValueError: an option out of range, or no images.
    """

    read, suffixes = "yolo", (".txt",)

    def __init__(self, labels: LabelMap, *, images: dict[str, Path] | None, **options: Any) -> None:
        if images is None:
            raise ValueError("read=yolo: expected images, of whose sizes corners are shares, got none; give images=DIR")
        super().__init__(labels, **options)
        self.images = images
        self._numbered: list[str] = []

    def sources(self, source: Path, destination: Path, pattern: str) -> Iterator[Source]:
        """List the files of a folder, each with the size of its image.

        Raises:
            ValueError: the folders do not fit, or ``data.yaml`` cannot be read.
        """
        listed = list_sources(source, destination, pattern, self.suffixes)
        file = next(
            (file for folder in (source, source.absolute().parent) if (file := folder / _NAMES).is_file()), None
        )
        self._numbered = list(self.labels.names) if file is None else _names(file)
        self.options["classes"] = self._numbered
        return map(self._sized, listed)

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of a `Part`; raises as `file` does."""
        import cv2
        import numpy as np

        size, *lines = decoded(data).splitlines()
        height, width = map(int, size.split())
        drawing, count = self.empty(height, width), 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                label, corners = self._parsed(line)
                value = self.value(label)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            points = (corners * (width, height)).astype(np.int32)
            pixels = np.zeros((height, width), np.uint8)
            cv2.fillPoly(pixels, [points], (1,))
            count += 1
            drawing.paint(pixels.astype(bool), value, count)
        if not count:
            drawing.note("none")
        return drawing.mapped()

    def _sized(self, source: Source) -> Source:
        if source.reason:
            return source
        try:
            name = PurePosixPath(source.name).with_suffix("").as_posix()
            if name not in self.images:
                raise ValueError(f"expected an image '{name}' in images, to know its size, got none; add it")
            height, width = upright_size(self.images[name])
            return source._replace(path=Part.of(source.path, f"{height} {width}\n".encode() + source.path.read_bytes()))
        except (OSError, ValueError) as error:
            return source._replace(reason=str(error))

    def _parsed(self, line: str) -> "tuple[str, NDArray[np.float64]]":
        """Return the class of a line, and its corners (P, 2) as shares."""
        import numpy as np

        first, *rest = line.split()
        try:
            number, shares = int(first), [float(text) for text in rest]
        except ValueError:
            raise ValueError(f"expected a class number and corners, got '{line[:60]}'; mend it") from None
        if not 0 <= number < len(self._numbered):
            raise ValueError(f"expected a class number below {len(self._numbered)}, got {number}; see {_NAMES}")
        if len(shares) == 4:
            raise ValueError("expected a segment of at least 3 corners, got a box; export segments")
        if len(shares) < 6 or len(shares) % 2:
            raise ValueError(f"expected at least 3 corners x y, got {len(shares)} numbers; export without confidence")
        if not all(math.isfinite(share) and -_MOST <= share <= 1 + _MOST for share in shares):
            raise ValueError("expected corners as shares of the size from 0 to 1, got others; export it again")
        return self._numbered[number], np.array(shares).reshape(-1, 2).clip(0, 1)


def _names(path: Path) -> list[str]:
    """Return the names of the classes, by their numbers."""
    import yaml

    try:
        content = yaml.safe_load(decoded(read_file(path)))
        names = content["names"]
        names = dict(enumerate(names)) if isinstance(names, list) else names
        return [str(names[number]) for number in range(len(names))]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, RecursionError):
        raise ValueError(
            f"'{path}': expected names: of the classes, numbered from 0, got others; mend it, or remove it, and the "
            "numbers are those of the label map"
        ) from None


def upright_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image, turned by its EXIF orientation.

    Raises:
        OSError, ValueError: a file that cannot be read, or is no image.
    """
    from seg.images.headers import orientation_of, size_of

    data = read_file(path)
    if (size := size_of(data)) is None:
        raise ValueError(f"image '{path}': expected one whose size can be read, got another file; export it again")
    return size if orientation_of(data) > 4 else size[::-1]
