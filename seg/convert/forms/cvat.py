"""CVAT's XML for images 1.1: a ``mask`` for each region, run lengths within its box."""

from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

from seg.convert.forms.form import JoinedForm, Picture, check_text
from seg.convert.runs import box_counts
from seg.labels import LabelMap


class CvatForm(JoinedForm):
    """One file, ``annotations.xml``; raises ValueError for a class name that XML cannot hold."""

    write, file = "cvat", "annotations.xml"

    def __init__(self, labels: LabelMap, **options: object) -> None:
        super().__init__(labels, **options)  # type: ignore[arg-type]
        for name in labels.names:
            check_text(name, "XML")

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the ``image`` without its number, each mask in a line."""
        regions = self.regions(picture)
        height, width = regions.shape
        lines = [f"name={quoteattr(check_text(picture.image, 'XML'))} width={_of(width)} height={_of(height)}>"]
        sides = ("left", "top", "width", "height")
        for value, box, counts in zip(
            regions.classes.tolist(), regions.boxes.tolist(), box_counts(regions), strict=True
        ):
            label = quoteattr(self.labels.names[value])
            place = " ".join(f"{side}={_of(number)}" for side, number in zip(sides, box, strict=True))
            runs = ", ".join(map(str, counts))
            lines.append(f'    <mask label={label} source="file" occluded="0" rle="{runs}" {place} z_order="0"></mask>')
        return "\n".join([*lines, "  </image>"]).encode(), 0

    def text(self, parts: Callable[[], Iterator[list[str]]]) -> Iterator[str]:
        """Yield the labels with their colours, then the images, numbered from 0."""
        yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        yield "  <meta>\n    <task>\n      <mode>annotation</mode>\n      <labels>\n"
        for name, color in zip(self.labels.names, self.labels.palette, strict=True):
            hexadecimal = "#{:02x}{:02x}{:02x}".format(*color)
            about = f"<name>{escape(name)}</name><color>{hexadecimal}</color><type>mask</type><attributes></attributes>"
            yield f"        <label>{about}</label>\n"
        yield "      </labels>\n    </task>\n  </meta>\n"
        for number, lines in enumerate(parts()):
            yield f'  <image id="{number}" ' + "\n".join(lines) + "\n"
        yield "</annotations>\n"


def _of(number: int) -> str:
    return f'"{number}"'
