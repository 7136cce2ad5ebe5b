"""Predict a mask for every image of a folder.

seg-predict checkpoint=FILE images=DIR destination=DIR
"""

from pathlib import Path
from typing import TYPE_CHECKING

from seg.commands import Failed, plain, run, trusted_modules

if TYPE_CHECKING:
    from omegaconf import DictConfig

_OVERLAYS = "overlays"


def main() -> None:
    """Entry point of ``seg-predict``."""
    run(predict, "predict")


def predict(config: "DictConfig") -> None:
    """Write masks as ``seg-preprocess`` does, ``labels.yaml`` beside them, and overlays.

    A bad image is named and the others go on; then the command fails.
    """
    from seg import pictures
    from seg.commands import _show
    from seg.files import make_folder, write_png
    from seg.images import as_rgb
    from seg.models import first_line
    from seg.pairs import list_images, one
    from seg.pairs.folders import check_apart
    from seg.trained import load

    cfg = plain(config)
    trained = load(cfg["checkpoint"], cfg["device"], trust=trusted_modules(cfg["trust"]))
    images = list_images(one(cfg["images"], "images"), cfg["image_template"])
    check_apart(cfg["destination"], [cfg["images"]], "destination")
    destination = make_folder(cfg["destination"], "destination", {"images": cfg["images"]})
    targets = {name: (destination / f"{name}.png", destination / _OVERLAYS / f"{name}.png") for name in images}
    _check_targets(list(targets.values()), cfg["images"])
    trained.labels.save(destination / "labels.yaml")
    _say_others(destination, {path for both in targets.values() for path in both})
    failures = []
    for name, path in _show.track(images.items(), "predicting", len(images), unit="images"):
        for older in targets[name]:  # of an earlier call: it must not pass for what this one found
            older.unlink(missing_ok=True)
        try:
            image = trained.read(path)
            mask = trained.predict_read(image)
        except ValueError as error:
            failures.append(str(error))
            continue
        except Exception as error:  # memory, a size that the model refuses: other images may well go
            failures.append(f"image '{path}': {first_line(error)}")
            continue
        write_png(targets[name][0], mask)
        if cfg["overlays"]:
            picture = pictures.panel(as_rgb(image), mask, trained.labels.palette, trained.labels.names)
            write_png(targets[name][1], picture)
    also = "; overlays in overlays/" if cfg["overlays"] else ""
    _show.say(f"{len(images) - len(failures)} masks written to {destination}{also}")
    if failures:
        more = "".join(f"\n  {failure}" for failure in failures[1:20])
        raise Failed(f"{len(failures)} of {len(images)} images failed: {failures[0]}{more}")


def _check_targets(targets: list[tuple[Path, Path]], images: str) -> None:
    """Make sure that no picture replaces an image, be it through a link, or another picture."""
    folders = {path.parent for both in targets for path in both}
    check = {folder: folder.resolve().is_relative_to(Path(images).resolve()) for folder in folders}
    inside = [path for both in targets for path in both if check[path.parent]]
    if inside:
        raise ValueError(
            f"destination: expected a folder whose files lie outside images, got '{inside[0]}' within '{images}'; give "
            "another folder"
        )
    twice = {mask for mask, _ in targets} & {overlay for _, overlay in targets}
    if twice:
        raise ValueError(
            f"images: expected none whose mask would be called as an overlay is, got '{min(twice)}'; rename the folder "
            f"'{_OVERLAYS}' in images"
        )


def _say_others(destination: Path, targets: set[Path]) -> None:
    """Name what lies in the destination and will not be written by this call."""
    from seg.commands import _show
    from seg.pairs.folders import list_names

    others = [name for name in list_names(destination) if name.endswith(".png") and destination / name not in targets]
    if others:
        _show.say(
            f"warning: {len(others)} pictures in {destination} belong to none of these images, such as {others[0]}; "
            "they stay"
        )


if __name__ == "__main__":
    main()
