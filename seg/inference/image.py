"""An image file to its mask and the other products, in memory or, where it is too large, some rows at a time."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from seg.files import naming
from seg.images import MOST_BYTES, Image, limit, tiff_rows
from seg.images.headers import read_header
from seg.inference.features import Pooled, encoder_of, first_of, write_features
from seg.inference.outputs import Kind, ProductWriter, geo_tags
from seg.inference.ranking import Features
from seg.inference.trained import Trained
from seg.models import first_line
from seg.report.console import console
from seg.report.progress import bulk_progress

log = logging.getLogger(__name__)

TIFF = {".tif", ".tiff"}


def predict_image(
    trained: Trained, path: Path, paths: Mapping[Kind, Path], name: str, *, halves: bool, alone: bool
) -> tuple[list[Kind], dict[str, float]]:
    """Predict an image and write what is wanted, all of it or nothing.

    Returns:
        The kinds that were written, and scores of the image, see `seg.inference.outputs.ProductWriter.scores`.

    Args:
        paths: of the kinds that are wanted.
        name: of the image, for boxes.
        halves: probabilities as float16.
        alone: show how far it is.

    Raises:
        ValueError: the image cannot be read or predicted.
    """
    geo = geo_tags(path) if "geotiff" in paths else []
    with _opened(trained, path) as (image, rows, height, width):
        if image is None:
            _check_rows(path, paths, height, width)
        left_out = {*(() if geo else ("geotiff",)), *(() if image is not None else ("overlays", "boxes"))}
        paths = {kind: target for kind, target in paths.items() if kind not in left_out}
        about: dict[str, Any] = {"image": image, "geo": geo, "halves": halves, "heads": trained.heads, "name": name}
        with naming(paths["mask"]), ExitStack() as stack:
            writer = ProductWriter(stack, paths, height, width, trained.labels, **about)
            pooled = stack.enter_context(Pooled(encoder_of(trained))) if "features" in paths else None
            with _naming_image(path):
                strips = trained.strips(rows, height, width)
                for logits in _shown(strips, height) if alone else strips:
                    writer.add(logits)
            if pooled is not None:
                write_features(paths["features"], pooled.features)
            writer.finish()
    return list(paths), writer.scores


def features_of(trained: Trained, path: Path) -> Features:
    """Return what the encoder finds in an image, (F,), see `seg.inference.features.Pooled`.

    Raises:
        ValueError: the image cannot be read or predicted.
    """
    one = first_of(trained)
    with _opened(one, path) as (_, rows, height, width), Pooled(encoder_of(one)) as pooled, _naming_image(path):
        for _ in one.strips(rows, height, width):
            pass
    return pooled.features


@contextmanager
def _naming_image(path: Path) -> Iterator[None]:
    """Name the image in what is wrong with it, or with predicting it."""
    try:
        yield
    except OSError:  # of writing: no image would fare better
        raise
    except Exception as error:  # memory, a size that the model refuses: other images may well go
        text = first_line(error)
        raise ValueError(text if text.startswith("image '") else f"image '{path}': {text}") from None


def _check_rows(path: Path, kinds: Collection[Kind], height: int, width: int) -> None:
    """Say what an image that is read some rows at a time goes without; refuse probabilities, which fill the memory."""
    if "probabilities" in kinds:
        raise ValueError(
            f"image '{path}': expected at most max_pixels for probabilities, got {height}x{width} pixels; leave them "
            "out, or cut it into tiles"
        )
    if {"overlays", "boxes"} & {*kinds}:
        log.warning(
            f"image '{path}' is larger than max_pixels: read and predicted some rows at a time, without overlay or "
            "boxes"
        )


@contextmanager
def _opened(trained: Trained, path: Path) -> Iterator[tuple[Image | None, Callable[[int, int], Image], int, int]]:
    """Yield the image, a function (first, last) -> rows of it, height and width.

    There is no image where it is too large for memory, and the model slides over it.
    """
    if trained.slides and path.suffix.lower() in TIFF and _is_large(path):
        with tiff_rows(path, trained.reading) as rows:
            yield None, rows, rows.height, rows.width
        return
    try:
        image = trained.read(path)
    except ValueError as error:
        more = ", or, if it is a TIFF file, give inference=sliding" if "max_pixels" in str(error) else ""
        raise ValueError(f"{error}{more}") from None
    yield image, lambda first, last: image[first:last], *image.shape[:2]


def _is_large(path: Path) -> bool:
    """Tell whether an image is larger than what is decoded at once; a damaged one is not, and its reader says so."""
    try:
        with path.open("rb") as file:
            header = read_header(file, any_form=True)
        return header.width * header.height > limit() or path.stat().st_size > MOST_BYTES
    except (ValueError, OSError):
        return False


def _shown(strips: Iterator[Tensor], height: int) -> Iterator[Tensor]:
    """Yield the strips, while a bar or a line now and then says how far they are."""
    with bulk_progress("predicting", "rows", console) as tell:
        done = 0
        for strip in strips:
            yield strip
            done += strip.shape[2]
            tell(done, total=height)
