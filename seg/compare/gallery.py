"""The images on which levels disagree the most: image, truth, what each level predicts, and where it differs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.compare.entry import Entry
from seg.compare.plots import save_figure
from seg.compare.study import Level
from seg.labels import IGNORE
from seg.pairs import list_both
from seg.scores import image_ious, image_means

Mask = NDArray[np.uint8]

_IMAGES, _LEVELS = 6, 6

_BOTH_RIGHT, _FIXED, _BROKEN, _BOTH_WRONG, _IGNORED = range(5)
COLORS = ("#eef1f4", "#2d8a4e", "#c1352b", "#8c96a0", "#ffffff")
"""Of pixels that both have right, this level alone, the reference alone, neither, and of ignored ones."""


def draw_gallery(folder: Path, levels: Sequence[Level], reference: str) -> Iterator[tuple[str, str]]:
    """Draw the images; yields file name and caption of each, or nothing where files are missing.

    Args:
        levels: the best one first; of each its first run is shown.
        reference: level that the others are held against.
    """
    entries = {level.name: level.entries[0] for level in levels}
    first = entries[reference]
    shown = [reference, *[level.name for level in levels if level.name != reference]][:_LEVELS]
    files = _files(first)
    for place, index in enumerate(_most_apart(levels), start=1):
        name = first.images[index]
        paths = files.get(name)
        masks = {level: entries[level].folder / runs.PREDICTIONS / f"{name}.png" for level in shown}
        if paths is None or not all(path.is_file() for path in (*paths, *masks.values())):
            continue
        picture, target = _read(paths[0]), _read(paths[1])
        predictions = {level: _read(path) for level, path in masks.items()}
        if any(mask.shape != target.shape or mask.ndim != 2 for mask in predictions.values()):
            continue
        scores = {level: float(image_means(image_ious(entries[level].counts[[index]]))[0]) for level in shown}
        yield _draw(folder, place, name, picture, target, predictions, scores, len(first.classes))


def _most_apart(levels: Sequence[Level]) -> list[int]:
    """The images whose mIoU, averaged over seeds, differs the most between levels."""
    means = [np.mean([image_means(image_ious(e.counts)) for e in level.entries], axis=0) for level in levels]
    apart = np.max(means, axis=0) - np.min(means, axis=0)
    order = np.argsort(-np.where(np.isnan(apart), -1, apart), kind="stable")
    return [int(i) for i in order[:_IMAGES] if apart[i] > 0]


def _files(entry: Entry) -> dict[str, tuple[Path, Path]]:
    """Image and mask file of each name, as far as they are here."""
    data = entry.config["data"]
    part = data["val"] if (data.get("val") or {}).get("images") else data["train"]
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


def _read(path: Path) -> Mask:
    """An 8-bit picture or mask."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image if image.mode in ("L", "P") else image.convert("RGB"), np.uint8)


def _draw(
    folder: Path,
    place: int,
    name: str,
    picture: Mask,
    target: Mask,
    predictions: dict[str, Mask],
    scores: dict[str, float],
    classes: int,
) -> tuple[str, str]:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    palette = ListedColormap([colormaps["tab20"](i % 20) for i in range(classes)])
    reference = next(iter(predictions))
    columns = len(predictions) + 1

    def draw(figure: Any) -> None:
        axes = figure.subplots(2, columns, squeeze=False)
        for each in axes.flat:
            each.set_axis_off()
        axes[0, 0].imshow(picture, cmap="gray" if picture.ndim == 2 else None)
        axes[0, 0].set_title("image", fontsize=8)
        _show_mask(axes[1, 0], target, palette, classes)
        axes[1, 0].set_title("truth", fontsize=8)
        for column, (level, mask) in enumerate(predictions.items(), start=1):
            _show_mask(axes[0, column], np.where(target == IGNORE, IGNORE, mask), palette, classes)
            axes[0, column].set_title(f"{level}: {100 * scores[level]:.0f} %", fontsize=8)
            if level != reference:
                change = changes(target, predictions[reference], mask)
                axes[1, column].imshow(change, cmap=ListedColormap(COLORS), vmin=0, vmax=4, interpolation="nearest")
                axes[1, column].set_title(f"against {reference}", fontsize=8)

    height, width = target.shape
    size = (2.4 * columns, 4.8 * height / width + 0.6)
    file = save_figure(folder, f"image-{place}", draw, size, endings=("png",))
    return (
        file,
        f"{name}: mIoU by image in the titles; green where a level is right and {reference} is not, red the reverse",
    )


def _show_mask(axes: Any, mask: Mask, palette: Any, classes: int) -> None:
    shown = np.ma.masked_equal(mask, IGNORE)
    axes.imshow(shown, cmap=palette, vmin=-0.5, vmax=classes - 0.5, interpolation="nearest")


def changes(target: Mask, reference: Mask, other: Mask) -> Mask:
    """Index into `COLORS` of each pixel: what another prediction fixes and breaks."""
    before, after = reference == target, other == target
    found = np.select([before & after, after, before], [_BOTH_RIGHT, _FIXED, _BROKEN], _BOTH_WRONG)
    return np.where(target == IGNORE, _IGNORED, found).astype(np.uint8)
