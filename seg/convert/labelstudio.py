"""Label Studio's JSON of tasks: brushes, and polygons.

Regions are drawn in their order, a later one over an earlier one; a brush covers the pixels of which alpha is not 0,
and polygons are filled by pycocotools. Every region is an object. Choices and texts say something of the whole image
and are left out. An image is called by its path; of an address, or a path that begins elsewhere, the last part is its
name, without the eight characters that an upload puts before it.
"""

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from seg.convert.annotations import points_of, sides
from seg.convert.coco import check_pycocotools, pixels_of, runs_of
from seg.convert.many import ManyReader, name_of
from seg.convert.part import Part
from seg.convert.reader import Mapped
from seg.convert.sources import Source
from seg.files import checks, decoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REGIONS = re.compile(".*(labels|brush|polygon|rectangle|ellipse|keypoint|bitmask|vector)")  # of "type"
_UPLOAD = re.compile("[0-9a-f]{8}-")


class LabelStudioReader(ManyReader):
    """Reads tasks as masks, see `ManyReader`."""

    read = "labelstudio"

    def parts(self, file: Source) -> list[Source]:
        """List the tasks of a file."""
        try:
            try:
                tasks = json.loads(decoded(file.path.read_bytes()))
            except RecursionError:
                raise ValueError("expected Label Studio's JSON, got a damaged file; export it again") from None
            if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
                raise ValueError(
                    "expected a list of tasks, Label Studio's export JSON, got other JSON; export it again"
                )
        except (OSError, ValueError) as error:
            return [file._replace(mask="", reason=str(error))]
        inner, listed = PurePosixPath(file.name).parent, []
        for number, task in enumerate(tasks, start=1):
            name, reason = name_of(_image(task), self.last, "data")
            mask = str(inner / PurePosixPath(name).with_suffix(".png")) if name else ""
            shown = str(inner / name) if name else f"{file.name}, task {task.get('id', number)}"
            told = [task["data"].get(side) for side in ("height", "width")] if name else []
            about = {"json": file.path.name, "annotations": task.get("annotations"), "size": told}
            data = json.dumps(about).encode()
            listed.append(Source(Part.of(file.path, data), shown, mask, reason))
        return listed

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of a `Part`; raises as `file` does."""
        task = json.loads(data)
        try:
            regions = _regions(task["annotations"])
            size = {(region.get("original_height"), region.get("original_width")) for region in regions}
            if not regions and all(map(checks.is_whole, task["size"])):
                size = {tuple(task["size"])}  # as we write it
            if len(size) != 1:
                got = "no region" if not size else "several sizes"
                raise ValueError(f"expected regions that tell the size of the image, got {got}; label it, or remove it")
            height, width = sides(*size.pop(), "original_height and original_width", "export it again")
            drawing = self.empty(height, width)
            if not regions:
                drawing.note("none")
            for number, region in enumerate(regions, start=1):
                try:
                    label, pixels, corners = _drawn(region, height, width)
                    value = self.value(label)
                except ValueError as error:
                    raise ValueError(f"region {region.get('id', number)}: {error}") from None
                drawing.look_at(f"region {region.get('id', number)}", corners, bool(pixels.any()))
                drawing.paint(pixels, value, number)
        except ValueError as error:
            raise ValueError(f"{task['json']}, {error}") from None
        return drawing.mapped()


def _image(task: dict[str, Any]) -> Any:
    """Return the path of a task's image."""
    data = task.get("data")
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    value = data.get("image", texts[0] if len(texts) == 1 else None) if isinstance(data, dict) else None
    if not isinstance(value, str) or ("://" not in value and not value.startswith("/")):
        return value
    address = urlsplit(value)
    path = parse_qs(address.query).get("d", [unquote(address.path)])[0]  # a local file is ?d=PATH
    return _UPLOAD.sub("", PurePosixPath(path).name, count=1) if "/upload/" in path else PurePosixPath(path).name


def _regions(annotations: Any) -> list[dict[str, Any]]:
    """Return the regions of the one annotation that a task has."""
    if not isinstance(annotations, list) or not all(isinstance(item, dict) for item in annotations):
        raise ValueError("annotations: expected a list of objects, got others; export the full JSON, not JSON_MIN")
    kept = [item for item in annotations if not item.get("was_cancelled")]
    if len(kept) != 1:
        raise ValueError(
            f"annotations: expected one, got {len(kept)} that were not skipped; keep one in the tool, or remove it"
        )
    results = kept[0].get("result")
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError("result: expected a list of objects, got others; export it again")
    return [result for result in results if _REGIONS.match(str(result.get("type")))]


def _drawn(
    region: dict[str, Any], height: int, width: int
) -> tuple[Any, "NDArray[np.bool_]", list[tuple[float, float]]]:
    """Return label, pixels (H, W) and corners of a region."""
    from seg.convert.runs import brushed

    kind, value = region.get("type"), region.get("value")
    if kind not in ("brushlabels", "polygonlabels") or not isinstance(value, dict):
        raise ValueError(f"expected a brush or a polygon with a label, got '{kind}'; draw it so, or remove it")
    if region.get("image_rotation"):
        raise ValueError(f"image_rotation: expected 0, got {region['image_rotation']!r}; turn the image itself")
    labels = value.get(kind)
    if not isinstance(labels, list) or len(labels) != 1:
        raise ValueError(f"{kind}: expected one label, got {labels!r}; give it one")
    if kind == "polygonlabels":
        check_pycocotools("polygon")
        shares = points_of(value.get("points"))
        corners = [(x * width / 100, y * height / 100) for x, y in shares]  # in per cent of the size
        return (
            labels[0],
            pixels_of(runs_of([[n for corner in corners for n in corner]], height, width), height, width),
            corners,
        )
    rle = value.get("rle")
    if (
        value.get("format") != "rle"
        or not isinstance(rle, list)
        or not all(checks.is_whole(n) and 0 <= n < 256 for n in rle)
    ):
        raise ValueError("rle: expected a list of bytes with format rle, got others; export it again")
    return labels[0], brushed(bytes(rle), (height, width)), []
