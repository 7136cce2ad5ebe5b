"""Label Studio's tasks: a brush for each region, and the labelling interface that the tasks belong to."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from seg.convert.forms.form import JoinedForm, Picture, check_text
from seg.convert.runs import brush
from seg.files import write_text
from seg.labels import LabelMap

_INTERFACE = "config.xml"


class LabelStudioForm(JoinedForm):
    """``tasks.json``, and ``config.xml`` for the project; raises ValueError for a class name that XML cannot hold."""

    write, file = "labelstudio", "tasks.json"

    def __init__(self, labels: LabelMap, **options: object) -> None:
        super().__init__(labels, **options)  # type: ignore[arg-type]
        for name in labels.names:
            check_text(name, "XML")

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the task, on one line."""
        regions = self.regions(picture)
        height, width = regions.shape
        rows = zip(regions.classes.tolist(), brush(regions), self.scores(picture, regions, "score"), strict=True)
        results = [
            {
                "id": f"{number}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {"format": "rle", "rle": rle, "brushlabels": [self.labels.names[value]]},
                **score,
            }
            for number, (value, rle, score) in enumerate(rows, start=1)
        ]
        about = {"image": picture.image, "width": width, "height": height}
        task = {"data": about, "annotations": [{"result": results}]}
        return json.dumps(task, separators=(",", ":")).encode(), 0

    def text(self, parts: Callable[[], Iterator[list[str]]]) -> Iterator[str]:
        """Yield the list of tasks."""
        yield "[\n"
        for number, (line,) in enumerate(parts()):
            yield (",\n" if number else "") + line
        yield "\n]\n"

    def finish(self, target: Path, names: Sequence[str]) -> None:
        """Write tasks and interface."""
        super().finish(target, names)
        labels = [
            f"    <Label value={quoteattr(name)} background={quoteattr('#{:02x}{:02x}{:02x}'.format(*color))}/>"
            for name, color in zip(self.labels.names, self.labels.palette, strict=True)
        ]
        image = '  <Image name="image" value="$image" zoom="true"/>'
        lines = ["<View>", image, '  <BrushLabels name="label" toName="image">', *labels, "  </BrushLabels>", "</View>"]
        write_text(target / _INTERFACE, "\n".join(lines) + "\n")
