"""Pictures of masks: colours, overlays, panels with a legend."""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from seg.images import Image
from seg.labels import IGNORE, Color


def colorize(mask: Image, palette: Sequence[Color]) -> Image:
    """Return a mask (H, W) as RGB (H, W, 3); ignored pixels black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[IGNORE] = 0
    return table[mask]


def overlay(image: Image, mask: Image, palette: Sequence[Color], *, opacity: float = 0.55) -> Image:
    """Tint an image (H, W, 3) by the classes of its mask (H, W); ignored pixels stay as they are."""
    blend = (1 - opacity) * image + opacity * colorize(mask, palette)
    return np.where((mask == IGNORE)[..., None], image, np.rint(blend).astype(np.uint8))


def outlined(
    picture: Image, boxes: Iterable[Sequence[float]], classes: Iterable[int], palette: Sequence[Color]
) -> Image:
    """Draw boxes on an RGB picture (H, W, 3), rows xyxy in pixels, in the colours of their classes with a white rim."""
    drawn = picture.copy()
    for box, index in zip(boxes, classes, strict=True):
        left, top, right, bottom = (round(side) for side in box)
        right, bottom = max(left, right - 1), max(top, bottom - 1)
        cv2.rectangle(drawn, (left - 1, top - 1), (right + 1, bottom + 1), (255, 255, 255), 1)
        cv2.rectangle(drawn, (left, top), (right, bottom), tuple(map(int, palette[index])), 1)
    return drawn


def panel(
    image: Image,
    prediction: Image,
    palette: Sequence[Color],
    names: Sequence[str],
    *,
    target: Image | None = None,
    mark: Callable[[Image], Image] | None = None,
) -> Image:
    """Make one picture: image | target, if given | prediction, over a legend of the classes that occur.

    Args:
        image: (H, W, 3) RGB.
        prediction, target: (H, W) class indices, 255 = ignore.
        palette, names: colour and name of each class.
        mark: draws on the picture of the prediction what else was predicted.

    Returns:
        RGB picture, uint8.
    """
    tiles = [image, *([overlay(image, target, palette)] if target is not None else [])]
    tile = overlay(image, prediction, palette)
    tiles.append(tile if mark is None else mark(tile))
    gap = np.full((image.shape[0], 4, 3), 255, np.uint8)
    row = tiles[0]
    for tile in tiles[1:]:
        row = np.hstack([row, gap, tile])
    shown = set(np.unique(prediction)) | (set(np.unique(target)) if target is not None else set())
    return np.vstack([row, _legend(row.shape[1], [(names[i], palette[i]) for i in sorted(shown - {IGNORE})])])


def _legend(width: int, entries: Sequence[tuple[str, Color]]) -> Image:
    font, scale, line, box = cv2.FONT_HERSHEY_SIMPLEX, 0.4, 18, 12
    places, x, y = [], 4, 0
    for name, color in entries:
        advance = box + 8 + cv2.getTextSize(name, font, scale, 1)[0][0] + 10
        if x > 4 and x + advance > width:
            x, y = 4, y + line
        places.append((x, y, name, color))
        x += advance
    legend = np.full((y + line + 2, width, 3), 255, np.uint8)
    for x, y, name, color in places:
        cv2.rectangle(legend, (x, y + 4), (x + box, y + 4 + box), tuple(map(int, color)), -1)
        cv2.rectangle(legend, (x, y + 4), (x + box, y + 4 + box), (0, 0, 0), 1)
        cv2.putText(legend, name, (x + box + 4, y + 14), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return legend
