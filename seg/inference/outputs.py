"""What ``seg-predict`` writes for an image, as its logits come in from the top down."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.files import checks, whole, write_json, write_png
from seg.files.png import PngRows
from seg.images import Image, as_rgb
from seg.inference.disagreement import Disagreement
from seg.inference.prediction import mask_of
from seg.labels import LabelMap
from seg.models.heads import Heads
from seg.report import pictures
from seg.tasks.boxes import Boxes, BoxRules, Candidates, as_coco, candidates, select
from seg.tasks.boxes.head import shown

Kind = Literal[
    "mask", "overlays", "colors", "confidence", "disagreement", "features", "probabilities", "geotiff", "boxes"
]

FOLDERS: Mapping[Kind, str] = {
    "overlays": "overlays/{}.png",
    "colors": "colors/{}.png",
    "confidence": "confidence/{}.png",
    "disagreement": "disagreement/{}.png",
    "features": "features/{}.npy",
    "probabilities": "probabilities/{}.npz",
    "geotiff": "geotiff/{}.tif",
    "boxes": "boxes/{}.json",
    "mask": "{}.png",  # written last: its presence means that the others are complete
}
"""Where each kind lies in the destination, by the name of the image."""

_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)  # of GeoTIFF 1.1: transform and coordinate system
_TILE = 512


@dataclass(frozen=True)
class Products:
    """What is written for an image besides its mask.

    Args:
        overlays: the image beside its tinted copy.
        colors: the mask in the colours of the label map.
        confidence: probability of the predicted class, 255 = 1.
        disagreement: of the members of an ensemble, 255 = 1, see `seg.inference.disagreement.Disagreement`.
        features: what the encoder finds, (F,) float32, see `seg.inference.features.Pooled`, for ``rank.csv``.
        probabilities: of all classes: None, or as ``uint8``, 255 = 1, or ``float16``.
        geotiff: the mask with the coordinates of an image that is a GeoTIFF.
        boxes: in COCO's form; None = if the model predicts them.

    Raises:
        ValueError: another value.
    """

    overlays: bool = True
    colors: bool = False
    confidence: bool = False
    disagreement: bool = False
    features: bool = False
    probabilities: Literal["uint8", "float16"] | None = None
    geotiff: bool = True
    boxes: bool | None = None

    def __post_init__(self) -> None:
        for name in ("overlays", "colors", "confidence", "disagreement", "features", "geotiff"):
            checks.flag(name, getattr(self, name))
        if self.boxes is not None:
            checks.flag("boxes", self.boxes)
        checks.choice("probabilities", self.probabilities, ("uint8", "float16", None))

    @property
    def kinds(self) -> list[Kind]:
        """What is asked for; boxes too, unless they are declined."""
        asked = {"mask": True, "boxes": self.boxes is not False}
        return [kind for kind in FOLDERS if asked.get(kind, getattr(self, kind, False))]


@dataclass
class ProductWriter:
    """The files of one image; after `finish` all of them get their names when the stack closes, or after an error none.

    Args:
        stack: closes the files.
        paths: of the kinds that are wanted.
        image: (H, W, channels), for overlays and probabilities; None where it is too large for them.
        geo: tags of `geo_tags`, for the GeoTIFF.
        halves: probabilities as float16, else as uint8, 255 for 1.
        heads: whose maps come after the logits: of boxes, and a `seg.inference.disagreement.Disagreement`, if wanted.
        name: of the image, for boxes.
    """

    stack: InitVar[ExitStack]
    paths: Mapping[Kind, Path]
    height: int
    width: int
    labels: LabelMap
    image: Image | None = None
    geo: Sequence[Any] = ()
    halves: bool = False
    heads: Heads = field(default_factory=Heads)
    name: str = ""

    def __post_init__(self, stack: ExitStack) -> None:
        paths = self.paths
        self.rules: Any = next((head for head in self.heads.named.values() if isinstance(head, BoxRules)), None)
        of_members = [Disagreement.name] * (Disagreement.name in self.heads.named)
        self.sums = dict.fromkeys([*of_members, *(["confidence"] if of_members or "features" in paths else [])], 0.0)
        self.masks: list[Image] = []
        self.shares: list[NDArray[Any]] = []
        self.candidates: list[Candidates] = []
        # the first one opened is the last to get its name: the mask, see FOLDERS
        channels: dict[Kind, int] = {"mask": 1, "confidence": 1, "disagreement": 1, "colors": 3}
        self.pictures = {kind: self._picture(stack, paths[kind], n) for kind, n in channels.items() if kind in paths}
        self.spool: IO[bytes] | None = None
        if "geotiff" in paths:  # on the disk that it is for: the system's may be in memory
            folder = paths["geotiff"].parent
            folder.mkdir(parents=True, exist_ok=True)
            self.spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115

    def _picture(self, stack: ExitStack, path: Path, channels: int) -> PngRows:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(stack.enter_context(whole(path)).open("wb"))
        return PngRows(file, self.height, self.width, channels)

    def add(self, logits: Tensor) -> None:
        """Take the next rows: logits (1, classes, h, width), and the maps of ``heads`` if there are any."""
        logits, outputs = self.heads.split(logits)
        for name, maps in outputs.items():
            if name == Disagreement.name:
                self._add_disagreement(maps)
            elif "boxes" in self.paths:
                found = candidates(logits, maps, self.rules.countable)
                self.candidates.append(Candidates(*(part.cpu() for part in found)))
        mask = mask_of(logits)
        self.pictures["mask"].write(mask)
        if "colors" in self.pictures:
            self.pictures["colors"].write(pictures.colorize(mask, self.labels.palette))
        if "overlays" in self.paths:
            self.masks.append(mask)
        if self.spool is not None:
            self.spool.write(mask.tobytes())
        if "confidence" in self.paths or "probabilities" in self.paths or self.sums:
            shares = logits[0].float().softmax(0)
            if "confidence" in self.paths:
                self.pictures["confidence"].write(_as_bytes(shares.amax(0)))
            if self.sums:
                self.sums["confidence"] += float(shares.amax(0).double().sum())
            if "probabilities" in self.paths:
                self.shares.append(stored(shares, halves=self.halves))

    def _add_disagreement(self, maps: Tensor) -> None:
        self.sums["disagreement"] += float(maps.double().sum())
        if "disagreement" in self.pictures:
            self.pictures["disagreement"].write(_as_bytes(maps[0, 0]))

    @property
    def scores(self) -> dict[str, float]:
        """Means over the pixels of the image: of what an ensemble disagrees, if asked, and of the confidence beside it.

        The confidence also where features are written.
        """
        return {name: total / (self.height * self.width) for name, total in self.sums.items()}

    def finish(self) -> None:
        """Write what takes the whole image."""
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
            write_probabilities(self.paths["probabilities"], np.concatenate(self.shares, 1), self.labels.names)
        if self.spool is not None:
            with whole(self.paths["geotiff"]) as temporary:
                self._write_geotiff(temporary, self.spool)

    def _boxes(self) -> Boxes:
        """Write the boxes of the image, and return them."""
        found = Candidates(*(torch.cat(parts, -2) for parts in zip(*self.candidates, strict=True)))
        (boxes,) = select(found, min_area=self.rules.min_area)
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


def stored(shares: Tensor, *, halves: bool) -> NDArray[Any]:
    """Return probabilities as they are kept: float16, or uint8, 255 for 1."""
    return shares.half().cpu().numpy() if halves else _as_bytes(shares)


def write_probabilities(path: Path, shares: NDArray[Any], names: Sequence[str]) -> None:
    """Write ``NAME.npz``, compressed: ``probabilities (C, H, W)`` and ``classes (C,)``, their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, probabilities=shares, classes=np.array(names))


def geo_tags(path: Path) -> list[Any]:
    """Return transform and coordinate system of a GeoTIFF, as `tifffile.imwrite` takes them; none of another file.

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
    """Return shares 0..1 as bytes 0..255."""
    found: NDArray[np.uint8] = (255 * shares).round().byte().cpu().numpy()
    return found
