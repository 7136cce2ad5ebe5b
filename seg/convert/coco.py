"""COCO's JSON: instances as polygons and run lengths, and panoptic segments as PNG beside it.

One file describes many images: each becomes a mask of the name of its ``file_name`` in ``images``, and counts as a
source of its own, so that a change of its annotations alone converts it again. Names of categories are classes; ids
mean nothing.

Where instances overlap, smaller ones lie over larger ones, and of equally large ones the later in the file lies over
the earlier. Regions of a crowd (``iscrowd``) are regions as others are, because CVAT marks all its run lengths so.
Polygons are filled by pycocotools, as by ``annToMask``. Every instance and segment is an object, but for crowds, which
have no number.

Panoptic files name a PNG for each image, which lies in the folder that has the name of the JSON file without ``.json``,
or beside it; its values red + 256 green + 65536 blue are those of ``segments_info``, and 0 is background.
"""

import io
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from seg.convert.annotations import (
    Drawing,
    Point,
    check_polygon,
    parsed,
    points_of,
    sides,
)
from seg.convert.many import ManyReader, name_of
from seg.convert.objects import checked_number
from seg.convert.part import Part
from seg.convert.reader import Mapped
from seg.convert.sources import Source
from seg.files import checks, read_file
from seg.labels import LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_OUTLINE = 1 << 22  # pixels; pycocotools takes memory for every step along it


class CocoReader(ManyReader):
    """Reads COCO's JSON as masks, see `ManyReader`; raises ValueError if pycocotools is missing."""

    read = "coco"

    def __init__(self, labels: LabelMap, **options: Any) -> None:
        super().__init__(labels, **options)
        check_pycocotools("read=coco")

    def parts(self, file: Source) -> list[Source]:
        """List the images of a file, each with its part of it or with the reason why there is none."""
        return _sources(file, self.last)

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of a `Part`; raises as `file` does."""
        part = json.loads(data)
        try:
            image = part["image"]
            height, width = sides(image.get("height"), image.get("width"), "height and width", "add them to the image")
            drawing = self.empty(height, width)
            (self._draw_segments if part["panoptic"] else self._draw_instances)(drawing, part)
            if not part["annotations"]:
                drawing.note("none")
        except ValueError as error:
            raise ValueError(f"{part['json']}, {error}") from None
        return drawing.mapped()

    def _draw_instances(self, drawing: Drawing, part: dict[str, Any]) -> None:
        drawn = []
        height, width = drawing.mask.shape
        for number, item in enumerate(part["annotations"], start=1):
            try:
                value = self._category(item, part)
                runs = runs_of(item.get("segmentation"), height, width)
            except ValueError as error:
                raise ValueError(f"annotation {item.get('id')}: {error}") from None
            drawing.look_at(f"annotation {item.get('id')}", _corners(item["segmentation"]), bool(runs[1::2].any()))
            drawn.append((int(runs[1::2].sum()), value, 0 if item.get("iscrowd") else number, runs))
        for _, value, number, runs in sorted(drawn, key=lambda each: -each[0]):
            drawing.paint(pixels_of(runs, height, width), value, number)

    def _draw_segments(self, drawing: Drawing, part: dict[str, Any]) -> None:
        import numpy as np

        if len(part["annotations"]) != 1:
            raise ValueError(f"expected one annotation for the image, got {len(part['annotations'])}; mend the file")
        item = part["annotations"][0]
        where = f"annotation of image {item['image_id']}"
        try:
            segments = _objects(item.get("segments_info"), "segments_info")
            values = {0: None} | {_segment(segment): self._category(segment, part) for segment in segments}
            found = _segment_ids(part, drawing.mask.shape, self.max_pixels)
            ids, where_in = np.unique(found, return_inverse=True)
            unknown = [number for number in ids.tolist() if number not in values]
            if unknown:
                raise ValueError(f"segment {unknown[0]}: expected it in segments_info, got none; add it")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        where_in = where_in.reshape(found.shape)
        outside = drawing.mask[0, 0]
        table = np.array([outside if (value := values[number]) is None else value for number in ids.tolist()], np.uint8)
        drawing.mask[:] = table[where_in]
        if drawing.numbers is not None:
            crowds = {_segment(segment) for segment in segments if segment.get("iscrowd")} & set(ids.tolist())
            drawing.groups = len(crowds)
            objects = {number: 0 if number in crowds else checked_number(place) for place, number in enumerate(values)}
            drawing.numbers[:] = np.array([objects[number] for number in ids.tolist()], np.uint16)[where_in]

    def _category(self, item: dict[str, Any], part: dict[str, Any]) -> int:
        names, number = part["categories"], item.get("category_id")
        if str(number) not in names or isinstance(number, str):
            raise ValueError(f"category_id: expected the id of a category, got {number!r}; add it to categories")
        return self.value(names[str(number)])


def _sources(file: Source, last: bool) -> list[Source]:
    """Return the images of a file, each with its part of it or with the reason why there is none.

    Args:
        last: they are named by the last part of their path.
    """
    try:
        content = parsed(file.path.read_bytes(), "as COCO has it", "images")
        images = _objects(content["images"], "images")
        if not images:
            raise ValueError("images: expected at least one, got none; take another file")
    except (OSError, ValueError) as error:
        return [file._replace(mask="", reason=str(error))]
    inner = PurePosixPath(file.name).parent
    named = []
    for image in images:
        name, reason = name_of(image.get("file_name"), last)
        mask = str(inner / PurePosixPath(name).with_suffix(".png")) if name else ""
        shown = str(inner / name) if name else f"{file.name}, image {image.get('id')}"
        named.append(Source(file.path, shown, mask, reason))
    try:
        parts = _parts(content, file.path, last)
    except (ValueError, RecursionError) as error:
        return [each._replace(reason=each.reason or f"{file.path.name}, {error}") for each in named]
    return [each._replace(path=Part.of(file.path, part)) for each, part in zip(named, parts, strict=True)]


def _parts(content: dict[str, Any], path: Path, last: bool) -> list[bytes]:
    """Return what the file says of each image, as JSON."""
    images = content["images"]
    categories = _by_id(_objects(content.get("categories"), "categories"), "category")
    names = {str(number): category.get("name") for number, category in categories.items()}
    annotations = _objects(content.get("annotations"), "annotations")
    known = _by_id(images, "image")
    of_image: dict[Any, list[dict[str, Any]]] = {number: [] for number in known}
    for item in annotations:
        number = item.get("image_id")
        if isinstance(number, list | dict) or number not in of_image:
            kind = "annotation of segments" if "segments_info" in item else f"annotation {item.get('id')}"
            raise ValueError(
                f"{kind}: expected as image_id the id of an image, got {number!r}; mend it (numbers and text differ)"
            )
        of_image[number].append(item)
    panoptic = any("segments_info" in item for item in annotations)
    return [
        json.dumps(
            {
                "json": path.name,
                "image": {key: image.get(key) for key in ("height", "width")},
                "panoptic": panoptic,
                "annotations": of_image[image["id"]],
                "categories": _used(names, of_image[image["id"]]),
                "png": _png(path, of_image[image["id"]], last) if panoptic else None,
            }
        ).encode()
        for image in images
    ]


def _used(names: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the categories that annotations use, so that another's new name does not convert their image again."""
    lists = [item["segments_info"] for item in annotations if isinstance(item.get("segments_info"), list)]
    segments = [part for parts in lists for part in parts if isinstance(part, dict)]
    ids = {str(item.get("category_id")) for item in (*annotations, *segments)}
    return {number: name for number, name in names.items() if number in ids}


def _objects(items: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(
            f"{key}: expected a list of objects, got {str(items)[:60]}; take an instances or panoptic file"
        )
    return items


def _by_id(items: list[dict[str, Any]], what: str) -> dict[Any, dict[str, Any]]:
    by_id: dict[Any, dict[str, Any]] = {}
    for number, item in enumerate(items, start=1):
        key = item.get("id")
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise ValueError(f"{what} {number}: expected a number as id, got {key!r}; mend it")
        if key in by_id:
            raise ValueError(f"{what} {number}: expected each id once, got {key!r} twice; renumber or remove one")
        by_id[key] = item
    return by_id


def _png(path: Path, annotations: list[dict[str, Any]], last: bool) -> list[Any]:
    """Return path, size and time of the segments' PNG; the path alone if there is none."""
    name = name_of(annotations[0].get("file_name"), last)[0] if annotations else ""
    if not name:
        return [""]
    file = next((file for folder in (path.with_suffix(""), path.parent) if (file := folder / name).is_file()), None)
    if file is None:
        return [str(path.with_suffix("") / name)]
    status = file.stat()
    return [str(file), status.st_size, status.st_mtime_ns]


def _segment(segment: dict[str, Any]) -> int:
    number = segment.get("id")
    if not checks.is_whole(number):
        raise ValueError(f"segments_info: expected a whole number as id, got {number!r}; mend it")
    return number


def _segment_ids(part: dict[str, Any], size: tuple[int, ...], max_pixels: int) -> "NDArray[np.int64]":
    """Return the id of each pixel's segment (H, W)."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    from seg.images.headers import check_frames

    path, name = part["png"][0], Path(part["png"][0]).name
    try:
        data = read_file(path)
        try:
            check_frames(data)
        except ValueError as error:
            raise ValueError(f"'{name}': {error}") from None
        with PngImageFile(io.BytesIO(data)) as image:
            checks.size(image.width, image.height, max_pixels)
            if image.mode != "RGB" or (image.height, image.width) != size:
                raise ValueError(
                    f"'{name}': expected RGB of {size[1]} x {size[0]} pixels, got Pillow's mode {image.mode} of "
                    f"{image.width} x {image.height}; export both again"
                )
            pixels = np.array(image, np.int64)
            return pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    except (FileNotFoundError, IsADirectoryError):  # an empty path is the folder
        raise ValueError(f"file_name: expected its PNG at '{path}', got none; put it there") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"'{name}': expected a PNG, got one that cannot be decoded ({error}); export it again"
        ) from None


def check_pycocotools(what: str) -> None:
    """Refuse polygons where pycocotools, which fills them, is missing."""
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise ValueError(
            f"{what}: expected pycocotools, which fills its polygons, got none; pip install 'seg-toolkit[coco]'"
        ) from None


def runs_of(segmentation: Any, height: int, width: int) -> "NDArray[np.int64]":
    """Return the lengths of the runs down the columns, outside and inside by turns, the first outside."""
    import numpy as np

    if isinstance(segmentation, list) and segmentation:
        return np.array(unpacked(_filled(segmentation, height, width)), np.int64)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(
            f"segmentation: expected polygons or run lengths, got {str(segmentation)[:60]}; export masks, not boxes"
        )
    counts = segmentation["counts"]
    if segmentation["size"] != [height, width]:
        raise ValueError(
            f"segmentation: expected run lengths of size [{height}, {width}], as the image has, got "
            f"{segmentation['size']}; export it again"
        )
    runs = unpacked(counts.encode(errors="replace")) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(checks.is_whole(run) for run in runs)
    if not whole or min(runs, default=0) < 0 or sum(runs) != height * width:
        got = f"a sum of {sum(runs)}" if whole else str(counts)[:60]
        raise ValueError(
            f"segmentation: expected run lengths of {height * width} pixels together, got {got}; export it again"
        )
    return np.array(runs, np.int64)


def _corners(segmentation: Any) -> list[Point]:
    """Return the corners of checked polygons; none of run lengths."""
    polygons = segmentation if isinstance(segmentation, list) else []
    return [corner for polygon in polygons for corner in zip(polygon[::2], polygon[1::2], strict=True)]


def unpacked(text: bytes) -> list[int]:
    """Unpack run lengths from COCO's text: five bits a character, differences to the last run but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError(
                "segmentation: expected run lengths as pycocotools writes them, got other text; export again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) and 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(
            "segmentation: expected run lengths as pycocotools writes them, got a torn text; export it again"
        )
    return runs


def _filled(polygons: list[Any], height: int, width: int) -> bytes:
    """Return the packed run lengths of what polygons cover together."""
    from pycocotools import mask

    outline = 0.0
    for polygon in polygons:
        numbers = polygon if isinstance(polygon, list) else None
        if numbers is None or len(numbers) % 2:
            raise ValueError(
                f"segmentation: expected polygons [[x, y, x, y, ...], ...], got {str(polygons)[:60]}; mend it"
            )
        points = points_of([*zip(numbers[::2], numbers[1::2], strict=True)], "segmentation")
        check_polygon(points, height, width)
        steps = zip(points, points[1:] + points[:1], strict=True)
        outline += sum(max(abs(x1 - x0), abs(y1 - y0)) for (x0, y0), (x1, y1) in steps)
    if outline > _MOST_OUTLINE:
        raise ValueError(
            f"segmentation: expected at most {_MOST_OUTLINE} pixels of outline, got {outline:.0f}; mend or remove it"
        )
    counts: bytes = mask.merge(mask.frPyObjects(polygons, height, width))["counts"]
    return counts


def pixels_of(runs: "NDArray[np.int64]", height: int, width: int) -> "NDArray[np.bool_]":
    """Return the pixels (H, W) within the runs."""
    import numpy as np

    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
