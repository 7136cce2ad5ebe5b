"""Predict a mask for every image of a folder, or of a list.

seg-predict checkpoint=FILE images=DIR destination=DIR
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run, trusted_modules
from seg.files.errors import Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from seg.files.manifest import Record
    from seg.images import Image
    from seg.inference.outputs import Kind
    from seg.inference.trained import Trained

    Paths = Mapping[Kind, Path]

log = logging.getLogger(__name__)


def main() -> None:
    """Entry point of ``seg-predict``."""
    run(predict, "predict")


def predict(config: "DictConfig") -> None:
    """Write masks as ``seg-preprocess`` does, ``labels.yaml`` beside them, and what else is wanted.

    Images whose masks are there already, of the same model and options, are left out. A bad image is named and the
    others go on; then the command fails.
    """
    from seg.commands.cli.targets import inference_of
    from seg.data.pairs import one
    from seg.data.pairs.folders import check_apart
    from seg.data.pairs.images import images_of
    from seg.files import held, make_folder
    from seg.files.manifest import Manifest
    from seg.inference.outputs import FOLDERS
    from seg.inference.trained import load
    from seg.report.progress import track

    cfg = plain(config)
    kinds, infer = _kinds(cfg), inference_of(cfg["inference"])
    trained = load(cfg["checkpoint"], cfg["device"], trust=trusted_modules(cfg["trust"]))
    _check_certain(trained, kinds, cfg["checkpoint"])
    trained = _with_boxes(replace(trained, infer=infer), kinds, cfg)
    source = one(cfg["images"], "images")
    images = images_of(source, cfg["image_template"])
    folders = [source] if source.is_dir() else []
    check_apart(cfg["destination"], folders, "destination")
    destination = make_folder(cfg["destination"], "destination", {"images": source} if folders else None)
    targets: dict[str, dict[Kind, Path]] = {
        name: {kind: destination / pattern.format(name) for kind, pattern in FOLDERS.items()} for name in images
    }
    _check_targets(targets, images, folders)
    _check_geotiff(kinds, images)
    key = _key(cfg, kinds)
    with held(destination, "destination: expected a folder that nobody writes to", "wait, or give another folder"):
        trained.labels.save(destination / "labels.yaml")
        _say_others(destination, {path for paths in targets.values() for path in paths.values()})
        with Manifest(destination, "", key) as manifest:
            todo = [
                name for name in images
                if cfg["overwrite"] or not manifest.unchanged(name, images[name], partial(_stamp, targets[name]))
            ]  # fmt: skip
            failures, written = [], set()
            one_by_one = partial(
                _predict_one, trained, kinds=kinds, halves=cfg["probabilities"] == "float16", alone=len(todo) == 1
            )
            work = track(todo, "predicting", len(images), len(images) - len(todo), unit="images")
            for name in work if len(todo) > 1 else todo:
                before = images[name].stat()
                try:
                    kinds_written = one_by_one(images[name], targets[name], f"{name}{images[name].suffix}")
                except ValueError as error:
                    failures.append(str(error))
                    continue
                record = {"file": name, "status": "converted", "size": before.st_size, "mtime_ns": before.st_mtime_ns}
                record |= {"crc32": -1, "kinds": kinds_written}  # -1: what was touched is predicted anew
                written |= {*kinds_written}
                size, time = _stamp(targets[name], record)
                manifest.append({**record, "mask_size": size, "mask_mtime_ns": time})
        _join_boxes([paths["boxes"] for paths in targets.values()] if "boxes" in kinds else None, destination)
    unchanged = f", {len(images) - len(todo)} unchanged" if len(todo) < len(images) else ""
    also = "".join(f"; {kind} in {kind}/" for kind in kinds if kind in written and kind != "mask")
    log.info(f"{len(todo) - len(failures)} masks written to {destination}{unchanged}{also}")
    if failures:
        more = "".join(f"\n  {failure}" for failure in failures[1:20])
        raise Failed(f"{len(failures)} of {len(images)} images failed: {failures[0]}{more}")


def _predict_one(
    trained: "Trained", path: Path, paths: "Paths", name: str, *, kinds: "list[Kind]", halves: bool, alone: bool
) -> "list[Kind]":
    """Predict an image and write what is wanted, all of it or none; returns the kinds that were written.

    Args:
        paths: of what an earlier call may have written as well.
        name: of the image, for boxes.
        kinds: those that are wanted.
        alone: tell how far it is.

    Raises:
        ValueError: the image cannot be read or predicted.
    """
    from seg.files import naming
    from seg.inference.outputs import Outputs, geo_tags
    from seg.models import first_line
    from seg.tasks.boxes import JoinedBoxes

    for older in paths.values():  # of an earlier call: it must not pass for what this one found
        older.unlink(missing_ok=True)
    paths = {kind: paths[kind] for kind in kinds}
    geo = geo_tags(path) if "geotiff" in paths else []
    with _opened(trained, path) as (image, rows, height, width):
        if image is None and "probabilities" in paths:
            raise ValueError(
                f"image '{path}': expected at most max_pixels for probabilities, got {height}x{width} pixels; leave "
                "them out, or cut it into tiles"
            )
        if image is None and "overlays" in paths:
            log.warning(
                f"image '{path}' is larger than max_pixels: read and predicted some rows at a time, without overlay "
                "or boxes"
            )
        left_out = {*(() if geo else ("geotiff",)), *(() if image is not None else ("overlays", "boxes"))}
        paths = {kind: target for kind, target in paths.items() if kind not in left_out}
        boxes = trained.model if isinstance(trained.model, JoinedBoxes) else None
        outputs = Outputs(
            paths, height, width, trained.labels, image=image, geo=geo, halves=halves, boxes=boxes, name=name
        )
        with naming(paths["mask"]), outputs:
            try:
                strips = trained.strips(rows, height, width)
                for logits in _told(strips, height) if alone else strips:
                    outputs.add(logits)
            except OSError:  # of writing: no image would fare better
                raise
            except Exception as error:  # memory, a size that the model refuses: other images may well go
                text = first_line(error)
                raise ValueError(text if text.startswith("image '") else f"image '{path}': {text}") from None
    return list(paths)


@contextmanager
def _opened(trained: "Trained", path: Path) -> "Iterator[tuple[Image | None, Callable[[int, int], Image], int, int]]":
    """The image, a function (first, last) -> rows of it, height and width; without the image if it is too large for
    memory, and the model slides over it."""
    from seg.images import MOST_BYTES, limit, tiff_rows
    from seg.images.headers import read_header
    from seg.inference import Sliding

    if isinstance(trained.infer(trained.model), Sliding) and path.suffix.lower() in {".tif", ".tiff"}:
        try:
            with path.open("rb") as file:
                header = read_header(file, any_form=True)
            large = header.width * header.height > limit() or path.stat().st_size > MOST_BYTES
        except (ValueError, OSError):  # the reader says so
            large = False
        if large:
            with tiff_rows(path, trained.reading) as rows:
                yield None, rows, rows.height, rows.width
            return
    try:
        image = trained.read(path)
    except ValueError as error:
        more = ", or, if it is a TIFF file, give inference=sliding" if "max_pixels" in str(error) else ""
        raise ValueError(f"{error}{more}") from None
    yield image, lambda first, last: image[first:last], *image.shape[:2]


def _told(strips: "Iterator[Tensor]", height: int) -> "Iterator[Tensor]":
    """The strips, while a bar or a line now and then says how far they are."""
    from seg.report.console import console
    from seg.report.progress import bulk_progress

    with bulk_progress("predicting", "rows", console) as tell:
        done = 0
        for strip in strips:
            yield strip
            done += strip.shape[2]
            tell(done, total=height)


def _kinds(cfg: dict[str, Any]) -> "list[Kind]":
    """What is to be written.

    Raises:
        ValueError: an option of another kind.
    """
    from seg.inference.outputs import FOLDERS

    for key in ("overlays", "colors", "confidence", "geotiff", "overwrite", "boxes"):
        if not isinstance(cfg[key], bool) and (key, cfg[key]) != ("boxes", None):
            raise ValueError(f"{key}: expected true or false, got {cfg[key]!r}; give one")
    if cfg["probabilities"] not in (None, "uint8", "float16"):
        raise ValueError(
            f"probabilities: expected uint8 or float16, or null for none, got {cfg['probabilities']!r}; choose one"
        )
    return [kind for kind in FOLDERS if kind in ("mask", "boxes") or cfg[kind]]


def _with_boxes(trained: "Trained", kinds: "list[Kind]", cfg: dict[str, Any]) -> "Trained":
    """The model that gives boxes too, if it has a head for them and they are wanted; else they leave ``kinds``.

    Raises:
        ValueError: they are asked for, and cannot be predicted.
    """
    from seg.inference.heads import check_views
    from seg.tasks.boxes import head_of, joined

    if (has := head_of(trained.model) is not None) and cfg["boxes"] is not False:
        try:
            check_views("boxes", trained.infer)
            return replace(trained, model=joined(trained.model))
        except ValueError as error:
            if cfg["boxes"]:
                raise
            log.warning(f"boxes are left out: {error}")
    if cfg["boxes"] and not has:
        raise ValueError(
            f"boxes: expected a checkpoint that was trained with task=boxes, got '{cfg['checkpoint']}'; give another "
            "one, or leave boxes out"
        )
    kinds.remove("boxes")
    return trained


def _check_geotiff(kinds: "list[Kind]", images: Mapping[str, Path]) -> None:
    """Leave GeoTIFFs out where nothing can write them, and say so where they are missed."""

    if "geotiff" in kinds and find_spec("tifffile") is None:
        kinds.remove("geotiff")  # also from the key: coordinates are carried over once it is installed
        if any(path.suffix.lower() in {".tif", ".tiff"} for path in images.values()):
            log.warning(
                "geotiff: expected tifffile to carry coordinates over, got none; pip install 'seg-toolkit[tiff]', or "
                "give geotiff=false"
            )


def _join_boxes(parts: list[Path] | None, destination: Path) -> None:
    """One file of those of all images that have been predicted; with None, without the file of an earlier call."""
    from seg.files import write_json
    from seg.runs import BOXES

    path = destination / BOXES
    if parts is None:
        if (destination / "boxes").is_dir():  # else it is not ours
            path.unlink(missing_ok=True)
        return
    whole: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    for part in (part for part in parts if part.is_file()):
        data = json.loads(part.read_text(encoding="utf-8"))
        number, first = len(whole["images"]) + 1, len(whole["annotations"])
        whole["images"] += [{**image, "id": number} for image in data["images"]]
        whole["categories"] = data["categories"]
        whole["annotations"] += [
            {**found, "id": first + found["id"], "image_id": number} for found in data["annotations"]
        ]
    write_json(path, whole)


def _check_certain(trained: "Trained", kinds: "list[Kind]", checkpoint: str) -> None:
    """Refuse probabilities of a model that has none."""
    if trained.certain and (wanted := {"confidence", "probabilities"} & {*kinds}):
        raise ValueError(
            f"{min(wanted)}: expected a model that gives logits, got '{checkpoint}', which was exported with "
            "argmax=true; export it without, or leave this out"
        )


def _key(cfg: dict[str, Any], kinds: "list[Kind]") -> str:
    """What makes a mask another one: the model and the options."""
    with Path(cfg["checkpoint"]).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    return json.dumps({"model": model, "inference": cfg["inference"], "kinds": kinds, "as": cfg["probabilities"]})


def _stamp(paths: "Paths", record: "Record") -> tuple[int, int]:
    """Size and time of a mask as they are now; OSError if it, or what else was written, is missing."""
    for kind in record["kinds"]:
        status = paths[kind].stat()
    return status.st_size, status.st_mtime_ns  # the mask is the last


def _check_targets(targets: "Mapping[str, Paths]", images: Mapping[str, Path], folders: list[Path]) -> None:
    """Make sure that nothing that is written replaces an image, be it through a link, or something else that is."""
    paths = [path for all_paths in targets.values() for path in all_paths.values()]
    read = {path.resolve() for path in images.values()}
    check = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    within = [folder.resolve() for folder in folders]
    for path in paths:
        place = check[path.parent]
        if place / path.name in read or any(place.is_relative_to(folder) for folder in within):
            raise ValueError(
                f"destination: expected a folder whose files lie outside images, got '{path}' within "
                f"'{', '.join(map(str, folders)) or path.parent}'; give another folder"
            )
    if len({*paths}) < len(paths):
        seen: set[Path] = set()
        twice = min(path for path in paths if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        raise ValueError(
            f"images: expected no image whose mask has the file name of another picture, got '{twice}'; rename the "
            f"folder '{twice.relative_to(min(check, key=lambda folder: len(folder.parts))).parts[0]}' in images"
        )


def _say_others(destination: Path, targets: set[Path]) -> None:
    """Name what lies in the destination and will not be written by this call."""
    from seg.data.pairs.folders import list_names

    others = [name for name in list_names(destination) if name.endswith(".png") and destination / name not in targets]
    if others:
        log.info(
            f"warning: {len(others)} pictures in {destination} belong to none of these images, such as {others[0]}; "
            "they stay"
        )


if __name__ == "__main__":
    main()
