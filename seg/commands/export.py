"""Export a checkpoint for other programs.

seg-export checkpoint=FILE destination=FILE.onnx
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run, trusted_modules

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("seg")


def main() -> None:
    """Entry point of ``seg-export``."""
    run(export, "export")


def export(config: "DictConfig") -> None:
    """Write an ONNX file or a program of torch.export, and say how far it is from the model."""
    from seg.images.oddities import left_out_pages
    from seg.inference import export, runtime
    from seg.inference.examples import calibration_images
    from seg.inference.members import files_of, load

    cfg: dict[str, Any] = plain(config)
    path, size, int8 = Path(str(cfg["destination"])), cfg["size"], cfg["int8"]
    export.check_request(path, size, int8=int8 is not None, overwrite=cfg["overwrite"])
    for file in (files := files_of(cfg["checkpoint"])):
        runtime.refuse(file)
    calibrate = calibration_images(str(int8)) if int8 is not None else []
    trained = load(files, "cpu", trust=trusted_modules(cfg["trust"]))
    if text := left_out_pages(calibrate, trained.reading):
        log.warning(text)
    for line in export.export_trained(trained, path, size=size, argmax=cfg["argmax"], calibrate=calibrate).lines:
        log.info(line)


if __name__ == "__main__":
    main()
