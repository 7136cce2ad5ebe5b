"""An exported file, run by onnxruntime or as a program of torch; see `seg.inference.export` for what is in it."""

import io
import json
import os
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seg.files import checks, read_file
from seg.models import first_line

SUFFIXES = (".onnx", ".pt2")
KEY = "seg"
"""Of the metadata."""

REMEDY = "pip install 'seg-toolkit[export]'"
_MAPS = 5  # of boxes: distances to four sides, and the centerness
_NEVER = -100.0  # a logit whose probability is 0, and that can be averaged


def read(path: str | os.PathLike[str], device: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return model and description of a file that `seg.inference.export.write` wrote.

    The model gives logits for sides that are multiples of 32. Those of a file with argmax are 0 for the class of its
    mask and -100 for others. With ``heads=True`` it returns ``(logits, {"boxes": maps})``, if the file has boxes, which
    its attribute ``boxes`` tells: ``countable`` and ``min_area`` of the head, else None.

    Raises:
        ValueError: another file, or a missing library.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint: expected a file, got '{path}'; give one that seg-export wrote")
    try:
        model: Any
        if path.suffix.lower() == ".pt2":
            model, text = program_of(path, device)
        else:
            model = Onnx(path.read_bytes(), device)
            text = model.text
        description = json.loads(text)
        if not isinstance(description, dict) or description.get("output") not in ("mask", "logits"):
            raise ValueError("metadata that seg-export did not write")
        if description.get("size") is not None:
            checks.sides("size", description["size"])
        if description["output"] == "mask":
            model = _OneHot(model, description["classes"])
        model.boxes = _boxes_of(description)
    except ImportError:
        raise ValueError(f"checkpoint: expected onnxruntime to run '{path}', got none; {REMEDY}") from None
    except Exception as error:  # of many kinds, where a file is damaged or of others
        reason = first_line(error)[:200]
        raise ValueError(
            f"checkpoint: expected a model that seg-export wrote, got '{path}', which cannot be read as that "
            f"({reason}); export it again"
        ) from None
    return model, description


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Tell whether `seg.inference.export.write` wrote a file, by its metadata alone: nothing of it is run."""
    try:
        data = read_file(path)
        if Path(path).suffix.lower() == ".pt2":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith(f"/extra/{KEY}"))
                text = archive.read(name).decode()
        else:
            import onnx

            (text,) = (entry.value for entry in onnx.load_from_string(data).metadata_props if entry.key == KEY)
        return json.loads(text)["output"] in ("mask", "logits")
    except Exception:  # of many kinds, where a file is of others
        return False


def refuse(path: Any) -> None:
    """Refuse an exported file where a checkpoint is needed.

    Raises:
        ValueError: it is one, by its suffix.
    """
    if Path(str(path)).suffix.lower() in SUFFIXES:
        raise ValueError(
            f"checkpoint: expected best.pt or last.pt of a run, got '{path}', which is exported already; give the "
            "checkpoint that it was made of"
        )


def check_outputs(
    model: nn.Module, path: str | os.PathLike[str], classes: int, channels: int, size: Sequence[int] | None, device: str
) -> None:
    """Run a model that `read` returned on an empty image, and hold what it gives against what the file says.

    Args:
        size: height and width of its images; None = any.

    Raises:
        ValueError: it does not run, or gives something else.
    """
    images = torch.zeros(1, channels, *(size or (64, 96)), device=device)
    maps = {"boxes": _MAPS} if getattr(model, "boxes", None) is not None else {}
    try:
        with torch.inference_mode():
            logits, further = model(images, heads=True) if maps else (model(images), {})
        for name, found in {"logits": logits, **further}.items():
            expected = (1, maps.get(name, classes), *images.shape[2:])
            if tuple(found.shape) != expected or found.dtype != torch.float32:
                got = f"{str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}"
                raise ValueError(f"its metadata say {name} float32 {expected}, it gives {got}")
    except Exception as error:  # onnxruntime's are of many kinds
        raise ValueError(
            f"checkpoint: expected a model that does what its metadata say, got '{path}' ({first_line(error)[:200]}); "
            "export it again"
        ) from None


def _boxes_of(description: dict[str, Any]) -> dict[str, Any] | None:
    """Read what the metadata say of boxes: classes that have some by index, or None for all, and the least area."""
    if (boxes := description.get("boxes")) is None:
        return None
    countable, min_area = boxes["countable"], boxes["min_area"]
    if not isinstance(min_area, int) or not all(isinstance(index, int) for index in countable or ()):
        raise ValueError("metadata of boxes that seg-export did not write")
    return {"countable": countable, "min_area": min_area}


class _Exported(nn.Module, ABC):
    """A model that runs elsewhere."""

    boxes: dict[str, Any] | None = None

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        found = self.outputs(images)
        return (found[0], {"boxes": found[1]}) if heads else found[0]

    @abstractmethod
    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits or mask, and maps of boxes if it has them."""


class Onnx(_Exported):
    """An ONNX file run by onnxruntime; ``text`` is what its metadata say."""

    def __init__(self, data: bytes, device: str) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors are raised
        cuda = device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        number = {"device_id": torch.device(device).index or 0} if cuda else {}
        providers = [*([("CUDAExecutionProvider", number)] if cuda else []), "CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(data, options, providers=providers)
        if device.startswith("cuda") and "CUDAExecutionProvider" not in self.session.get_providers():
            warnings.warn("onnxruntime runs on the CPU: it has no CUDA here; pip install onnxruntime-gpu", stacklevel=2)
        self.text = self.session.get_modelmeta().custom_metadata_map.get(KEY, "null")

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.session.run(None, {"images": images.float().cpu().numpy()})
        return tuple(torch.from_numpy(out).to(images.device) for out in found)


class Program(_Exported):
    """A program of torch.export, which knows neither ``train()`` nor ``eval()``."""

    def __init__(self, program: torch.export.ExportedProgram, device: str = "cpu") -> None:
        super().__init__()
        # torch guards against sides of one multiple, which the program computes as well
        self.run = (program.module(check_guards=False).to(device),)  # in a tuple, it is no child

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.run[0](images)
        return out if isinstance(out, tuple) else (out,)


class _OneHot(_Exported):
    def __init__(self, model: _Exported, classes: int) -> None:
        super().__init__()
        self.model, self.classes = model, classes

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits of the mask, and what follows it."""
        mask, *more = self.model.outputs(images)
        if mask.dtype != torch.uint8 or mask.ndim != 3 or int(mask.max()) >= self.classes:
            raise ValueError(
                f"expected a mask uint8 (N, H, W) of {self.classes} classes from the model, got "
                f"{str(mask.dtype).removeprefix('torch.')} {tuple(mask.shape)} up to {int(mask.max())}; export it again"
            )
        mask = mask.long()[:, None]
        never = torch.full((len(mask), self.classes, *mask.shape[2:]), _NEVER, device=mask.device)
        return (never.scatter_(1, mask, 0.0), *more)


def program_of(path: Path, device: str = "cpu") -> tuple[Program, str]:
    """Return model and metadata of a .pt2, which is trusted."""
    extra = {KEY: ""}
    program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=extra)
    return Program(program, device), extra[KEY]
