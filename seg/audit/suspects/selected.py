"""The masks of the images with the first suspects, for a tool in which people correct them."""

from collections.abc import Sequence
from pathlib import Path

from seg.audit.records import Split
from seg.audit.suspects.finding import Suspects
from seg.convert.writing import check_options, write_folder
from seg.data.pairs.several import one
from seg.files import write_png
from seg.files.claims import claim
from seg.files.errors import Failed
from seg.images import read_mask

SELECTED = "selected"


def check_form(write: str, splits: Sequence[Split]) -> None:
    """Refuse a form, or folders, of which no annotations can be written.

    Raises:
        ValueError: an unknown form, or images of several folders.
    """
    check_options(write=write, shapes=None, tolerance=0.0, image_template=splits[0].image_template, instances=None)
    one(splits[0].images, "write: images")


def write_selected(folder: Path, suspects: Suspects, number: int, split: Split, write: str, *, overwrite: bool) -> str:
    """Write the masks of the images with the first suspects, and the same as annotations; return what to say of it.

    Args:
        folder: in which ``selected/NAME.png`` and the annotations, in a folder named after their form, are to lie.
        number: of suspects.
        split: that the images are of.
        write: see `seg.convert.writing.write_folder`.

    Raises:
        Failed: an annotation could not be written.
        ValueError: see `check_form`, or files of others are there.
    """
    masks = folder / SELECTED
    names = sorted({suspect.name for suspect in suspects.found[:number]})
    files = {name: masks / f"{name}.png" for name in names}
    for stale in claim("seg-audit", {masks: [*files.values(), masks / "labels.yaml"]}, {}, overwrite=overwrite):
        stale.unlink()
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_png(file, read_mask(suspects.pairs[name].mask, suspects.labels.classes))
    suspects.labels.save(masks / "labels.yaml")
    images, template = one(split.images, "images"), split.image_template
    summary = write_folder(
        masks, folder / write, suspects.labels, write=write, images=images, image_template=template, overwrite=overwrite
    )
    if summary.failed:
        raise Failed(
            f"{summary.failed} of {len(names)} masks could not be written as {write}; {folder / write} has why"
        )
    of = f"{len(names)} image{'s' * (len(names) != 1)}"
    return f"masks of the {of} with the first suspects written to {masks}, and as {write} to {folder / write}"
