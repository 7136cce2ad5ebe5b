"""GeoJSON: a polygon with its holes for each region, in the coordinates of the image if it is a GeoTIFF, or in pixels.

Rings go along the sides of pixels: a pixel whose middle lies within is of the region, as geographic tools have it.
Outer rings turn to the left, holes to the right (RFC 7946, 3.1.6). A coordinate system other than WGS 84 is named by
``crs``, as GDAL and QGIS read it; in pixels, y counts downwards, and there is none.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.convert.forms.form import Form, Picture, Redrawn, numbers_of
from seg.convert.outlines import Ring, fill_edges, find_outlines

_WGS84 = 4326
_SCALE, _TIE, _MATRIX, _KEYS = 33550, 33922, 34264, 34735  # tags of GeoTIFF 1.1
_RASTER, _POINT, _GEOGRAPHIC, _PROJECTED, _NO_CODE = 1025, 2, 2048, 3072, 32767  # its keys, and values of them


class Place(NamedTuple):
    """Where an image lies: (x, y) = ``matrix`` @ (column, row, 1), and the number of its coordinate system in EPSG."""

    matrix: NDArray[np.float64]
    epsg: int | None


class GeojsonForm(Form):
    """``geojson/NAME.geojson`` for each mask."""

    write, folder, suffix, kinds = "geojson", "geojson", ".geojson", ("polygons",)

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the file; raises ValueError for a GeoTIFF without tifffile, or of which the place is not known."""
        place = place_of(picture.file) if picture.file else None
        regions = self.regions(picture)
        redrawn, features, scores = Redrawn(regions), [], self.scores(picture, regions, "confidence")
        for number, (left, top, width, height) in enumerate(regions.boxes.tolist()):
            outlines = find_outlines(regions.pixels(number), "edges", self.tolerance)
            redrawn.draw(number, fill_edges(outlines, (height, width)))
            rings = [
                [_placed(ring, place, (left, top), n == 0) for n, ring in enumerate((each.outer, *each.holes))]
                for each in outlines
            ]
            value, one = int(regions.classes[number]), len(rings) == 1
            properties = {"class": self.labels.names[value], "index": value, **scores[number]}
            if regions.objects[number]:
                properties["object"] = int(regions.objects[number])
            geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": rings[0] if one else rings}
            features.append(json.dumps({"type": "Feature", "properties": properties, "geometry": geometry}))
        about: dict[str, Any] = {"type": "FeatureCollection", "name": picture.name}
        if place and place.epsg not in (None, _WGS84):
            about["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{place.epsg}"}}
        text = json.dumps(about)[:-1] + ', "features": [\n' + ",\n".join(features) + "\n]}\n"
        return text.encode(), redrawn.lost(picture.mask, self.without)


def place_of(path: Path) -> Place | None:
    """Return where a GeoTIFF lies; None of another file.

    Raises:
        ValueError: tifffile is missing, or the file says it in a way that is not read.
    """
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return None
    try:
        import tifffile
    except ImportError:
        raise ValueError("expected tifffile to read coordinates, got none; pip install 'seg-toolkit[tiff]'") from None
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            tags = {tag.code: tag.value for tag in page.tags}
    except Exception as error:
        raise ValueError(f"image '{path}': expected a TIFF, got one that cannot be read ({error}); mend it") from None
    keys = {
        key: value for key, location, _, value in np.reshape(tags.get(_KEYS, ()), (-1, 4))[1:].tolist() if not location
    }
    if _MATRIX in tags:
        matrix = np.reshape(tags[_MATRIX], (4, 4))[:2, [0, 1, 3]].astype(np.float64)
    elif _SCALE in tags and len(tags.get(_TIE, ())) == 6:
        (i, j, _, x, y, _), (across, down, _) = tags[_TIE], tags[_SCALE]
        matrix = np.array([[across, 0, x - i * across], [0, -down, y + j * down]])
    elif _TIE in tags or keys:
        raise ValueError(
            f"image '{path}': expected a GeoTIFF with a transform, or a tie point and a scale, got others; warp it"
        )
    else:
        return None
    if keys.get(_RASTER) == _POINT:  # its coordinates are those of the middle of a pixel
        matrix[:, 2] -= matrix[:, :2].sum(1) / 2
    code = keys.get(_PROJECTED, keys.get(_GEOGRAPHIC))
    return Place(matrix, None if code == _NO_CODE else code)


def _placed(ring: Ring, place: Place | None, offset: tuple[int, int], outer: bool) -> list[list[float]]:
    """Return the corners of a ring, the first once more at the end, turning to the left if it is an outer one."""
    corners = np.add(ring, offset)
    if place is not None:
        corners = corners @ place.matrix[:, :2].T + place.matrix[:, 2]
    x, y = corners.T
    left = float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 0
    corners = corners if left == outer else corners[::-1]
    closed = np.concatenate([corners, corners[:1]])
    numbers = numbers_of(closed) if place is None else closed.ravel().tolist()
    return [[x, y] for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
