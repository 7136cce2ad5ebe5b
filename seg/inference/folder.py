"""A folder of images, or a list of them, to a folder of masks: what ``seg-predict`` does.

from seg.inference.folder import predict_folder
summary = predict_folder(seg.load("runs/camvid/best.pt"), "images", "predicted")
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seg.data.pairs import one
from seg.data.pairs.folders import check_apart, list_names
from seg.data.pairs.images import images_of
from seg.files import held, make_folder
from seg.files.manifest import Manifest, Record
from seg.files.notebook import said, table
from seg.images.oddities import left_out_pages
from seg.inference.collected import join_boxes, write_disagreement
from seg.inference.disagreement import Disagreement
from seg.inference.ensemble import Ensemble
from seg.inference.heads import check_views, heads_of, warn_of_others
from seg.inference.image import TIFF, predict_image
from seg.inference.labelling import RANK, Ranking, check_ranked, read_known, write_ranking
from seg.inference.memory import keep_freed_memory
from seg.inference.outputs import FOLDERS, Kind, Products
from seg.inference.sizes import sizes_of
from seg.inference.trained import Trained
from seg.models.heads import Heads
from seg.report.progress import going_on, track
from seg.tasks.boxes import BoxRules

log = logging.getLogger(__name__)

Paths = dict[Kind, Path]
"""Where the files of one image lie, all that there may be."""


@dataclass(frozen=True)
class Summary:
    """What a call did: how many masks it wrote and left as they were, kinds of files that it wrote, and what failed.

    With a ranking also the first rows of ``rank.csv``, those of the images that were chosen.
    """

    written: int
    unchanged: int
    kinds: tuple[Kind, ...]
    failures: tuple[str, ...]
    ranked: tuple[tuple[object, ...], ...] = ()

    @property
    def images(self) -> int:
        """Number of images in all."""
        return self.written + self.unchanged + len(self.failures)

    def told(self, destination: str | os.PathLike[str]) -> str:
        """Say what was written where."""
        unchanged = f", {self.unchanged} unchanged" if self.unchanged else ""
        more = "".join(f"; {kind} in {kind}/" for kind in self.kinds if kind != "mask")
        return f"{self.written} masks written to {Path(destination)}{unchanged}{more}"

    def __repr__(self) -> str:
        facts = (
            f"{self.images} images: {self.written} predicted, {self.unchanged} unchanged, {len(self.failures)} failed"
        )
        return said("Summary", facts, f"wrote {', '.join(self.kinds)}" if self.kinds else "")

    def _repr_html_(self) -> str:
        """Return the counts and the first failures, for notebooks."""
        counts = (str(self.written), str(self.unchanged), str(len(self.failures)), ", ".join(self.kinds))
        failures = table("failed", (), [(reason,) for reason in self.failures[:20]]) if self.failures else ""
        return table("", ("predicted", "unchanged", "failed", "written"), [counts]) + failures


def predict_folder(
    trained: Trained,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    products: Products | None = None,
    *,
    image_template: str = "{}",
    made_by: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    ranking: Ranking | None = None,
) -> Summary:
    """Write a mask for every image as ``seg-preprocess`` does, ``labels.yaml`` beside them, and what else is wanted.

    Args:
        trained: its ``infer`` says how images are predicted, see `seg.inference`.
        source: a folder, a list or an image, see `seg.data.pairs.images.images_of`.
        products: None = overlays, GeoTIFFs and boxes, where there can be any.
        image_template: file name of an image in the folder.
        made_by: plain data that says which model predicts, and how. Images whose masks are there already, by the same
            and with the same products, are left out; with None, which may be anything, no image is.
        overwrite: leave no image out, and replace files that no prediction wrote.
        ranking: say which images to label next, in ``rank.csv``; their features are written too.

    Raises:
        ValueError: a wrong option or folder. A bad image raises nothing; ``Summary.failures`` names it.
    """
    products = replace(products or Products(), features=ranking is not None or (products or Products()).features)
    kinds = products.kinds
    trained = _with_heads(trained, products, kinds)
    source = one(source, "images")
    images = images_of(source, image_template)
    _check_sizes(trained, images.values())
    if ranking is not None:
        check_ranked(trained, images)
    folders = [source] if source.is_dir() else []
    check_apart(destination, folders, "destination")
    destination = make_folder(destination, "destination", {"images": source} if folders else None)
    targets: dict[str, Paths] = {
        name: {kind: destination / pattern.format(name) for kind, pattern in FOLDERS.items()} for name in images
    }
    _check_targets(targets, images, folders)
    _check_geotiff(kinds, images.values())
    if text := left_out_pages(images.values(), trained.reading):
        log.warning(text)
    keep_freed_memory()
    known = None if ranking is None else read_known(trained, ranking, image_template)
    key = json.dumps({**(made_by or {}), "kinds": kinds, "as": products.probabilities})
    with held(destination, "destination: expected a folder that nobody writes to", "wait, or give another folder"):
        with Manifest(destination, "", key) as manifest:
            if not overwrite:
                _refuse_others(destination, targets, manifest, ranked=ranking is not None)
            trained.labels.save(destination / "labels.yaml")
            _say_others(destination, {path for paths in targets.values() for path in paths.values()})
            again = overwrite or made_by is None
            there = {} if again else _unchanged(images, targets, manifest)
            todo = [name for name in images if name not in there]
            outcomes: list[list[Kind] | str] = []
            before, total = len(images) - len(todo), len(images)
            with going_on(lambda: "" if again else f"{before + len(outcomes):,} of {total:,} images done"):
                for outcome in _predict_each(trained, todo, images, targets, manifest, kinds, products):
                    outcomes.append(outcome if isinstance(outcome, str) else outcome["kinds"])
                    if not isinstance(outcome, str):
                        there[outcome["file"]] = outcome.get("scores", {})
        write_disagreement(there if "disagreement" in kinds else None, destination)
        ordered = {name: there[name] for name in targets if name in there}
        files = [targets[name]["features"] for name in ordered]
        rows = write_ranking(destination, ordered, files, ranking, known)
        join_boxes([paths["boxes"] for paths in targets.values()] if "boxes" in kinds else None, destination)
    failures = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    written = {kind for outcome in outcomes if not isinstance(outcome, str) for kind in outcome}
    kinds = [kind for kind in kinds if kind in written]
    return Summary(len(todo) - len(failures), before, tuple(kinds), failures, tuple(rows))


def _predict_each(
    trained: Trained,
    todo: Sequence[str],
    images: Mapping[str, Path],
    targets: Mapping[str, Paths],
    manifest: Manifest,
    kinds: Sequence[Kind],
    products: Products,
) -> Iterator[Record | str]:
    """Predict and record what is to do; yield the record of each image, or why it failed."""
    alone, halves, total = len(todo) == 1, products.probabilities == "float16", len(images)
    for name in todo if len(todo) < 2 else track(todo, "predicting", total, total - len(todo), "images"):
        path, paths = images[name], targets[name]
        before = path.stat()
        manifest.append({"file": name, "status": "begun"})  # what is found after a kill is ours
        for older in paths.values():  # of an earlier call: it must not pass for what this one finds
            older.unlink(missing_ok=True)
        wanted = {kind: paths[kind] for kind in kinds}
        try:
            written, scores = predict_image(trained, path, wanted, f"{name}{path.suffix}", halves=halves, alone=alone)
        except ValueError as error:
            yield str(error)
            continue
        record = {"file": name, "status": "converted", "size": before.st_size, "mtime_ns": before.st_mtime_ns}
        record |= {"kinds": written} | ({"scores": scores} if scores else {})
        size, time = _extent(paths, record)
        manifest.append({**record, "mask_size": size, "mask_mtime_ns": time})
        yield record


def _unchanged(images: Mapping[str, Path], targets: Mapping[str, Paths], manifest: Manifest) -> dict[str, Any]:
    """Return the scores, if any, of the images whose files are all there, as this call would write them."""
    records = ((name, manifest.unchanged(name, path, partial(_extent, targets[name]))) for name, path in images.items())
    return {name: record.get("scores", {}) for name, record in records if record is not None}


def _extent(paths: Paths, record: Record) -> tuple[int, int]:
    """Return size and time of a mask as they are now; OSError if it, or what else was written, is missing."""
    for kind in record["kinds"]:
        status = paths[kind].stat()
    return status.st_size, status.st_mtime_ns  # the mask is the last


def _check_sizes(trained: Trained, images: Iterable[Path]) -> None:
    """Refuse images of which none has a size that the model takes; of several, the others are named one by one."""
    refused: list[ValueError] = []
    for size in dict.fromkeys(sizes_of(images)) if trained.size is not None else ():
        try:
            trained.check_size(*size)
            return
        except ValueError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _with_heads(trained: Trained, products: Products, kinds: list[Kind]) -> Trained:
    """Return the model that gives all that is wanted, with what it cannot give taken out of ``kinds``, or refused."""
    members = len(trained.model.members) if isinstance(trained.model, Ensemble) else 1
    _check_certain(trained, kinds)
    check_members(products, members)
    trained = _with_boxes(trained, kinds, products.boxes)
    if products.disagreement or (products.features and isinstance(trained.model, Ensemble)):
        trained = replace(trained, heads=Heads({**trained.heads.named, Disagreement.name: Disagreement()}))
    warn_of_others(trained.model, "what is predicted into a folder")
    return trained


def _check_certain(trained: Trained, kinds: Sequence[Kind]) -> None:
    """Refuse probabilities of a model that has none."""
    if trained.certain and (wanted := {"confidence", "probabilities"} & {*kinds}):
        raise ValueError(
            f"{min(wanted)}: expected a model that gives logits, got '{trained.path}', which was exported with "
            "argmax=true; export it without, or leave this out"
        )


def check_members(products: Products, members: int) -> None:
    """Refuse the disagreement of one model.

    Args:
        members: number of models that predict together.

    Raises:
        ValueError: there is one.
    """
    if products.disagreement and members == 1:
        raise ValueError(
            "disagreement: expected several checkpoints, which may disagree, got one; give checkpoint=[a.pt,b.pt], or "
            "leave it out"
        )


def _with_boxes(trained: Trained, kinds: list[Kind], asked: bool | None) -> Trained:
    """Return the model that gives boxes too, if it can and they are wanted; else take them out of ``kinds``.

    Refuse to leave boxes out that are asked for.
    """
    if (heads := heads_of(trained.model, BoxRules)) and asked is not False:
        try:
            check_views("boxes", trained.infer)
            return replace(trained, heads=heads)
        except ValueError as error:
            if asked:
                raise
            log.warning(f"boxes are left out: {error}")
    if asked and not heads:
        raise ValueError(
            f"boxes: expected a checkpoint that was trained with task=boxes, got '{trained.path}'; give another one, "
            "or leave boxes out"
        )
    if "boxes" in kinds:
        kinds.remove("boxes")
    return trained


def _check_geotiff(kinds: list[Kind], images: Iterable[Path]) -> None:
    """Leave GeoTIFFs out where nothing can write them, and say so where they are missed."""
    if "geotiff" in kinds and find_spec("tifffile") is None:
        kinds.remove("geotiff")  # also from the key: coordinates are carried over once it is installed
        if any(path.suffix.lower() in TIFF for path in images):
            log.warning(
                "geotiff: expected tifffile to carry coordinates over, got none; pip install 'seg-toolkit[tiff]', or "
                "give geotiff=false"
            )


def _check_targets(targets: Mapping[str, Paths], images: Mapping[str, Path], folders: Sequence[Path]) -> None:
    """Make sure that nothing that is written replaces an image, be it through a link, or something else that is."""
    paths = [path for all_paths in targets.values() for path in all_paths.values()]
    read = {path.resolve() for path in images.values()}
    real = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    within = [folder.resolve() for folder in folders]
    for path in paths:
        place = real[path.parent]
        if place / path.name in read or any(place.is_relative_to(folder) for folder in within):
            raise ValueError(
                f"destination: expected a folder whose files lie outside images, got '{path}' within "
                f"'{', '.join(map(str, folders)) or path.parent}'; give another folder"
            )
    if len({*paths}) < len(paths):
        twice = min(path for path, count in Counter(paths).items() if count > 1)
        inside = twice.relative_to(min(real, key=lambda folder: len(folder.parts)))
        raise ValueError(
            f"images: expected no image whose mask has the file name of another picture, got '{twice}'; rename the "
            f"folder '{inside.parts[0]}' in images"
        )


def _refuse_others(destination: Path, targets: Mapping[str, Paths], manifest: Manifest, *, ranked: bool) -> None:
    """Refuse to replace files that no prediction wrote, such as masks that were painted by hand."""
    files = [path for name, paths in targets.items() if name not in manifest for path in paths.values()]
    if not len(manifest) or (destination / "source.json").exists():  # nobody, or a conversion, wrote the masks there
        files += [destination / "labels.yaml", *([destination / RANK] if ranked else [])]
    if (there := next((path for path in files if path.exists()), None)) is not None:
        raise ValueError(
            f"destination: expected a folder without files of others, got '{there}', which no prediction wrote and "
            "this one would replace; give another folder, or overwrite=true"
        )


def _say_others(destination: Path, targets: set[Path]) -> None:
    """Name what lies in the destination and will not be written by this call."""
    others = [name for name in list_names(destination) if name.endswith(".png") and destination / name not in targets]
    if others:
        log.info(
            f"warning: {len(others)} pictures in {destination} belong to none of these images, such as {others[0]}; "
            "they stay"
        )
