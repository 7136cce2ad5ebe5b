"""Suspects of a folder, into a folder: the table, the page, and masks in which they do not count."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from seg.audit.records import Split
from seg.audit.suspects.finding import LEAST, TOLERANCE, Suspects, find_suspects
from seg.audit.suspects.masks import write_masks
from seg.audit.suspects.page import CSV, PAGE, write_files
from seg.audit.suspects.probabilities import Probabilities
from seg.audit.suspects.selected import check_form, write_selected
from seg.data.pairs import Pair, pair
from seg.data.pairs.folders import check_apart
from seg.files import checks, make_folder
from seg.files.claims import claim
from seg.images import Reading
from seg.labels import LabelMap
from seg.report.progress import bulk_progress

LABELS = "labels.yaml"


@dataclass(frozen=True)
class Wanted:
    """What is asked of suspects.

    Attributes:
        runs: that kept probabilities, see `Probabilities.of`.
        number: of suspects that are shown, and that become 255.
        tolerance, least: see `find_suspects`.
        masks_destination: folder for the masks of the set in which the first suspects are 255; None: not written.
        corrected: folder of masks that came back, which stand there instead of those of the set.
        write: form of an annotation tool, in which the masks of the images with the first suspects are written.

    Raises:
        ValueError: another value.
    """

    runs: str
    number: int = 50
    tolerance: int = TOLERANCE
    least: int = LEAST
    masks_destination: str | None = None
    corrected: str | None = None
    write: str | None = None

    def __post_init__(self) -> None:
        checks.text("suspects", self.runs)
        checks.whole("number", self.number, 1)
        checks.whole("tolerance", self.tolerance, 0, 100)
        checks.whole("least", self.least, 1)
        if self.corrected is not None and self.masks_destination is None:
            raise ValueError(
                f"corrected: expected masks_destination beside it, got none for '{self.corrected}'; give the folder "
                "that the masks of the whole set are to be written to"
            )


def find_into(
    splits: Sequence[Split],
    labels: LabelMap,
    wanted: Wanted,
    reading: Reading,
    destination: Path,
    console: Console,
    *,
    overwrite: bool = False,
) -> Iterator[str]:
    """Write ``suspects.csv`` and ``suspects.html``, and masks if they are wanted; yield what to say of it.

    Args:
        splits: the first one, and those that are another part of its folders, are looked at.

    Raises:
        ValueError: folders or files that do not fit.
    """
    if wanted.write is not None:
        check_form(wanted.write, splits)
    pairs = _pairs(splits)
    corrected = {} if wanted.corrected is None else _corrected(wanted.corrected, pairs)
    if wanted.masks_destination is not None:
        read = {path.parent for each in pairs for path in each.files}
        check_apart(wanted.masks_destination, read, "masks_destination")
    probabilities = Probabilities.of(wanted.runs)
    for folder in filter(None, (str(destination), wanted.masks_destination)):
        check_apart(folder, [Path(wanted.runs)], "destination")
    with bulk_progress("looking", "images, each twice", console) as tell:
        suspects = find_suspects(
            pairs,
            probabilities,
            labels,
            tolerance=wanted.tolerance,
            least=wanted.least,
            progress=lambda done, total: tell(done, total=total),
        )
    if left := len(pairs) - len(suspects.pairs):
        yield f"{left} of {len(pairs)} images were left out, of which the runs kept no probabilities"
    make_folder(destination, "destination")
    write_files(destination, suspects, reading, number=wanted.number, overwrite=overwrite)
    found = f"{len(suspects.found):,} suspect regions in {len(suspects.pairs):,} images"
    yield f"{found}; written to {destination}: {PAGE}, {CSV}"
    if wanted.write is not None and suspects.found:
        first = splits[0]
        yield write_selected(destination, suspects, wanted.number, first, wanted.write, overwrite=overwrite)
    if wanted.masks_destination is not None:
        masks = Path(wanted.masks_destination)
        yield _write_masks(masks, pairs, suspects, corrected, number=wanted.number, overwrite=overwrite)


def _pairs(splits: Sequence[Split]) -> list[Pair]:
    first, pairs = splits[0], []
    names = {"image_template": first.image_template, "template": first.template}
    for split in splits:
        if (split.images, split.masks) == (first.images, first.masks):
            found = pair(split.images, split.masks, **names, only=split.listed)
            pairs += [each for each in found if split.only is None or each.name in set(split.only)]
    return sorted({each.name: each for each in pairs}.values(), key=lambda each: each.name)


def _write_masks(
    folder: Path,
    pairs: Sequence[Pair],
    suspects: Suspects,
    corrected: Mapping[str, Path],
    *,
    number: int,
    overwrite: bool,
) -> str:
    files = [folder / LABELS, *(folder / f"{each.name}.png" for each in pairs)]
    claim("seg-audit", {folder: files}, {LABELS: ()}, overwrite=overwrite)
    make_folder(folder, "masks_destination")
    pixels = write_masks(folder, pairs, suspects, suspects.found[:number], corrected)
    came = f", {len(corrected)} of them corrected" if corrected else ""
    return f"{len(pairs)} masks written to {folder}{came}; {pixels:,} suspect pixels became 255"


def _corrected(folder: str, pairs: Sequence[Pair]) -> dict[str, Path]:
    """Return the masks that came back, by name.

    Raises:
        ValueError: one of another name, or none.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"corrected: expected an existing folder, got '{folder}'; check the path")
    names = {each.name for each in pairs}
    found = {str(file.relative_to(path).with_suffix("")): file for file in sorted(path.rglob("*.png"))}
    if others := sorted(set(found) - names):
        raise ValueError(
            f"corrected: expected masks with names of the set, got {len(others)} others, such as '{others[0]}.png'; "
            "rename them, or take them out"
        )
    if not found:
        raise ValueError(f"corrected: expected masks (.png) that came back, got none in '{folder}'; check the path")
    return found
