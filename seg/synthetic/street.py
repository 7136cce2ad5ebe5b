"""The painter of `seg.synthetic`: streets in perspective, drawn from far to near through one pinhole camera.

Only operations with the same bytes everywhere: PCG64 `random()` and `integers()` draws, + - * / and OpenCV's integer
rasterisation of convex shapes (`fillPoly` draws other pixels in OpenCV 4.9 and 4.10 than in 4.12 and 5.0).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.images import Image
from seg.labels import IGNORE

CLASSES = {
    "road": (128, 64, 128), "pavement": (244, 35, 232), "building": (70, 70, 70), "sky": (70, 130, 180),
    "vegetation": (107, 142, 35), "vehicle": (0, 0, 142), "pole": (153, 153, 153), "person": (220, 20, 60),
    "sign": (220, 220, 0), "fence": (190, 153, 153),
}  # fmt: skip
"""Class names in index order and their label colours; void is (0, 0, 0)."""

ROAD, PAVEMENT, BUILDING, SKY, VEGETATION, VEHICLE, POLE, PERSON, SIGN, FENCE = range(len(CLASSES))

Color = tuple[float, float, float]
Polygon = Sequence[tuple[int, int]]
_T = TypeVar("_T")


def _colors(text: str) -> list[Color]:
    return [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in text.split()]


# Palettes overlap on purpose: grey is road, wall, car, pole or cloud; brown is leaf, wall, coat or fence.
_ASPHALT = _colors("5c5c60 787672 4a4c54 8c847e")
_PAVING = _colors("96908a 807e80 a68c7a b0aca0")
_WALLS = _colors("a8604a c4b496 808082 d6d0c8 967860 6e7e8c ccaa6e b08a84 8e9880")
_GLASS = _colors("3c424c 5a6878 96aabe c8be96")
_ZENITHS = _colors("6092d6 a8b0ba 7080aa 7ea0c4 8c929a")
_HORIZONS = _colors("c0d8ee ced0d2 f0c496 e0e2dc b2b4b6")
_LEAVES = _colors("4a6832 627a3e 385438 8e7638 706c42 965a34")
_PAINTS = _colors("d2d2d4 282a30 808288 a02424 284682 3c5c46 c4b082 be7828 54606e")
_CLOTHES = _colors("2c2e3e 96282c 465a82 aaa08c 5a603c c8c4be 745440 cea43c 3c3c3c")
_SKINS = _colors("e0b89c b48264 785440")
_SIGNS = _colors("2850a0 dcdcd6 b4282c e6be32 828486 323434")
_RAILS = _colors("808284 78805c 405442 ceccc6 46484e")

# Width and side view of each vehicle, (length, height) in metres, rear first; panes span points 1-2 and 4-5.
_VEHICLES: list[tuple[float, list[tuple[float, float]]]] = [
    (1.8, [(0, 0.3), (0.5, 1), (1.1, 1.4), (1.3, 1.45), (2.7, 1.45), (3.4, 1), (4.4, 0.85), (4.4, 0.3)]),
    (1.7, [(0, 0.3), (0, 0.95), (0.35, 1.45), (0.5, 1.52), (2.5, 1.52), (3.2, 1), (3.9, 0.9), (3.9, 0.3)]),
    (2.0, [(0, 0.35), (0, 1.2), (0.1, 2), (0.2, 2.15), (3.9, 2.15), (4.6, 1.25), (5.2, 1.1), (5.2, 0.35)]),
    (2.5, [(0, 0.4), (0, 1.5), (0, 2.7), (0.1, 3), (8.9, 3), (9, 1.4), (9, 1.2), (9, 0.4)]),
]
_COS = (256, 237, 181, 98, 0, -98, -181, -237, -256, -237, -181, -98, 0, 98, 181, 237)  # 256 cos(2 pi i / 16)
_DEPTHS = (1.2, 1.6, 2.2, 3, 4, 6, 8, 11, 15, 20, 28, 38, 50, 70, 95, 130)  # metres: where ground edges are sampled


class Rng(np.random.Generator):
    """The two draws that are the same everywhere, in useful forms."""

    @classmethod
    def streams(cls, seed: int, count: int, of: int) -> list["Rng"]:
        """Return the first `count` of `of` independent generators."""
        seeds = np.random.Generator(np.random.PCG64(seed)).integers(0, 1 << 62, of)
        return [cls(np.random.PCG64(int(s))) for s in seeds[:count]]

    def several(self, rate: float, limit: int = 24) -> list["Rng"]:
        """Return one generator per object, `rate` on average; object i is the same at every rate that reaches it."""
        count = int(min(rate, limit - 1) + self.random())
        return self.streams(int(self.integers(0, 1 << 62)), count, limit)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def pick(self, options: Sequence[_T]) -> _T:
        return options[int(self.integers(len(options)))]

    def tint(self, palette: Sequence[Color], spread: float = 16) -> Color:
        """Draw a colour near one of the palette: brightness moves by `spread`, each channel by a third of it."""
        light = self.between(-spread, spread)
        r, g, b = (c + light + self.between(-spread, spread) / 3 for c in self.pick(palette))
        return r, g, b

    def blob(self, x: float, y: float, rx: float, ry: float, rough: float = 0.3) -> Polygon:
        """Return an ellipse in pixels with ragged flanks."""
        reach = [rx * (1 - rough * r) / 256 for r in self.random(16).tolist()]
        return [(int(x + r * _COS[i]), int(y + ry * _COS[i - 4] / 256)) for i, r in enumerate(reach)]


def _scaled(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


@dataclass
class Street:
    """A camera, the picture it has taken so far, and the objects still to draw.

    Points are (x, y, z) in metres: right of the camera, above the ground, ahead.
    """

    image: Image
    mask: Image
    focal: float
    eye: float
    horizon: float
    centre: float
    bend: float
    sun: float  # shift of a cast shadow to the right per metre of height; 0 = overcast
    mist: Color
    edges: tuple[float, float]  # of the road
    walks: tuple[float, float]  # outer edges of the pavements
    things: Image  # (H, W), number of the vehicle or person at each pixel, 0 = none
    depth: float = 0.0
    thing: int = 0  # what is being drawn
    items: list[tuple[float, "partial[None]"]] = field(default_factory=list)
    shadows: list[NDArray[np.int32]] = field(default_factory=list)

    def at(self, x: float, y: float, z: float) -> tuple[int, int]:
        """Return the pixel (column, row) of a point; the street bends by `bend` z^2."""
        column = self.centre + self.focal * (x / z + self.bend * z)
        return int(column), int(self.horizon + self.focal * (self.eye - y) / z)

    def fill(self, color: Color, label: int | None, *parts: Polygon) -> None:
        """Paint polygons, hazed by the current depth; without a label the mask stays.

        No row of pixels may cross an outline more than twice: `fillPoly`, which could take any outline, draws
        other pixels since OpenCV 4.12 than it did before.
        """
        haze = min(self.depth / 220, 0.5)
        hazed = [min(max(int(c + (m - c) * haze), 0), 255) for c, m in zip(color, self.mist, strict=True)]
        for part in parts:
            points = np.array(part, np.int32)
            cv2.fillConvexPoly(self.image, points, hazed)
            if label is not None:
                cv2.fillConvexPoly(self.mask, points, [label])
                cv2.fillConvexPoly(self.things, points, [self.thing])

    def board(self, x0: float, x1: float, y0: float, y1: float, z: float) -> Polygon:
        """Paint a rectangle that faces the camera."""
        return [self.at(x0, y0, z), self.at(x1, y0, z), self.at(x1, y1, z), self.at(x0, y1, z)]

    def wall(self, x: float, y0: float, y1: float, near: float, far: float) -> Polygon:
        """Paint a rectangle along the street."""
        return [self.at(x, y0, near), self.at(x, y0, far), self.at(x, y1, far), self.at(x, y1, near)]

    def ground(self, x0: float, x1: float, near: float = _DEPTHS[0], far: float = _DEPTHS[-1]) -> Polygon:
        """Paint a strip along the street."""
        depths = [near, *(z for z in _DEPTHS if near < z < far), far]
        return [self.at(x0, 0, z) for z in depths] + [self.at(x1, 0, z) for z in reversed(depths)]

    def add(self, draw: Callable[..., None], rng: Rng, x: float, z: float, *more: float) -> None:
        self.items.append((z, partial(draw, self, rng, x, z, *more)))

    def cast(self, x0: float, x1: float, near: float, far: float, height: float) -> None:
        """Leave the ground shadow of a box."""
        corners = [(x, z) for x in (x0, x1) for z in (near, far)]
        if self.sun:
            corners += [(x + self.sun * height, z + 0.3 * height) for x, z in corners]
        hull = cv2.convexHull(np.array([self.at(x, 0, z) for x, z in corners], np.int32))
        self.shadows.append(hull.astype(np.int32))

    def lit(self, side: float) -> float:
        """Return the brightness of a wall that faces right (side > 0) or left."""
        return (1.12 if side * self.sun < 0 else 0.72) if self.sun else 1.0


def _street(rng: Rng, height: int, width: int) -> Street:
    """Choose camera, weather and road, and paint the sky."""
    weather = int(rng.integers(len(_ZENITHS)))
    top, low = rng.tint([_ZENITHS[weather]]), rng.tint([_HORIZONS[weather]])
    left, right = -rng.pick((4.9, 5.3, 8.0)), rng.pick((1.9, 4.2, 5.2))
    street = Street(
        image=np.zeros((height, width, 3), np.uint8), mask=np.full((height, width), SKY, np.uint8),
        things=np.zeros((height, width), np.uint8),
        focal=height * rng.between(1.0, 1.35), eye=rng.between(1.4, 2.2), bend=rng.between(-0.003, 0.003),
        horizon=height * rng.between(0.38, 0.52), centre=width * rng.between(0.36, 0.64),
        sun=rng.pick((0.0, 0.0, -1.4, -0.7, 0.7, 1.4)), mist=low, edges=(left, right),
        walks=(left - rng.between(1.5, 5), right + rng.between(1.5, 5)),
    )  # fmt: skip
    rows = (np.arange(height) / street.horizon).clip(0, 1)[:, None, None]
    street.image[:] = (np.array(top) + (np.array(low) - np.array(top)) * rows).clip(0, 255)
    for cloud in rng.several(rng.pick((0, 3, 6))):
        x, y = cloud.random() * width, cloud.random() * street.horizon
        size = cloud.between(0.02, 0.07) * height
        for _ in range(5):
            row, wide = y + size * cloud.between(-0.3, 0.3), size * cloud.between(1, 2.5)
            puff = cloud.blob(x, row, wide, size * 0.6)
            street.fill(cloud.tint([_scaled(low, 1.06)], 5), None, puff)
            x += size * cloud.between(0.5, 1.5)
    return street


def _skyline(street: Street, rng: Rng) -> None:
    """Close the end of the street with far houses or trees."""
    street.depth, size, woods = 95.0, street.focal / 95, rng.random()
    x = stop = -30 - street.mask.shape[1] / size
    while x < -stop:
        wide, high = rng.between(5, 15), rng.between(3, 11)
        if rng.random() < woods:
            crown = rng.blob(*street.at(x, high / 2, 95), wide * size, high * size)
            street.fill(rng.tint(_LEAVES), VEGETATION, crown)
        else:
            street.fill(rng.tint(_WALLS), BUILDING, street.board(x, x + wide, -1, high, 95))
        x += wide * 0.8


def _ground(street: Street, rng: Rng) -> None:
    """Paint verges, pavements with a kerb, and the road with patches and markings."""
    (left, right), (height, width), top = street.edges, street.mask.shape, int(street.horizon) + 1
    street.depth = 15.0
    verge = (rng.tint(_LEAVES), VEGETATION) if rng.random() < 0.6 else (rng.tint(_PAVING), PAVEMENT)
    asphalt, paving = rng.tint(_ASPHALT), rng.tint(_PAVING)
    street.fill(*verge, [(0, top), (width, top), (width, height), (0, height)])
    street.fill(paving, PAVEMENT, street.ground(*street.walks))
    street.fill(_scaled(paving, 1.15), PAVEMENT, street.ground(left - 0.2, right + 0.2))
    street.fill(asphalt, ROAD, street.ground(left, right))
    for patch in rng.several(2):
        x, z, factor = patch.between(left, right - 1.5), patch.between(4, 30), patch.between(0.8, 1.12)
        street.fill(_scaled(asphalt, factor), None, street.ground(x, x + 1.5, z, z * 1.4))
    paint, dash, strips = rng.tint([(214, 212, 204)]), rng.between(1.5, 3), []
    for x in (-1.8, -5.0):
        if x > left + 1 and rng.random() < 0.8:
            cuts = [(2 + 2.5 * dash * i, 2 + 2.5 * dash * i + dash) for i in range(14)]
            strips += [street.ground(x - 0.07, x + 0.07, *cut) for cut in rng.pick((cuts, cuts, [(1.2, 130.0)]))]
    if rng.random() < 0.4:
        strips += [street.ground(x, x + 0.1) for x in (left + 0.25, right - 0.35)]
    if rng.random() < 0.3:
        z = rng.between(8, 22)
        strips += [street.ground(left + 0.4 + i, left + 0.9 + i, z, z + 3) for i in range(int(right - left))]
    street.fill(paint, None, *strips)


def _building(street: Street, rng: Rng, x: float, near: float, far: float) -> None:
    """Paint a house whose front runs along the street at `x`."""
    side, high, paint = (1 if x > 0 else -1), 3.0 * int(rng.integers(2, 7)), rng.tint(_WALLS, 22)
    ridge = high + rng.pick((0, 0, 2.5, 4))
    middle = x + side * 4.5
    eaves = [street.at(x - side * 0.3, high, z) for z in (far, near)]
    street.fill(rng.tint(_RAILS), BUILDING, [*eaves, street.at(middle, ridge, near), street.at(middle, ridge, far)])
    for _ in rng.several(1.2):
        chimney = street.board(x + side, x + side * 2, high, ridge + 1.2, rng.between(near, far))
        street.fill(_scaled(paint, 0.8), BUILDING, chimney)
    gable = [*street.board(x, x + side * 9, -0.2, high, near), street.at(middle, ridge, near)]
    street.fill(_scaled(paint, 0.9), BUILDING, [gable[i] for i in (0, 1, 2, 4, 3)])
    street.fill(_scaled(paint, street.lit(-side)), BUILDING, street.wall(x, -0.1, high, near, far))
    if near > 45:
        return
    wide, step, floors = rng.between(0.8, 1.6), rng.between(2.2, 3.4), range(1, int(high), 3)
    starts = [near + step * (i + 0.4) for i in range(int((far - near) / step))]
    panes = [street.wall(x, y, y + 1.6, z, z + wide) for z in starts for y in floors]
    ends = (x + side * u for u in (1.5, 4, 6.5))
    panes += [street.board(u, u + side * wide, y, y + 1.5, near) for u in ends for y in floors]
    glass, bright = rng.tint(_GLASS), (rng.random(len(panes)) < 0.25).tolist()
    street.fill(glass, None, *(p for p, b in zip(panes, bright, strict=True) if not b))
    street.fill(_scaled(glass, 1.4), None, *(p for p, b in zip(panes, bright, strict=True) if b))
    if rng.random() < 0.4:
        street.fill(rng.tint(_PAINTS), None, street.wall(x, 2.65, 3.3, near, far))  # shop front


def _tree(street: Street, rng: Rng, x: float, z: float, high: float) -> None:
    """Paint a trunk and a crown of overlapping blobs; a low one is a bush without a trunk."""
    leaf, size, base = rng.tint(_LEAVES), street.focal / z, 0.35 * high if high > 2.5 else 0.0
    if base:
        street.fill(rng.tint([(84, 68, 54)]), VEGETATION, street.board(x - 0.14, x + 0.14, 0, high * 0.6, z))
    spread = (high - base) * rng.between(0.3, 0.45)
    for i in range(9):
        y, r = base + (high - base) * (0.2 + 0.075 * i), spread * size * rng.between(0.45, 0.75)
        crown = rng.blob(*street.at(x + rng.between(-0.7, 0.7) * spread, y, z), r, r * 0.8, 0.5)
        street.fill(_scaled(leaf, rng.between(0.75, 0.85) + 0.05 * i), VEGETATION, crown)


def _vehicle(street: Street, rng: Rng, x: float, z: float, away: float) -> None:
    """Paint a side view drawn out to its width: strips from far to near, then the side that shows."""
    wide, profile = rng.pick(_VEHICLES[: 4 if rng.random() < 0.25 else 3])
    paint, glass, (long, _) = rng.tint(_PAINTS), rng.tint([(58, 66, 76)]), profile[-1]
    x0, x1, turn = x - wide / 2, x + wide / 2, street.bend * z
    points = [(v, z + u if away else z + long - u) for u, v in profile]
    tyres = [street.board(u, u + 0.22, 0, 0.5, z + 0.3) for u in (x0 + 0.05, x1 - 0.27)]
    street.fill((28, 28, 30), VEHICLE, *tyres, street.board(x0, x1, 0.2, 0.5, z + 0.6))
    for i in range(7)[:: -1 if away else 1]:
        (v, a), (t, b) = points[i], points[i + 1]
        strip = [street.at(x0, v, a), street.at(x1, v, a), street.at(x1, t, b), street.at(x0, t, b)]
        street.fill(glass if i in (1, 4) else _scaled(paint, 0.9 if i in (0, 6) else 1.12), VEHICLE, strip)
    if x0 / z + turn > 0 or x1 / z + turn < 0:
        edge, facing = (x0, -1) if x0 / z + turn > 0 else (x1, 1)
        side = [street.at(edge, v, w) for v, w in points]
        street.fill(_scaled(paint, 0.85 * street.lit(facing)), VEHICLE, side)
        window = [(v + 0.1 - 0.2 * (i in (2, 3)), w) for i, (v, w) in enumerate(points) if 1 <= i <= 5]
        street.fill(glass, None, [street.at(edge, v, w) for v, w in window])
        for hub in (z + long * 0.2, z + long * 0.8):
            rim = zip(_COS, _COS[12:] + _COS[:12], strict=True)
            street.fill((30, 30, 32), VEHICLE, [street.at(edge, 0.32 + c / 800, hub + s / 800) for c, s in rim])
    lamps = [street.board(u, u + 0.3, 0.65, 0.85, z) for u in (x0 + 0.1, x1 - 0.4)]
    street.fill((190, 40, 40) if away else (236, 232, 210), None, *lamps)
    street.fill((214, 212, 190), None, street.board(x - 0.25, x + 0.25, 0.45, 0.58, z))


def _person(street: Street, rng: Rng, x: float, z: float) -> None:
    tall, step = rng.between(0.7, 1.1), rng.between(0.05, 0.3)
    legs = [[(-0.1, 0.9), (0.1, 0.9), (foot + 0.08, 0), (foot - 0.08, 0)] for foot in (-step, step)]
    body = [(-0.14, 1.5), (0.14, 1.5), (0.26, 1.35), (0.28, 0.8), (-0.28, 0.8), (-0.26, 1.35)]
    for part, color in zip((*legs, body), [rng.tint(_CLOTHES)] * 2 + [rng.tint(_CLOTHES)], strict=True):
        street.fill(color, PERSON, [street.at(x + u, v * tall, z) for u, v in part])
    r = max(street.focal * 0.14 * tall / z, 1)
    street.fill(rng.tint(_SKINS), PERSON, rng.blob(*street.at(x, 1.62 * tall, z), r, r * 1.2, 0.1))


def _pole(street: Street, rng: Rng, x: float, z: float) -> None:
    """Paint a lamp post, a bare post, or one that carries a sign or a traffic light."""
    kind, paint, reach = int(rng.integers(6)), rng.tint(_RAILS), -1.5 if x > 0 else 1.5
    high, pixel = (rng.between(5, 8) if kind < 3 else 3.0), z / street.focal
    thin = min(max(0.1 / pixel, 1.0), 3.0 * street.mask.shape[0] / 192) * pixel * 0.9
    street.fill(paint, POLE, street.board(x, x + thin, 0, high, z))
    if kind < 2:
        street.fill(paint, POLE, street.board(x, x + reach, high - thin, high, z))
        street.fill(paint, POLE, street.board(x + reach, x + reach * 0.6, high - 0.25, high, z))
    if kind < 3:
        return
    (column, row), r = street.at(x, 2.6, z), max(int(rng.between(0.35, 0.55) / pixel), 2)
    round_ = [(r * _COS[i] // 256, r * _COS[i - 4] // 256) for i in range(16)]
    light = [(-r // 2, -r), (r // 2, -r), (r // 2, r), (-r // 2, r)]
    shape = rng.pick((round_, [(-r, -r), (r, -r), (r, r), (-r, r)], [(-r, r), (r, r), (0, -r)], light))
    street.fill(rng.tint(_SIGNS), SIGN, [(column + u, row + v) for u, v in shape])
    street.fill(rng.tint(_SIGNS), None, street.board(x - 0.2, x + 0.2, 2.5, 2.7, z))


def _fence(street: Street, rng: Rng, x: float, z: float) -> None:
    """Paint solid panels, or rails on posts that can be looked through."""
    paint, high, far = rng.tint(_RAILS), rng.between(0.9, 1.7), z + rng.between(5, 12)
    rails = [(high - 0.12, high), (high * 0.5 - 0.06, high * 0.5 + 0.06)]
    rails = rng.pick(([(0, high)], rails))
    street.fill(paint, FENCE, *(street.wall(x, low, top, z, far) for low, top in rails))
    posts = [z + (far - z) * i / 12 for i in range(13)]
    street.fill(_scaled(paint, 0.8), FENCE, *(street.wall(x, 0, high, u, u + 0.12) for u in posts))


def _oddment(street: Street, rng: Rng, x: float, z: float) -> None:
    """Paint something that nobody labelled: a bin, a crate, a heap."""
    size = rng.between(0.5, 1.2)
    r = size * street.focal / z / 2
    shapes = rng.blob(*street.at(x, size / 2, z), r, r, 0.4), street.board(x, x + size * 0.7, 0, size, z)
    street.fill(rng.tint(_PAINTS, 20), IGNORE, rng.pick(shapes))


def _frontage(street: Street, rng: Rng, x: float, town: float) -> None:
    """Line one side with houses, gardens and gaps."""
    far = 90.0
    while far > 4:
        near, kind = max(far - rng.between(7, 16), 3.0), rng.random()
        if kind < town:
            (part,) = rng.several(1, 2)
            street.items.append((far, partial(_building, street, part, x, near, far - 0.5)))
            street.cast(x, x * 2, near, far, 9)
        elif kind < 0.85 + 0.15 * town:
            for tree in rng.several(4):
                z, high = tree.between(near, far), tree.pick((1.2, 1.8, 5, 7))
                street.add(_tree, tree, x * tree.between(1.1, 1.8), z, high)
        far = near


def _traffic(street: Street, rng: Rng, imbalance: float) -> None:
    """Place vehicles in their lanes and at the kerbs, none inside another."""
    taken: list[tuple[float, float]] = []
    lanes = [(0.1, 1), (-3.3, 0), (street.edges[1] - 1, 1), (street.edges[0] + 1, 0)]
    for car in rng.several(4 / imbalance):
        (x, away), z = car.pick(lanes), car.between(7, 22) * car.between(1, 2.6)
        if all(abs(x - u) > 2.2 or abs(z - v) > 10 for u, v in taken):
            taken.append((x, z))
            street.add(_vehicle, car, x, z, away)
            street.cast(x - 1, x + 1, z, z + 4.3, 1.2)


def _furniture(street: Street, rng: Rng, imbalance: float) -> None:
    """Paint what stands on the pavements, and now and then in the road.

    Each row: how to draw it, how many, how far across the pavement, shadow width and height, more arguments.
    """
    kinds: list[tuple[Callable[..., None], float, float, float, float, tuple[float, ...]]] = [
        (_person, 4.5 / imbalance, 1, 0.4, 1.7, ()),
        (_pole, 3.6 / imbalance, 0.1, 0.1, 5, ()),
        (_fence, 1.5 / imbalance, 0, 0.1, 0, ()),
        (_tree, rng.pick((0, 1, 4)), 0.4, 2, 5, (5.5,)),
        (_oddment, 0.7, 1, 0.6, 0.6, ()),
    ]
    for draw, rate, reach, wide, high, more in kinds:
        for item in rng.several(rate):
            side, share = int(item.integers(2)), 0.1 + 0.8 * reach * item.random()
            x = street.edges[side] + (street.walks[side] - street.edges[side]) * share
            if reach == 1 and item.random() < 0.2:
                x = item.between(*street.edges)
            z = item.between(8, 20) * item.between(1, 2.2)
            street.add(draw, item, x, z, *more)
            street.cast(x - wide / 2, x + wide / 2, z, z + wide, high)


def _bonnet(street: Street, rng: Rng) -> None:
    """Paint the camera car's own bonnet, void."""
    (height, width), paint = street.mask.shape, rng.tint(_PAINTS)
    top = int(height * rng.between(0.86, 0.95))
    drop = height - top
    for y, factor in ((top, 0.7), (top + drop // 3, 1.0)):
        rise = [(0, y + drop // 2), (width // 6, y + drop // 6), (width // 3, y)]
        fall = [(width - x, y) for x, y in reversed(rise)]
        street.fill(_scaled(paint, factor), IGNORE, [*rise, *fall, (width, height), (0, height)])


def _darken(street: Street) -> None:
    """Lay all cast shadows on the ground at once, so that none counts twice."""
    shade = np.zeros_like(street.mask)
    for hull in street.shadows:
        cv2.fillConvexPoly(shade, hull, [1])
    shade[(street.mask == SKY) | (street.mask == BUILDING)] = 0
    street.image[shade == 1] = street.image[shade == 1] // 8 * 5


def paint(layout: Rng, back: Rng, traffic: Rng, walkers: Rng, *, height: int, width: int, imbalance: float) -> Street:
    """Draw one street from far to near.

    Args:
        layout, back, traffic, walkers: independent generators of the road, of what lines it, of vehicles, and of
            people and street furniture.
        height, width: pixels.
        imbalance: 2 halves the number of vehicles, people, poles, signs and fences.
    """
    street, town = _street(layout, height, width), layout.pick((0.2, 0.6, 0.85, 0.95))
    _skyline(street, back)
    _ground(street, layout)
    for x in street.walks:
        _frontage(street, back, x, town)
    _traffic(street, traffic, imbalance)
    _furniture(street, walkers, imbalance)
    _darken(street)
    numbers = count(1)
    for z, draw in sorted(street.items, key=lambda item: -item[0]):
        street.depth, street.thing = z, next(numbers) if draw.func in (_vehicle, _person) else 0
        draw()
    street.depth = street.thing = 0
    if layout.random() < 0.35:
        _bonnet(street, layout)
    return street
