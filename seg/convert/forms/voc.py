"""Pascal VOC's masks: PNG with a palette, whose numbers are classes, 255 being void; and CVAT's ``labelmap.txt``."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seg.convert.forms.form import Form, Picture, check_text
from seg.files import write_text
from seg.labels import IGNORE, Color, LabelMap

_VOID = (224, 224, 192)  # of VOC's own files


class VocForm(Form):
    """``SegmentationClass/NAME.png``, ``labelmap.txt``, and the names in ``ImageSets/Segmentation/default.txt``.

    Raises:
        ValueError: a class name that a line of ``labelmap.txt`` cannot hold, or two classes of one colour.
    """

    write, folder, suffix, objects = "voc", "SegmentationClass", ".png", False

    def __init__(self, labels: LabelMap, **options: object) -> None:
        super().__init__(labels, **options)  # type: ignore[arg-type]
        for name in labels.names:
            if ":" in check_text(name, "labelmap.txt") or "\n" in name or name[0] == "#":
                raise ValueError(
                    f"write=voc: expected class names without : # and line breaks, got {name!r}; rename it"
                )
        name, color = "void", _VOID
        ignored = [label for label in labels.labels if label.ignore and label.colors]
        if ignored:
            name, color = ignored[0].name, ignored[0].colors[0]
        self._void, self._name = color, name
        if len({*labels.palette}) < labels.classes:
            raise ValueError("write=voc: expected a colour of its own for each class, got one twice; give colours")
        if color in labels.palette:
            raise ValueError(
                f"write=voc: expected a colour {color} of void that no class has, got '"
                f"{labels.names[labels.palette.index(color)]}' of that colour; give it another, or ignore a class"
            )
        self._palette: list[Color] = [*labels.palette, *[(0, 0, 0)] * (IGNORE - labels.classes), self._void]

    @property
    def taken_for(self) -> str:
        """Return no class: void has a number of its own."""
        return ""

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the file."""
        mask = picture.mask
        if self.without is not None:
            mask = np.where(mask == self.without, np.uint8(IGNORE), mask)
        image = Image.fromarray(mask, "P")
        image.putpalette([value for color in self._palette for value in color])
        file = io.BytesIO()
        image.save(file, "png", compress_level=4)
        return file.getvalue(), 0

    def finish(self, target: Path, names: Sequence[str]) -> None:
        """Write the list of colours and that of the masks."""
        rows = [*zip(self.labels.names, self.labels.palette, strict=True), (self._name, self._void)]
        lines = [f"{name}:{','.join(map(str, color))}::" for name, color in rows]
        write_text(target / "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")
        folder = target / "ImageSets/Segmentation"
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "default.txt", "".join(f"{name}\n" for name in names))
