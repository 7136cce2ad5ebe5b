"""Small pictures of the audited files, as JPEG: images, masks in the colours of the label map, a class highlighted."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.audit.files import open_image, open_label
from seg.audit.records import Audit, Measurements, text_of
from seg.convert import LabelReader
from seg.images import Image, Reading, as_rgb
from seg.labels import IGNORE, LabelMap

_UNLISTED = (255, 0, 255)  # in pictures of masks: pixels that the label map does not list
_IGNORED = (255, 255, 255)
_OUTLINE = (40, 40, 40)  # around a class: a gray class would not stand out by its colour


class Pictures:
    """Pictures of the files of an audit, by their names in its findings."""

    def __init__(self, audit: Audit) -> None:
        self._labels, self._reading = audit.labels, audit.reading
        pairs = [pair for split in audit.pairs for pair in split]
        self._images = {text_of(pair.image): pair for pair in pairs}
        self._masks = {text_of(pair.mask): pair for pair in pairs}

    def with_image(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """Return the files; a mask on its own is preceded by its image."""
        if len(files) == 1 and files[0] in self._masks:
            return text_of(self._masks[files[0]].image), *files
        return files

    def name(self, file: str) -> str:
        """Return the name of the pair that a file belongs to."""
        pair = self._images.get(file) or self._masks.get(file)
        return pair.name if pair else file

    def of(self, file: str, side: int) -> bytes | None:
        """Return an image or painted mask, at most ``side`` pixels wide and high; None if there is nothing to show."""
        try:
            if file in self._images:
                return _jpeg(_shrink(as_rgb(open_image(self._images[file].image, self._reading)[0]), side))
            if file in self._masks:
                return _jpeg(_shrink(_painted(self._masks[file], self._labels), side))
        except (OSError, ValueError, cv2.error):
            return None
        return None


def highlighted(pair: Measurements, index: int, labels: LabelMap, reading: Reading) -> bytes:
    """Return the image with one class in its colour and everything else faded, at most 220 pixels wide and high."""
    image, mask = as_rgb(open_image(pair.image, reading)[0]), _mask_of(pair, labels)[0]
    small = _shrink(image, 220)
    size = small.shape[1], small.shape[0]
    here = cv2.resize((mask == index).astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    here = np.where(here > 0, np.maximum(here, 0.5), 0)  # a class of few pixels stays visible
    gray = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tinted = 0.55 * small + 0.45 * np.array(labels.palette[index])
    picture = here * tinted + (1 - here) * (0.35 * gray + 0.65 * 255)
    plane = (here[..., 0] > 0.5).astype(np.uint8)
    picture[cv2.dilate(plane, np.ones((3, 3), np.uint8)) > plane] = _OUTLINE
    return _jpeg(picture)


def _mask_of(pair: Measurements, labels: LabelMap) -> tuple[Image, int]:
    content = open_label(pair.mask, LabelReader(labels, unknown="ignore"), pair.mask_kind == "mask")
    return content.mask, content.unlisted


def _painted(pair: Measurements, labels: LabelMap) -> Image:
    """Return the mask in the colours of the map; 255 is white, or magenta if it stands for unlisted pixels alone."""
    mask, unlisted = _mask_of(pair, labels)
    table = np.zeros((256, 3), np.uint8)
    table[: labels.classes] = labels.palette
    table[IGNORE] = _UNLISTED if unlisted and not pair.ignored else _IGNORED
    return np.asarray(table[mask], np.uint8)


def _shrink(image: Image, side: int) -> Image:
    """Shrink to at most ``side`` pixels wide and high; enlarge small images by a whole factor."""
    height, width = image.shape[:2]
    factor = min(side / width, side / height)
    if factor >= 2:
        return image.repeat(int(factor), 0).repeat(int(factor), 1)
    size = max(1, round(width * min(factor, 1))), max(1, round(height * min(factor, 1)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: NDArray[Any]) -> bytes:
    """Encode RGB (H, W, 3) of any number type, values clipped to 0..255."""
    pixels = np.ascontiguousarray(picture[..., ::-1].clip(0, 255).astype(np.uint8))
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
