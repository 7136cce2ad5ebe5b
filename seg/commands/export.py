"""Export a checkpoint for other programs.

seg-export checkpoint=FILE destination=FILE.onnx
"""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run, trusted_modules
from seg.files.errors import Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

    from seg.inference.trained import Trained

log = logging.getLogger("seg")

_MOST = 64  # images to calibrate with


def main() -> None:
    """Entry point of ``seg-export``."""
    run(export, "export")


def export(config: "DictConfig") -> None:
    """Write an ONNX file or a program of torch.export, and say how far it is from the model."""
    import seg
    from seg.files import make_folder
    from seg.inference import export, exported
    from seg.inference.trained import load

    cfg = plain(config)
    if not isinstance(cfg["argmax"], bool):
        raise ValueError(f"argmax: expected true or false, got {cfg['argmax']!r}; give one")
    path = Path(str(cfg["destination"]))
    export.check_request(path, cfg["size"])
    if path.is_dir():
        raise ValueError(f"destination: expected a file, got the folder '{path}'; name a file in it")
    if Path(str(cfg["checkpoint"])).suffix.lower() in exported.SUFFIXES:
        raise ValueError(
            f"checkpoint: expected best.pt or last.pt of a run, got '{cfg['checkpoint']}', which is exported already; "
            "give the checkpoint that it was made of"
        )
    chosen = _chosen(cfg, path)
    trained = load(cfg["checkpoint"], "cpu", trust=trusted_modules(cfg["trust"]))
    make_folder(path.parent, "destination")
    description = {**trained.describe(), "version": seg.__version__, "opset": export.OPSET}
    model, maps = _model(trained, bool(chosen), description)
    try:
        difference = export.write(
            path,
            model,
            trained.reading.channels,
            description,
            size=cfg["size"],
            argmax=cfg["argmax"],
            maps=maps,
        )
    except RuntimeError as error:
        raise Failed(f"'{cfg['checkpoint']}' was not exported: {error}") from None
    kind = f"opset {export.OPSET}" if path.suffix.lower() == ".onnx" else "torch.export"
    height, width = cfg["size"] or ("height", "width")
    log.info(
        f"{path} written ({kind}): images (batch, {trained.reading.channels}, {height}, {width}) -> "
        + ("mask" if cfg["argmax"] else f"logits of {trained.labels.classes} classes")
        + (f", boxes (batch, {maps}, {height}, {width})" if maps else "")
    )
    what = f"{difference:.2%} of the pixels" if cfg["argmax"] else f"{difference:.1e} in any logit"
    sizes = "" if cfg["size"] else " of several sizes"
    log.info(f"it differs from the checkpoint by at most {what}, on random images{sizes}")
    if chosen:
        other = export.quantize(path, partial(_normalized, trained, chosen))
        log.info(f"computes with 8 bits now: {other:.1%} of the pixels of {len(chosen)} images get another class")


def _model(trained: "Trained", int8: bool, description: dict[str, Any]) -> "tuple[nn.Module, int]":
    """What is exported, and how many channels it gives after the logits: the maps of boxes, which are described."""
    from seg.tasks.boxes import CHANNELS, BoxHead, head_of, joined

    named: Any = getattr(trained.model, "heads", {})
    if own := [name for name, one in named.items() if not isinstance(one, BoxHead)]:
        log.warning(f"{' and '.join(own)}: left out, because an exported file holds the segmentation, and boxes, alone")
    if (head := head_of(trained.model)) is None:
        return trained.model, 0
    if int8:
        log.warning(
            "int8: boxes are left out, because 8 bits would move their sides by pixels; they need an export without"
        )
        return trained.model, 0
    description["boxes"] = {"countable": head.countable, "min_area": head.min_area}
    return joined(trained.model), CHANNELS


def _chosen(cfg: dict[str, Any], path: Path) -> list[Path]:
    """Images to calibrate with, evenly from those of the folder.

    Raises:
        ValueError: no such folder, or the wrong kind of file is written.
    """
    from seg.data.pairs.images import images_of

    if cfg["int8"] is None:
        return []
    if path.suffix.lower() != ".onnx" or cfg["size"] is not None:
        raise ValueError(
            f"int8: expected an ONNX file for images of any size, got '{path}' with size={cfg['size']}; leave one out"
        )
    files = list(images_of(Path(str(cfg["int8"])), "{}").values())
    return [files[i * len(files) // min(len(files), _MOST)] for i in range(min(len(files), _MOST))]


def _normalized(trained: "Trained", paths: list[Path]) -> Iterator[Any]:
    import torch

    from seg.inference import normalized

    for path in paths:
        image = torch.from_numpy(trained.read(path)).permute(2, 0, 1)[None]
        yield normalized(image, trained.mean, trained.std, "cpu").numpy()


if __name__ == "__main__":
    main()
