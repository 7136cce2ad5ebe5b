"""Predict a mask for every image of a folder.

seg-predict checkpoint=FILE images=DIR destination=DIR
"""

from pathlib import Path
from typing import TYPE_CHECKING

from seg.commands import Failed, plain, run, trusted_modules

if TYPE_CHECKING:
    from omegaconf import DictConfig


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
    from seg.images import read_image
    from seg.pairs import list_images
    from seg.trained import load

    cfg = plain(config)
    trained = load(cfg["checkpoint"], cfg["device"], trust=trusted_modules(cfg["trust"]))
    images = list_images(Path(cfg["images"]), cfg["image_template"])
    destination = make_folder(cfg["destination"], "destination", {"images": cfg["images"]})
    if destination.resolve() == Path(cfg["images"]).resolve():
        raise ValueError(
            f"destination: expected another folder than the images', got '{destination}'; give another one"
        )
    trained.labels.save(destination / "labels.yaml")
    failures = []
    for name, path in _show.track(images.items(), "predicting", len(images)):
        try:
            image = read_image(path)
        except ValueError as error:
            failures.append(str(error))
            continue
        mask = trained.predict(image)
        write_png(destination / f"{name}.png", mask)
        if cfg["overlays"]:
            picture = pictures.panel(image, mask, trained.labels.palette, trained.labels.names)
            write_png(destination / "overlays" / f"{name}.png", picture)
    also = "; overlays in overlays/" if cfg["overlays"] else ""
    _show.say(f"{len(images) - len(failures)} masks written to {destination}{also}")
    if failures:
        more = "".join(f"\n  {failure}" for failure in failures[1:20])
        raise Failed(f"{len(failures)} of {len(images)} images failed: {failures[0]}{more}")


if __name__ == "__main__":
    main()
