"""The images on which levels disagree the most: image, truth, what each level predicts, and where it differs."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.compare.evidence import Entry
from seg.compare.study import Level
from seg.data.pairs import list_both
from seg.labels import IGNORE
from seg.metrics.catalogue import KNOWN, Metric
from seg.report.figure import saved_figure, short

Mask = NDArray[np.uint8]

MOST = 6
"""Images that are shown."""

_LEVELS, _LONGEST = 6, 1024

_BOTH_RIGHT, _FIXED, _BROKEN, _BOTH_WRONG, _IGNORED = range(5)
CHANGE_COLORS = np.array([(238, 241, 244), (45, 138, 78), (193, 53, 43), (140, 150, 160), (255, 255, 255)], np.uint8)
"""Of pixels that both have right, this level alone, the reference alone, neither, and of ignored ones."""


@dataclass(frozen=True)
class Case:
    """One image as the levels see it.

    Attributes:
        name: of the image.
        scores: level -> score of the image in the run that is shown, the reference first.
        views: title and picture of each thing to see, pixel on pixel: image, truth, and of every level what it predicts
            and what that changes: the reference is held against the truth, the others against the reference.
        left_out: levels that are not shown, the best one first.
    """

    name: str
    scores: Mapping[str, float]
    views: Sequence[tuple[str, Mask]]
    left_out: Sequence[str] = ()

    @property
    def spread(self) -> float:
        """How far the levels lie apart."""
        return max(self.scores.values()) - min(self.scores.values())


def find_cases(levels: Sequence[Level], reference: str, metric: Metric = KNOWN["miou"]) -> Iterator[Case]:
    """Yield the images whose score differs the most between the shown levels, as far as their files can be read.

    Args:
        levels: the best one first; of each its first run is shown.
        reference: level that the others are held against.
        metric: that is compared.
    """
    ordered = sorted(levels, key=lambda level: level.name != reference)  # the reference, then the best of the others
    shown, left_out = ordered[:_LEVELS], [level.name for level in ordered[_LEVELS:]]
    entries = {level.name: level.entries[0] for level in shown}
    files = _files(entries[reference])
    first = {level.name: Level(level.name, level.entries[:1]).image_scores(metric.name) for level in shown}
    for index in _most_apart(shown, metric):
        name = entries[reference].images[index]
        masks = {level: entry.folder / runs.PREDICTIONS / f"{name}.png" for level, entry in entries.items()}
        if name not in files or (read := _read(*files[name], masks)) is None:
            continue
        picture, target, predictions = read
        scores = {level: float(values[index]) for level, values in first.items()}
        titles = {level: f"{level}: {metric.shown(score)}" for level, score in scores.items()}
        yield Case(name, scores, list(_views(picture, target, predictions, titles)), left_out)


def _most_apart(levels: Sequence[Level], metric: Metric) -> list[int]:
    """Return the images whose score, averaged over seeds, differs the most between levels."""
    means = [level.image_scores(metric.name) for level in levels]
    apart = np.max(means, axis=0) - np.min(means, axis=0)
    order = np.argsort(-np.where(np.isnan(apart), -1, apart), kind="stable")
    return [int(i) for i in order[:MOST] if apart[i] > 0]


def _files(entry: Entry) -> dict[str, tuple[Path, Path]]:
    """Return image and mask file of each name, as far as they are here."""
    data = (entry.judged or {}).get("data") or entry.config["data"]
    val = data.get("val") or {}
    part = data if "images" in data else val if val.get("images") else data.get("train")
    if not isinstance(part, dict) or not part.get("images") or not part.get("masks"):
        return {}
    try:
        images, masks = list_both(
            part["images"],
            part["masks"],
            image_template=data.get("image_template", "{}"),
            template=data.get("template", "{}"),
        )
    except (ValueError, OSError):
        return {}
    return {name: (images[name][0], masks[name][0]) for name in images.keys() & masks.keys()}


def _read(image: Path, mask: Path, predicted: Mapping[str, Path]) -> tuple[Mask, Mask, dict[str, Mask]] | None:
    """Read image, truth and predictions; None where one is missing, damaged or of another shape."""
    try:
        target = _read_mask(mask)
        picture = _read_picture(image, target.shape)
        predictions = {level: _read_mask(path) for level, path in predicted.items()}
    except Exception:  # whatever Pillow raises of a damaged file: errors of a dozen kinds
        return None
    fitting = picture.shape[:2] == target.shape and all(mask.shape == target.shape for mask in predictions.values())
    return (picture, target, predictions) if fitting else None


def _read_mask(path: Path) -> Mask:
    """Read class indices (H, W).

    Raises:
        ValueError: another kind of image.
    """
    from PIL import Image

    with Image.open(path) as image:
        mask = np.asarray(image)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"mask '{path}': expected 8 bits of one channel, got {mask.dtype} {mask.shape}; convert it")
    return mask


def _read_picture(path: Path, shape: tuple[int, ...]) -> Mask:
    """Read RGB, turned as its camera was held unless it has the shape (H, W) as it is."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        fitting = image if (image.height, image.width) == shape else ImageOps.exif_transpose(image)
        if fitting.mode[0] in "IF":  # 16 or 32 bits: from the darkest to the brightest pixel
            values = np.asarray(fitting, np.float64)
            low, high = values.min(), values.max()
            fitting = Image.fromarray((255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8))
        return np.asarray(fitting.convert("RGB"))


def _views(
    picture: Mask, target: Mask, predictions: Mapping[str, Mask], titles: Mapping[str, str]
) -> Iterator[tuple[str, Mask]]:
    """Yield RGB pictures (H, W, 3) with their titles; those of predictions are given."""
    yield "image", picture
    yield "truth", _colored(target)
    reference = next(iter(predictions))
    for level, mask in predictions.items():
        yield titles[level], _colored(np.where(target == IGNORE, IGNORE, mask))
        against = f"{level} against {reference}" if level != reference else f"errors of {level}"
        yield against, CHANGE_COLORS[changes(target, predictions[reference], mask)]


def _colored(mask: Mask) -> Mask:
    from matplotlib import colormaps

    palette = np.full((256, 3), 255, np.uint8)  # ignored pixels are white
    palette[:IGNORE] = colormaps["tab20"](np.arange(IGNORE) % 20, bytes=True)[:, :3]
    return palette[mask]


def draw_case(folder: Path, name: str, case: Case) -> str:
    """Draw all views of an image side by side; return the name of the PNG file."""
    columns = list(zip(case.views[::2], case.views[1::2], strict=True))
    reference = next(iter(case.scores))
    height, width = case.views[0][1].shape[:2]
    size = 2.4 * len(columns), 4.8 * height / width + 0.8
    with saved_figure(folder, name, size, columns=len(columns), endings=("png",)) as grid:
        for plot in grid.flat:
            plot.set_axis_off()
        for place, column in enumerate(columns):
            for row, (title, picture) in enumerate(column):
                grid[row, place].imshow(picture, interpolation="nearest")
                grid[row, place].set_title(_lines(title, reference), fontsize=8)
    return f"{name}.png"


def _lines(title: str, reference: str) -> str:
    """Return a title no wider than its picture."""
    level = title.removesuffix(against := f" against {reference}")
    return short(title) if level == title or len(title) <= 32 else f"{short(level)}\n{short(against)}"


def encoded(picture: Mask, kind: Literal["JPEG", "PNG"]) -> bytes:
    """Return the bytes of a file, at most `_LONGEST` pixels long."""
    from PIL import Image

    image = Image.fromarray(picture)
    scale = min(_LONGEST / max(image.size), 1)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=85, optimize=True)
    return buffer.getvalue()


def changes(target: Mask, reference: Mask, other: Mask) -> Mask:
    """Return the index into `CHANGE_COLORS` of each pixel: what another prediction fixes and breaks."""
    before, after = reference == target, other == target
    kinds = np.select([before & after, after, before], [_BOTH_RIGHT, _FIXED, _BROKEN], _BOTH_WRONG)
    return np.where(target == IGNORE, _IGNORED, kinds).astype(np.uint8)
