"""What ``seg-predict`` writes for an image, as its logits come in from the top down."""

import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.files import whole, write_json, write_png
from seg.images import Image, as_rgb
from seg.labels import LabelMap
from seg.report import pictures
from seg.tasks.boxes import CHANNELS, Boxes, Candidates, JoinedBoxes, as_coco, candidates, select
from seg.tasks.boxes.drawing import shown

Kind = Literal["mask", "overlays", "colors", "confidence", "probabilities", "geotiff", "boxes"]

FOLDERS: Mapping[Kind, str] = {
    "overlays": "overlays/{}.png",
    "colors": "colors/{}.png",
    "confidence": "confidence/{}.png",
    "probabilities": "probabilities/{}.npz",
    "geotiff": "geotiff/{}.tif",
    "boxes": "boxes/{}.json",
    "mask": "{}.png",  # last: a mask that is there says that the others are too
}
"""Where each kind lies in the destination, by the name of the image."""

_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)  # of GeoTIFF 1.1: transform and coordinate system
_TILE = 512


class PngRows:
    """A PNG file of 8 bits, gray or RGB, written some rows at a time (PNG specification, 3rd edition)."""

    def __init__(self, file: IO[bytes], height: int, width: int, channels: int = 1) -> None:
        self._file, self._packed, self._above = file, zlib.compressobj(4), np.zeros(width * channels, np.uint8)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """The next rows, (h, width) or (h, width, 3)."""
        flat = rows.reshape(len(rows), -1)
        lines = np.full((len(rows), flat.shape[1] + 1), 2, np.uint8)  # filter 2: the difference from the row above
        np.subtract(flat, np.concatenate([self._above[None], flat[:-1]]), out=lines[:, 1:])
        self._above = flat[-1].copy()
        if data := self._packed.compress(lines.tobytes()):
            self._chunk(b"IDAT", data)

    def close(self) -> None:
        """Write the end."""
        self._chunk(b"IDAT", self._packed.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


class Outputs:
    """The files of one image; all of them are written when the block ends without an error, or none.

    Args:
        paths: of the kinds that are wanted.
        image: (H, W, channels), for overlays and probabilities; None where it is too large for them.
        geo: tags of `geo_tags`, for the GeoTIFF.
        halves: probabilities as float16, else as uint8, 255 for 1.
        boxes: the model, if it gives maps of boxes after its logits.
        name: of the image, for boxes.
    """

    def __init__(
        self,
        paths: Mapping[Kind, Path],
        height: int,
        width: int,
        labels: LabelMap,
        *,
        image: Image | None = None,
        geo: Sequence[Any] = (),
        halves: bool = False,
        boxes: JoinedBoxes | None = None,
        name: str = "",
    ) -> None:
        self.paths, self.height, self.width, self.labels = paths, height, width, labels
        self.image, self.geo, self.halves = image, geo, halves
        self.masks: list[Image] = []
        self.shares: list[NDArray[Any]] = []
        self.joined, self.name = boxes, name
        self.candidates: list[Candidates] = []

    def __enter__(self) -> "Outputs":
        with ExitStack() as stack:
            self.pictures = {  # the first one opened is the last to get its name: the mask, see FOLDERS
                kind: self._picture(stack, self.paths[kind]) for kind in ("mask", "confidence") if kind in self.paths
            }
            if "colors" in self.paths:
                self.pictures["colors"] = self._picture(stack, self.paths["colors"], 3)
            self.spool = None
            if "geotiff" in self.paths:  # on the disk that it is for: the system's may be in memory
                folder = self.paths["geotiff"].parent
                folder.mkdir(parents=True, exist_ok=True)
                self.spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            self.stack = stack.pop_all()
        return self

    def _picture(self, stack: ExitStack, path: Path, channels: int = 1) -> PngRows:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(stack.enter_context(whole(path)).open("wb"))
        return PngRows(file, self.height, self.width, channels)

    def add(self, logits: Tensor) -> None:
        """The next rows: logits (1, classes, h, width), and the maps of boxes if there are any."""
        if self.joined is not None:
            logits, maps = logits[:, :-CHANNELS], logits[:, -CHANNELS:]
            if "boxes" in self.paths:
                found = candidates(logits, maps, self.joined.countable)
                self.candidates.append(Candidates(*(part.cpu() for part in found)))
        mask = logits.argmax(1)[0].byte().cpu().numpy()
        self.pictures["mask"].write(mask)
        if "colors" in self.pictures:
            self.pictures["colors"].write(pictures.colorize(mask, self.labels.palette))
        if "overlays" in self.paths:
            self.masks.append(mask)
        if self.spool is not None:
            self.spool.write(mask.tobytes())
        if "confidence" in self.paths or "probabilities" in self.paths:
            shares = logits[0].float().softmax(0)
            if "confidence" in self.paths:
                self.pictures["confidence"].write(_as_bytes(shares.amax(0)))
            if "probabilities" in self.paths:
                self.shares.append(shares.half().cpu().numpy() if self.halves else _as_bytes(shares))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self.stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self.stack.__exit__(kind, error, trace)

    def _finish(self) -> None:
        for picture in self.pictures.values():
            picture.close()
        boxes = self._boxes() if "boxes" in self.paths else None
        if "overlays" in self.paths and self.image is not None:
            mask, labels = np.concatenate(self.masks), self.labels
            rgb = as_rgb(self.image)
            mark = None if boxes is None else lambda tile: pictures.outlined(tile, *shown(boxes), labels.palette)
            panel = pictures.panel(rgb, mask, labels.palette, labels.names, mark=mark)
            write_png(self.paths["overlays"], panel)
        if "probabilities" in self.paths:
            path = self.paths["probabilities"]
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as temporary, temporary.open("wb") as file:
                names = np.array(self.labels.names)
                np.savez_compressed(file, probabilities=np.concatenate(self.shares, 1), classes=names)
        if self.spool is not None:
            with whole(self.paths["geotiff"]) as temporary:
                self._write_geotiff(temporary, self.spool)

    def _boxes(self) -> Boxes:
        """Those of the image, which are written."""
        assert self.joined is not None
        found = Candidates(*(torch.cat(parts, -2) for parts in zip(*self.candidates, strict=True)))
        (boxes,) = select(found, min_area=self.joined.min_area)
        data = as_coco([(self.name, self.height, self.width)], [boxes], self.labels.names)
        self.paths["boxes"].parent.mkdir(parents=True, exist_ok=True)
        write_json(self.paths["boxes"], data)
        return boxes

    def _write_geotiff(self, path: Path, spool: IO[bytes]) -> None:
        import tifffile

        spool.seek(0)

        def tiles() -> Iterator[Image]:
            for top in range(0, self.height, _TILE):
                count = min(_TILE, self.height - top)
                rows = np.frombuffer(spool.read(count * self.width), np.uint8).reshape(count, self.width)
                for left in range(0, self.width, _TILE):
                    part = rows[:, left : left + _TILE]
                    yield np.pad(part, ((0, _TILE - count), (0, _TILE - part.shape[1])))

        with path.open("wb") as file:
            tifffile.imwrite(
                file,
                tiles(),
                shape=(self.height, self.width),
                dtype=np.uint8,
                tile=(_TILE, _TILE),
                compression="zlib",
                photometric="minisblack",
                metadata=None,
                extratags=self.geo,
                bigtiff=self.height * self.width > 1 << 31,
            )


def geo_tags(path: Path) -> list[Any]:
    """Transform and coordinate system of a GeoTIFF, as `tifffile.imwrite` takes them; none of another file.

    They are copied as they are: a mask has the pixels of its image.
    """
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return []
    try:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            tags = page.tags
            found = [tags[code] for code in _GEO_TAGS if code in tags]
            return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]
    except Exception:  # a damaged file: who reads it says so
        return []


def _as_bytes(shares: Tensor) -> NDArray[np.uint8]:
    """0..1 as 0..255."""
    found: NDArray[np.uint8] = (255 * shares).round().byte().cpu().numpy()
    return found
