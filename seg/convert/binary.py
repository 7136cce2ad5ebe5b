"""Binary masks, a file for each class of an image, merged into one mask.

A pixel that is not 0 (black) is of the class. Several files of one class are united; pixels that two classes claim fail
the image, unless ``order`` says which class lies over the other. Every file is an object.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.convert.annotations import AnnotationReader
from seg.convert.part import Part
from seg.convert.reader import LabelReader, Mapped
from seg.convert.sources import Source, list_sources
from seg.labels import Label, LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLACK = LabelMap([Label("black", colors=((0, 0, 0),), values=(0,))])


class BinaryReader(AnnotationReader):
    """Reads one binary mask a class, see `AnnotationReader`.

    Args:
        class_template: relative path of a file: ``{}`` is the name of the image, ``{class}`` that of the class, ``*``
            any part of a name, such as ``{class}/{}.png``.
        order: classes from the lowest to the topmost.

    Raises:
        ValueError: an option out of range.
    """

    read = "binary"
    suffixes = LabelReader.suffixes

    def __init__(
        self, labels: LabelMap, *, class_template: str | None, order: Sequence[str] | None = None, **options: Any
    ) -> None:
        super().__init__(labels, **options)
        self.template = class_template
        if not isinstance(class_template, str) or [class_template.count(part) for part in ("{}", "{class}")] != [1, 1]:
            raise ValueError(
                f"class_template: expected {{}} and {{class}} once each, got {class_template!r}; give such as "
                "{class}/{}.png or {}_{class}.png"
            )
        if isinstance(order, str) or len({*(order or ())}) < len(order or ()):
            raise ValueError(f"order: expected a list of different classes, got {order!r}; give such as [road,car]")
        if unknown := [name for name in order or () if not self.knows(name)]:
            listed = ", ".join(label.name for label in labels.labels)
            raise ValueError(f"order: expected classes of the map ({listed}), got {unknown[0]!r}; choose among them")
        self.rank = {name: place for place, name in enumerate(order or ())}
        self.options |= {"class_template": class_template, "order": list(self.rank)}
        known = "|".join(map(re.escape, sorted(self._classes, key=len, reverse=True)))
        self._known = [_pattern(class_template, image, known) for image in (".+", ".+?")]
        self._any = re.compile(rf"\A{_pattern(class_template, '.+', '.+').pattern}\Z")
        self._file = LabelReader(_BLACK, unknown="ignore", max_pixels=self.max_pixels)

    def sources(self, source: Path, destination: Path, pattern: str) -> list[Source]:
        """List a source for each image; files whose names do not fit are failures.

        Raises:
            ValueError: the folders do not fit, or no file has a name that fits.
        """
        wrong, images = [], defaultdict(list)
        for file in list_sources(source, destination, pattern, self.suffixes):
            try:
                if file.reason:
                    raise ValueError(file.reason)
                image, label = self._image_of(file.name)
                status = file.path.stat()
            except (OSError, ValueError) as error:
                wrong.append(file._replace(mask="", reason=str(error)))
            else:
                images[image].append((label, file.name, status.st_size, status.st_mtime_ns))
        if not images:
            raise ValueError(f"{wrong[0].name}: {wrong[0].reason}")
        parts = ((name, json.dumps(files).encode()) for name, files in sorted(images.items()))
        return [*wrong, *(Source(Part.of(source / "-", data), f"{name}.png", f"{name}.png") for name, data in parts)]

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Merge the files of an image; raises as `file` does."""
        assert folder is not None
        files = sorted(json.loads(data), key=lambda file: (self.rank.get(file[0], -1), file[1]))
        drawing, exif = None, ""
        painted: dict[str, NDArray[np.bool_]] = {}
        for number, (label, name, *_) in enumerate(files, start=1):
            try:
                value = self.value(label)
                pixels, turned = self._pixels(folder / name)
                drawing = drawing or self.empty(*pixels.shape)
                if pixels.shape != drawing.mask.shape:
                    sizes = [f"{width} x {height}" for height, width in (drawing.mask.shape, pixels.shape)]
                    raise ValueError(f"expected {sizes[0]} pixels as '{files[0][1]}' has, got {sizes[1]}; mend one")
                self._check_order(label, pixels, painted)
            except (OSError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
            drawing.paint(pixels, value, number)
            painted[label] = painted.get(label, False) | pixels
            exif = exif or turned
        assert drawing is not None
        return drawing.mapped()._replace(exif=exif)

    def _image_of(self, name: str) -> tuple[str, str]:
        """Return the image and the class of a file; raises ValueError if its name has none, or two."""
        known = [way for pattern in self._known if (way := pattern.fullmatch(name))]
        found = {(way["image"], way["label"]) for way in known or self._any.finditer(name)}
        if not found:
            raise ValueError(
                f"expected a name as in class_template={self.template}, got another; mend it, or leave the file out by "
                "pattern"
            )
        if len(found) > 1:
            meanings = " and ".join(f"'{label}' of '{image}'" for image, label in sorted(found))
            raise ValueError(
                f"expected a name of one meaning under class_template={self.template}, got {meanings}; rename the file"
            )
        return found.pop()

    def _pixels(self, path: Path) -> tuple["NDArray[np.bool_]", str]:
        """Read where a file is not 0 (H, W), and what was done about its EXIF orientation."""
        mapped, _ = self._file.file(path)
        if (odd := mapped.missing) and odd[1] > 1:
            form = f" ({mapped.lossy}, which changes what was painted)" if mapped.lossy else ""
            raise ValueError(f"expected 0 and one other value, got {odd[1]} others{form}; save it with two values")
        if odd and odd[7]:
            raise ValueError(
                f"expected pixels of the class without transparency, got {odd[7]} of alpha 0; save it with two values "
                "and without alpha"
            )
        return mapped.mask != 0, mapped.exif

    def _check_order(self, label: str, pixels: "NDArray[np.bool_]", painted: "dict[str, NDArray[np.bool_]]") -> None:
        """Refuse pixels that another class has, unless ``order`` names both."""
        for other, below in painted.items():
            if other == label or (label in self.rank and other in self.rank) or not (both := pixels & below).any():
                continue
            y, x = divmod(int(both.argmax()), both.shape[1])
            raise ValueError(
                f"expected pixels of '{label}' alone, got {int(both.sum())} that are of '{other}' too, the first at "
                f"x={x}, y={y}; give order=[...], all classes that overlap from the lowest to the topmost, or mend one"
            )


def _pattern(template: str, image: str, label: str) -> re.Pattern[str]:
    """Return a template as a regular expression.

    Args:
        image, label: what the names may be, as regular expressions.
    """
    parts = {"{}": f"(?P<image>{image})", "{class}": f"(?P<label>{label})", "*": "[^/]*"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\{\}|\{class\}|\*)", template)))
