"""Suspects as a table and as one page that opens from disk: image, label and suggestion of each, outlined."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg import __version__
from seg.audit.suspects.finding import Suspect, Suspects
from seg.files import write_csv
from seg.files.claims import claim
from seg.images import Image, Reading, as_rgb, read_image
from seg.report.html import Html, element, figure, page, table, write

CSV, PAGE = "suspects.csv", "suspects.html"
_COLUMNS = ("rank", "name", "label", "suggested", "area", "score", "left", "top", "right", "bottom")
_SIDE, _AROUND = 220, 24  # pixels of a picture, and at least around a region
_OUTLINE = (255, 0, 255)
_SCRIPT = """
const chosen = document.getElementById("class");
chosen.hidden = false;
chosen.addEventListener("change", () => document.querySelectorAll("figure").forEach(each =>
  each.hidden = chosen.value !== "" && !each.parentElement.dataset.classes.split("\\n").includes(chosen.value)));
"""


def write_files(folder: Path, suspects: Suspects, reading: Reading, *, number: int, overwrite: bool = False) -> None:
    """Write ``suspects.csv``, all of them, and ``suspects.html``, the first ones as pictures.

    Args:
        number: of those that are shown.
        overwrite: replace files that no audit wrote.

    Raises:
        ValueError: such files are there.
    """
    rows, shown = folder / CSV, folder / PAGE
    claim("seg-audit", {folder: (rows, shown)}, {CSV: _COLUMNS}, overwrite=overwrite)
    write_csv(rows, _COLUMNS, (_row(rank, each) for rank, each in enumerate(suspects.found, start=1)))
    write(shown, page("Suspect labels", *_content(suspects, reading, number), script=_SCRIPT))


def _row(rank: int, suspect: Suspect) -> tuple[object, ...]:
    return rank, suspect.name, suspect.label, suspect.suggested, suspect.area, f"{suspect.score:.4f}", *suspect.box


def _content(suspects: Suspects, reading: Reading, number: int) -> Iterator[Html]:
    found, names = suspects.found, suspects.labels.names
    yield element("h1", "Suspect labels")
    yield element(
        "p",
        f"{len(found):,} regions of {len(suspects.pairs):,} images that no model believes which had not seen the "
        f"image; seg {__version__}",
        class_="muted",
    )
    if not found:
        return
    yield element("p", "The surest first. Each is a question to a person: models err, too.")
    pairs: dict[tuple[str, str], int] = {}
    for each in found:
        pairs[each.label, each.suggested] = pairs.get((each.label, each.suggested), 0) + 1
    often = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:12]
    yield table(("label", "suggested", "regions"), [(*key, f"{count:,}") for key, count in often], numbers={2})
    held = [name for name in names if any(name in (each.label, each.suggested) for each in found[:number])]
    options = [element("option", "all classes", value=""), *(element("option", name, value=name) for name in held)]
    yield element("select", *options, id="class", hidden="hidden")
    for rank, suspect in enumerate(found[:number], start=1):
        caption = (
            f"{rank}. {suspect.name}: labelled {suspect.label}, models say {suspect.suggested}; {suspect.area:,} pixels"
        )
        shown = figure(*_pictures(suspects, suspect, reading), caption=caption)
        yield element("div", shown, class_="pictures", **{"data-classes": f"{suspect.label}\n{suspect.suggested}"})


def _pictures(suspects: Suspects, suspect: Suspect, reading: Reading) -> Iterator[bytes]:
    """Yield JPEGs of the image, the label and the suggestion around a region, which is outlined."""
    mask, suggested = suspects.look(suspect.name)
    region = suspects.region(suspect, mask, suggested).astype(np.uint8)
    image = as_rgb(read_image(suspects.pairs[suspect.name].image, reading))
    window = _window(suspect.box, mask.shape)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: suspects.labels.classes] = suspects.labels.palette
    label = mask.copy()
    corrected = np.where(region > 0, suggested, mask).astype(np.uint8)
    for picture in (image, palette[label], palette[corrected]):
        yield _jpeg(np.ascontiguousarray(picture[window]), region[window])


def _window(box: tuple[int, int, int, int], size: tuple[int, ...]) -> tuple[slice, slice]:
    left, top, right, bottom = box
    around = max(_AROUND, (right - left) // 2, (bottom - top) // 2)
    rows = slice(max(top - around, 0), min(bottom + around, size[0]))
    return rows, slice(max(left - around, 0), min(right + around, size[1]))


def _jpeg(picture: Image, region: NDArray[np.uint8]) -> bytes:
    """Enlarge or shrink a picture to the page, and draw the outline of a region."""
    factor = _SIDE / max(picture.shape[:2])
    size = tuple(max(round(side * factor), 1) for side in picture.shape[1::-1])
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA)
    outlines, _ = cv2.findContours(
        cv2.resize(region, size, interpolation=cv2.INTER_NEAREST), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(shown, outlines, -1, _OUTLINE, 1)
    return bytes(cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
