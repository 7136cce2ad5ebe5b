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
    from seg.files import make_folder
    from seg.images.oddities import left_out_pages
    from seg.inference import export, runtime
    from seg.inference.examples import calibration_images
    from seg.inference.trained import load

    cfg: dict[str, Any] = plain(config)
    path, size, int8 = Path(str(cfg["destination"])), cfg["size"], cfg["int8"]
    export.check_request(path, size, int8=int8 is not None)
    if Path(str(cfg["checkpoint"])).suffix.lower() in runtime.SUFFIXES:
        raise ValueError(
            f"checkpoint: expected best.pt or last.pt of a run, got '{cfg['checkpoint']}', which is exported already; "
            "give the checkpoint that it was made of"
        )
    calibrate = calibration_images(str(int8)) if int8 is not None else []
    trained = load(cfg["checkpoint"], "cpu", trust=trusted_modules(cfg["trust"]))
    if text := left_out_pages(calibrate, trained.reading):
        log.warning(text)
    make_folder(path.parent, "destination")
    result = export.export_trained(trained, path, size=size, argmax=cfg["argmax"], calibrate=calibrate)
    kind = f"opset {export.OPSET}" if path.suffix.lower() == ".onnx" else "torch.export"
    height, width = size or ("height", "width")
    log.info(
        f"{path} written ({kind}): images (batch, {trained.reading.channels}, {height}, {width}) -> "
        + ("mask" if cfg["argmax"] else f"logits of {trained.labels.classes} classes")
        + (f", boxes (batch, {result.maps}, {height}, {width})" if result.maps else "")
    )
    what = f"{result.difference:.2%} of the pixels" if cfg["argmax"] else f"{result.difference:.1e} in any logit"
    log.info(f"it differs from the checkpoint by at most {what}, on random images{'' if size else ' of several sizes'}")
    if calibrate:
        log.info(
            f"computes with 8 bits now: {result.changed:.1%} of the pixels of {result.calibrated} images get another "
            "class"
        )


if __name__ == "__main__":
    main()
