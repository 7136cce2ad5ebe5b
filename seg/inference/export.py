"""Exported models: ONNX files and programs of torch.export, with all that is needed to run them.

An ONNX file takes float32 images (batch, channels, height, width) of any size, normalised as its metadata say, pads
them by their edge to a multiple of 32 as `seg.inference.whole_image` does, and crops what it returns: logits (batch,
classes, height, width) float32, or, of argmax, the mask (batch, height, width) uint8. A ``.pt2`` takes sides that are
multiples of 32 alone. Of a model that predicts boxes there is a second output, ``boxes (batch, 5, height, width)``: at
each pixel the distances to the four sides in pixels, and the logit of the centerness. `seg.tasks.boxes.decode` makes
boxes of both, with ``countable`` and ``min_area`` from ``boxes`` in the metadata.

An ONNX file is data: onnxruntime runs its own operators alone. A ``.pt2`` is a program: `torch.export.load` unpickles
objects and evaluates text of it, so that a file of unknown origin can do what it likes. Load only those that you trust.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seg import __version__
from seg.files import checks, make_folder, whole
from seg.files.errors import Failed
from seg.inference import MULTIPLE, runtime, whole_image
from seg.inference.heads import heads_of, warn_of_others
from seg.inference.runtime import KEY, REMEDY, SUFFIXES, Onnx, Program, program_of
from seg.inference.sizes import wanted_size
from seg.inference.trained import Trained
from seg.inference.validated import WHOLE, words
from seg.models import first_line
from seg.tasks.boxes import BoxRules

log = logging.getLogger(__name__)

OPSET = 18
_LIBRARIES = ("onnx", "onnxruntime", "onnxscript")
_HINT = "; some models can be exported for one size alone: size=[HEIGHT,WIDTH]"


class _Named(nn.Module):
    """The model as it is exported: named input, logits and boxes as separate outputs, the argmax if it is wanted."""

    def __init__(self, model: nn.Module, argmax: bool, maps: int) -> None:
        super().__init__()
        self.model, self.argmax, self.maps = model, argmax, maps

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs = _apart(self.model(images), self.argmax, self.maps)
        return outputs if self.maps else outputs[0]


def _apart(out: Tensor, argmax: bool, maps: int) -> tuple[Tensor, ...]:
    """Part logits, or the mask, and boxes if there are maps of them."""
    logits, further = (out[:, :-maps], (out[:, -maps:],)) if maps else (out, ())
    return (logits.argmax(1).to(torch.uint8) if argmax else logits, *further)


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        output: what the file takes and gives, as a sentence.
        argmax: it gives masks.
        sizes: of the images that it was tried with.
        difference: see `write`.
        calibrated: number of images that 8 bits were calibrated with; 0 without.
        changed: share of their pixels that get another class with 8 bits.
    """

    output: str
    argmax: bool
    sizes: str
    difference: float
    calibrated: int = 0
    changed: float = 0.0

    @property
    def lines(self) -> Iterator[str]:
        """Sentences: what was written, and how far it is from the checkpoint."""
        yield self.output
        what = f"{self.difference:.2%} of the pixels" if self.argmax else f"{self.difference:.1e} in any logit"
        before = "before the change to 8 bits, " if self.calibrated else ""
        yield f"{before}it differs from the checkpoint by at most {what}, on random images of {self.sizes}"
        if self.calibrated:
            yield (
                f"computes with 8 bits now: {self.changed:.1%} of the pixels of {self.calibrated} images get another "
                "class"
            )


def export_trained(
    trained: Trained,
    path: str | os.PathLike[str],
    *,
    size: Sequence[int] | None = None,
    argmax: bool = False,
    calibrate: Sequence[Path] = (),
) -> Export:
    """Export a trained model with its boxes, if it predicts any, and all that says what its outputs mean.

    Args:
        path, size, argmax: see `write`.
        calibrate: images like those to come, to compute with 8 bits; see `quantize`.

    Raises:
        ValueError: see `write`; or another size than the only one that the model takes.
        Failed: the model cannot be exported.
    """
    size = _size_for(trained, size, int8=bool(calibrate))
    make_folder(Path(path).parent, "destination")
    channels = trained.reading.channels
    description = {**trained.describe(), "version": __version__, "opset": OPSET}
    if trained.way != WHOLE:
        description["inference"] = dict(trained.validated)
        log.warning(
            f"{words(trained.way)}, as it was validated, is no part of the file: seg-predict and seg-evaluate do "
            "it of their own accord, other programs have to be told"
        )
    model, maps, boxes = trained.model, 0, heads_of(trained.model, BoxRules)
    warn_of_others(trained.model, "an exported file")
    if boxes and calibrate:
        log.warning(
            "int8: boxes are left out, because 8 bits would move their sides by pixels; they need an export without"
        )
    elif boxes:
        (rules,) = boxes.named.values()
        description["boxes"] = {"countable": rules.countable, "min_area": rules.min_area}
        model, maps = boxes.joined(model), rules.channels

    def images() -> Iterator[NDArray[np.float32]]:
        return (trained.inputs(trained.read(image)).numpy() for image in calibrate)

    with whole(path) as temporary:  # what was there stays until 8 bits are made, too
        made = temporary.with_suffix(Path(path).suffix.lower())
        try:
            difference = write(made, model, channels, description, size=size, argmax=argmax, maps=maps)
            changed = quantize(made, images) if calibrate else 0.0
            made.replace(temporary)
        except RuntimeError as error:
            raise Failed(f"'{trained.path}' was not exported: {error}") from None
        finally:
            made.unlink(missing_ok=True)
    kind = f"opset {OPSET}" if Path(path).suffix.lower() == ".onnx" else "torch.export"
    height, width = size or ("height", "width")
    output = (
        f"{path} written ({kind}): images (batch, {channels}, {height}, {width}) -> "
        + ("mask" if argmax else f"logits of {trained.labels.classes} classes")
        + (f", boxes (batch, {maps}, {height}, {width})" if maps else "")
    )
    sizes = "x".join(map(str, size)) if size else "several sizes"
    return Export(output, argmax, sizes, difference, len(calibrate), changed)


def _size_for(trained: Trained, size: Sequence[int] | None, *, int8: bool) -> Sequence[int] | None:
    """Return the size to export for: that of a model that takes no other."""
    if int8 and trained.size is not None:
        raise ValueError(
            f"int8: expected a model for images of any size, got '{trained.path}', which takes "
            f"{trained.size[0]}x{trained.size[1]} alone; leave int8 out"
        )
    return wanted_size(trained.model, trained.reading.channels, size)


def write(
    path: str | os.PathLike[str],
    model: nn.Module,
    channels: int,
    description: Mapping[str, Any],
    *,
    size: Sequence[int] | None = None,
    argmax: bool = False,
    maps: int = 0,
) -> float:
    """Export a model, run the file beside the model on random images of several sizes, and keep it if they agree.

    Args:
        path: ends in ``.onnx`` or ``.pt2``.
        model: ``(N, channels, H, W) -> logits (N, C, H, W)``, on the CPU, in evaluation mode.
        description: plain data for the metadata: what the outputs mean, and how images are read and normalised.
        size: height and width of the images, for models that take one size alone; None = any.
        argmax: return masks instead of logits.
        maps: channels that the model gives after its logits, of boxes: the second output.

    Returns:
        The largest difference of a logit, or with argmax the share of pixels, between file and model.

    Raises:
        ValueError: another suffix, a missing library, or a size that is no multiple of 32.
        RuntimeError: the exporter gives up, or the file computes something else than the model.
    """
    suffix = Path(path).suffix.lower()
    check_request(path, size)
    text = json.dumps({**description, "output": "mask" if argmax else "logits", "size": list(size) if size else None})
    program = _program(_Named(model, argmax, maps).eval(), channels, size)
    with whole(path) as temporary:
        if suffix == ".pt2":
            with temporary.open("wb") as file:
                torch.export.save(program, file, extra_files={KEY: text})
            runs: Onnx | Program = program_of(temporary)[0]
        else:
            outputs = ("mask" if argmax else "logits", *(("boxes",) if maps else ()))
            data = _onnx(program, channels, size, outputs, text)
            temporary.write_bytes(data)
            runs = Onnx(data, "cpu")
        sizes = [size] if size else [(64, 96), (32, 64), *([(45, 61)] if suffix == ".onnx" else [])]
        noise = torch.Generator().manual_seed(0)
        images = [torch.randn(number, channels, *sides, generator=noise) for number, sides in enumerate(sizes, start=1)]
        return max(_difference(model, runs, some, argmax, maps, "" if size else _HINT) for some in images)


def quantize(path: str | os.PathLike[str], images: Callable[[], Iterable[NDArray[np.float32]]]) -> float:
    """Have an ONNX file that `write` wrote compute with 8 bits: weights by channel, activations by what images show.

    Args:
        images: gives images (1, channels, H, W), normalised, anew at each call; some dozens like those to come.

    Returns:
        Share of their pixels that get another class than before.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images())

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {"images": image}

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it warns of each normalisation that it leaves alone
    try:
        with whole(path) as temporary:
            # unsigned activations: of a trained U-Net, OpenVINO changed three times as many pixels with signed ones;
            # weights of 7 bits: x86 processors without VNNI add products of 8 bits in 16, which 8-bit weights overflow
            kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "reduce_range": True}
            apart = _after_logits(onnx.load(path))
            quantize_static(str(path), str(temporary), Reader(), per_channel=True, nodes_to_exclude=apart, **kinds)
            model = onnx.load(temporary)
            onnx.helper.set_model_props(model, {e.key: e.value for e in onnx.load(path).metadata_props})
            onnx.save(model, temporary)
            files = Onnx(Path(path).read_bytes(), "cpu"), Onnx(temporary.read_bytes(), "cpu")
            changed = []
            for image in map(torch.from_numpy, images()):
                outputs = (file(image) for file in files)
                before, after = (out if out.dtype == torch.uint8 else out.argmax(1) for out in outputs)
                changed.append(float((before != after).double().mean()))
    finally:
        logging.root.setLevel(level)
    return sum(changed) / len(changed)


def _after_logits(model: Any) -> list[str]:
    """Name the nodes that sum the probabilities of an ensemble: 8 bits for logarithms from 0 to -100 are too coarse."""
    later: set[str] = set()
    named = []
    for node in model.graph.node:  # in the order in which they are computed
        if node.op_type == "LogSoftmax" or later & {*node.input}:
            later |= {*node.output}
            named.append(node.name)
    return named


def check_request(path: str | os.PathLike[str], size: Any, *, int8: bool = False, overwrite: bool = True) -> None:
    """Refuse what `write` cannot do, before anything is read.

    Args:
        int8: it is to compute with 8 bits, see `quantize`.
        overwrite: replace a file that `write` did not write.

    Raises:
        ValueError: another suffix, a missing library, a size that is no multiple of 32, or a file of others.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"destination: expected a file that ends in {' or '.join(SUFFIXES)}, got '{path}'; name one")
    if size is not None:
        checks.sides("size", size, multiple=MULTIPLE)
    if suffix == ".onnx" and (missing := [name for name in _LIBRARIES if find_spec(name) is None]):
        raise ValueError(f"destination: expected {', '.join(missing)} to write ONNX, got none; {REMEDY}")
    if Path(path).is_dir():
        raise ValueError(f"destination: expected a file, got the folder '{path}'; name a file in it")
    checks.flag("overwrite", overwrite)
    if not overwrite and os.path.lexists(path) and not runtime.is_ours(path):
        raise ValueError(
            f"destination: expected a file that seg-export wrote, or none, got '{path}', which this would replace; "
            "give another name, or overwrite=true"
        )
    if int8 and (suffix != ".onnx" or size is not None):
        raise ValueError(
            f"int8: expected an ONNX file for images of any size, got '{path}' with size={size}; leave one out"
        )


def _program(model: nn.Module, channels: int, size: Sequence[int] | None) -> torch.export.ExportedProgram:
    """Trace the model for any batch, and for any multiple of 32 for the sides if no size is given."""
    batch, any_side = torch.export.Dim("batch", min=1, max=65536), {}
    if size is None:
        sides = (MULTIPLE * torch.export.Dim(name, min=1, max=65536 // MULTIPLE) for name in ("rows", "columns"))
        any_side = dict(zip((2, 3), sides, strict=True))
    images = torch.zeros(2, channels, *(size or (2 * MULTIPLE, 3 * MULTIPLE)))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(model, (images,), dynamic_shapes=({0: batch, **any_side},))
    except Exception as error:  # of many kinds
        raise RuntimeError(f"the exporter of torch gave up ({first_line(error)}){'' if size else _HINT}") from None


def _onnx(
    program: torch.export.ExportedProgram, channels: int, size: Sequence[int] | None, outputs: Sequence[str], text: str
) -> bytes:
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        try:
            written = torch.onnx.export(program, (), opset_version=OPSET, output_names=list(outputs), verbose=False)
        except Exception as error:  # of many kinds
            hint = "" if size else _HINT
            raise RuntimeError(f"the ONNX exporter of torch gave up ({first_line(error)}){hint}") from None
    assert written is not None
    model = written.model_proto
    if size is None:
        model = _with_padding(model, channels, outputs)
    onnx.helper.set_model_props(model, {KEY: text})
    one_each = {opset.domain: opset for opset in model.opset_import}  # merging left one of each part
    del model.opset_import[:]
    model.opset_import.extend(one_each.values())
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _with_padding(model: Any, channels: int, outputs: Sequence[str]) -> Any:
    """Pad by the edge before an ONNX model, and crop after it."""
    import onnx.compose
    import onnx.parser

    head = f'<ir_version: {model.ir_version}, opset_import: ["" : {OPSET}]>'
    before = onnx.parser.parse_model(f"""{head}
        pad (float[batch, {channels}, height, width] images)
            => (float[batch, {channels}, rows, columns] padded, int64[2] size) {{
            size = Shape <start = 2> (images)
            multiple = Constant <value = int64[1] {{{MULTIPLE}}}> ()
            negative = Neg (size)
            missing = Mod (negative, multiple)
            zeros = Constant <value = int64[6] {{0, 0, 0, 0, 0, 0}}> ()
            pads = Concat <axis = 0> (zeros, missing)
            padded = Pad <mode = "edge"> (images, pads)
        }}""")
    kinds = {"mask": "uint8[batch,", "logits": "float[batch, classes,", "boxes": "float[batch, maps,"}
    taken = ", ".join(f"{kinds[name]} rows, columns] found_{name}" for name in outputs)
    given = ", ".join(f"{kinds[name]} height, width] {name}" for name in outputs)
    after = onnx.parser.parse_model(f"""{head}
        crop ({taken}, int64[2] size) => ({given}) {{
            zeros = Constant <value = int64[2] {{0, 0}}> ()
            axes = Constant <value = int64[2] {{-2, -1}}> ()
            {" ".join(f"{name} = Slice (found_{name}, zeros, size, axes)" for name in outputs)}
        }}""")
    before, inner, after = (
        onnx.compose.add_prefix(part, f"{where}_")
        for where, part in (("before", before), ("inner", model), ("after", after))
    )
    link = [("before_padded", "inner_images")]
    inner_names = [f"inner_{name}" for name in outputs]
    joined = onnx.compose.merge_models(before, inner, link, outputs=[*inner_names, "before_size"])
    link = [(f"inner_{name}", f"after_found_{name}") for name in outputs] + [("before_size", "after_size")]
    joined = onnx.compose.merge_models(joined, after, link)
    return _renamed(joined, {"before_images": "images", **{f"after_{name}": name for name in outputs}})


def _renamed(model: Any, names: Mapping[str, str]) -> Any:
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


@torch.no_grad()
def _difference(model: nn.Module, file: Onnx | Program, images: Tensor, argmax: bool, maps: int, hint: str) -> float:
    """Return the largest difference of a number, or the share of pixels of a mask; refuse one that is too large."""
    size = "x".join(map(str, images.shape[-2:]))
    expected = _apart(whole_image(model, images), argmax, maps)
    try:
        outputs = file.outputs(images)
    except Exception as error:  # onnxruntime's are of many kinds
        raise RuntimeError(f"the exported file does not run on images of {size} ({first_line(error)}){hint}") from None
    worst = 0.0
    for own, theirs in zip(expected, outputs, strict=True):
        if own.dtype == torch.uint8:
            difference = (theirs != own).float().mean().item()
            allowed = 0.01  # of the pixels, whose best two classes are as good as equal
        else:
            difference = (theirs - own).abs().max().item()
            allowed = 0.01 * max(1.0, own.abs().max().item())
        if not difference <= allowed:
            raise RuntimeError(
                f"expected the exported file to compute what the model does, got a difference of {difference:.3g} for "
                f"images of {size}; choose the other format, or another model"
            )
        worst = max(worst, difference)
    return worst
