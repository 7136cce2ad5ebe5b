"""A folder of masks to a form that annotation tools read: `convert_folder` the other way."""

import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.convert.folder import Progress, hold
from seg.convert.former import Former
from seg.convert.forms.coco import CocoForm
from seg.convert.forms.cvat import CvatForm
from seg.convert.forms.form import Form, Picture
from seg.convert.forms.geojson import GeojsonForm
from seg.convert.forms.labelme import LabelmeForm
from seg.convert.forms.labelstudio import LabelStudioForm
from seg.convert.forms.voc import VocForm
from seg.convert.forms.yolo import YoloForm
from seg.convert.jobs import (
    Job,
    converted,
    failed,
    in_order,
    list_jobs,
    shard_name,
    threads_of,
    write_about,
    write_counts,
)
from seg.convert.reader import Stamp, count
from seg.convert.recolor import check_classes
from seg.convert.sources import Source, list_sources
from seg.convert.summary import Summary, Tally
from seg.convert.tiles import Outputs, extent
from seg.convert.yolo import upright_size
from seg.data.pairs.folders import was_predicted
from seg.files import make_folder, whole
from seg.files.manifest import Manifest, Record
from seg.labels import IGNORE, LabelMap

FORMS: tuple[type[Form], ...] = (CocoForm, CvatForm, LabelStudioForm, LabelmeForm, YoloForm, GeojsonForm, VocForm)


class _Beside(NamedTuple):
    """The folders that are read together with the masks.

    Attributes:
        images: of the masks, by their names; None: they are not known.
        template: file name of an image, for the tool, where they are not known.
        numbers: folder of the numbers of objects.
        confidence: folder of maps of confidence, as seg-predict writes them.
    """

    images: dict[str, Path] | None
    root: Path
    template: str
    numbers: Path | None
    confidence: Path | None

    def image(self, name: str) -> tuple[str, Path | None]:
        """Return what the tool is told of the image of a mask, and its file.

        Raises:
            ValueError: the folder has none.
        """
        if self.images is None:
            return self.template.replace("{}", name), None
        if name not in self.images:
            raise ValueError(
                f"expected an image '{name}' for this mask, got none; add it, set image_template=, or leave out images="
            )
        file = self.images[name]
        return file.relative_to(self.root).as_posix(), file


class _Outputs(Outputs):
    """The file of a part, which depends on files beside its mask."""

    def extent(self, mask: Path, record: Record) -> tuple[int, int]:
        """Return bytes and latest time of the part and what was read beside its mask; OSError if one is missing."""
        return extent([mask, *map(Path, record.get("beside", ()))])


def write_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    labels: LabelMap,
    *,
    write: str,
    shapes: str | None = None,
    tolerance: float = 0.0,
    background: str | None = None,
    images: str | os.PathLike[str] | None = None,
    image_template: str = "{}",
    instances: str | os.PathLike[str] | None = None,
    pattern: str = "**/*",
    threads: int = 0,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Write every mask under ``source`` as annotations, in a form of `FORMS`; 255 is in no annotation.

    A region is what touches of a class, or an object. Unchanged masks are skipped, as by `convert_folder`, whose files
    ``counts.csv``, ``source.json``, ``manifest.jsonl`` and ``manifest.json`` are written here too.

    Args:
        source: of masks; in a folder that seg-predict wrote, the confidence of regions is written too, where the form
            has it and ``confidence/`` is there.
        write: ``coco``, ``cvat``, ``labelstudio``, ``labelme``, ``yolo``, ``geojson`` or ``voc``.
        shapes, tolerance, background: see `Form`.
        images: folder of the images, which have the size of their masks; the tool is told their names, and ``geojson``
            takes their coordinates.
        image_template: file name of an image, ``{}`` for the name of its mask; without ``images``, what the tool is
            told, by default ``{}.png``.
        instances: folder of the numbers of objects, 8 or 16 bits, with the names of the masks; pixels of one number and
            class are one region, those of 0 are divided as without it.
        pattern, threads, overwrite, progress: see `convert_folder`.
        shard: parts of disjoint masks; a form of one file for all has it after a call without shard.

    Raises:
        ValueError: a wrong option or folder, or the ``labels.yaml`` beside the masks has other classes than ``labels``.
            A bad file raises nothing; ``Summary.failed`` counts it.
    """
    check_options(write=write, shapes=shapes, tolerance=tolerance, image_template=image_template, instances=instances)
    form = _kind(write)(labels, shapes=shapes, tolerance=tolerance, background=background)  # type: ignore[misc]
    workers, part = threads_of(threads), shard_name(shard)
    beside = _beside(Path(source), images, image_template, instances)
    check_classes(labels, Path(source))

    def listed() -> Iterator[Source]:
        return _placed(list_sources(Path(source), Path(destination), pattern), form)

    sources = listed()
    read = {"source": source, "images": images, "instances": instances}
    target = make_folder(destination, "destination", {what: folder for what, folder in read.items() if folder})
    tally = Tally(labels, progress)
    outputs = _Outputs(target, None, None)
    folders = [str(folder and os.path.realpath(folder)) for folder in (images, instances, beside.confidence)]
    key = f"{form.key} {folders} {image_template}"
    with hold(outputs, key, source, pattern):
        with Manifest(target, part, key) as manifest:
            _check_form(target, manifest, form)
            former = Former(outputs, manifest, source, sharded=shard is not None)
            if not overwrite:
                former.refuse_others(listed)
            former.clear()
            jobs = list_jobs(sources, outputs, manifest, shard, overwrite=overwrite)
            records = in_order((job.record or partial(_write, job, form, beside, target) for job in jobs), workers)
            write_counts(target / f"counts{part}.csv", records, manifest, tally)
            former.settle(tally)
        if not shard:
            form.finish(target, _names(target, form))
        summary = tally.summary()
        write_about(target / f"manifest{part}.json", summary, labels=labels.digest)
    return summary


def check_options(
    *, write: str, shapes: str | None, tolerance: float, image_template: str, instances: str | os.PathLike[str] | None
) -> None:
    """Refuse what no label map and no folder can make right.

    Raises:
        ValueError: an unknown form, or options that it does not have.
    """
    if (kind := _kind(write)) is None:
        raise ValueError(f"write: expected one of {', '.join(kind.write for kind in FORMS)}, got {write!r}; choose one")
    if instances is not None and not kind.objects:
        raise ValueError(f"instances: expected only with a form that has objects, got write={write}; leave it out")
    if not isinstance(image_template, str) or image_template.count("{}") != 1:
        raise ValueError(
            f"image_template: expected a file name with {{}} once, got {image_template!r}; give such as {{}}.jpg"
        )
    kind.check(shapes, tolerance)


def _kind(write: str) -> type[Form] | None:
    """Return the form of that name, if there is one."""
    return next((kind for kind in FORMS if kind.write == write), None)


def _beside(
    source: Path, images: str | os.PathLike[str] | None, template: str, instances: str | os.PathLike[str] | None
) -> _Beside:
    """Return what is read beside the masks; raises ValueError for a folder that is not there."""
    from seg.data.pairs import list_images

    if instances is not None and not Path(instances).is_dir():
        raise ValueError(f"instances: expected a folder of PNG files, got '{instances}'; check the path")
    files = None if images is None else list_images(Path(images), template)
    confidence = source / "confidence"
    return _Beside(
        files,
        Path(images or ""),
        "{}.png" if template == "{}" else template,
        None if instances is None else Path(instances),
        confidence if was_predicted(source) and confidence.is_dir() else None,
    )


def _placed(sources: Iterator[Source], form: Form) -> Iterator[Source]:
    """Yield the masks with the place of their parts."""
    for source in sources:
        yield source._replace(mask=source.mask and form.place(source.mask.removesuffix(".png")))


def _check_form(target: Path, manifest: Manifest, form: Form) -> None:
    """Refuse a folder with parts of another form, whose files would stay beside those of this one."""
    mine = f"write {form.write} "
    other = next((record["key"] for record in manifest.of_other_keys() if not record["key"].startswith(mine)), None)
    if other is not None:
        kind = f"write={other.split()[1]}" if other.startswith("write ") else "masks or colours"
        raise ValueError(
            f"destination: expected a folder without files, or with those of write={form.write}, got '{target}' with "
            f"{kind}; give another folder"
        )


def _names(target: Path, form: Form) -> list[str]:
    """Return the names of the masks whose parts are there, sorted."""
    folder = target / form.folder
    parts = (path for path in folder.rglob(f"*{form.suffix}") if not path.name.startswith(".seg-"))
    return sorted(path.relative_to(folder).as_posix().removesuffix(form.suffix) for path in parts)


def _write(job: Job, form: Form, beside: _Beside, target: Path) -> Record:
    assert job.path is not None
    assert job.mask is not None
    try:
        data, status = job.path.read_bytes(), job.path.stat()
        mask, counts = _checked(data, form)
        name = job.mask.relative_to(target / form.folder).as_posix().removesuffix(form.suffix)
        picture, read = _picture(name, mask, beside, job.mask)
        content, lost = form.part(picture)
        job.mask.parent.mkdir(parents=True, exist_ok=True)
        with whole(job.mask) as temporary:
            temporary.write_bytes(content)
        about: dict[str, Any] = {"beside": [str(path.absolute()) for path in read]}
        if lost:
            about |= {"lost": lost, "of": mask.size}
        if IGNORE in counts:
            about["untold"] = form.taken_for
        stamp = Stamp(len(data), status.st_mtime_ns, zlib.crc32(data))
        return converted(job, stamp, counts, extent([job.mask, *read]), **about)
    except (OSError, ValueError, MemoryError) as error:
        job.mask.unlink(missing_ok=True)
        return failed(job, error)


def _picture(name: str, mask: NDArray[np.uint8], beside: _Beside, target: Path) -> tuple[Picture, list[Path]]:
    """Return a mask with what is known beside it, and the files that say so."""
    from seg.images import decode_mask, read_instances

    image, file = beside.image(name)
    if file and (size := upright_size(file)) != mask.shape:
        (height, width), (rows, columns) = mask.shape, size
        raise ValueError(
            f"image '{file}': expected {width} x {height} pixels, as the mask has, got {columns} x {rows}; give "
            "the images that the masks belong to"
        )
    read = [file] if file else []
    numbers = confidence = None
    if beside.numbers is not None:
        read.append(beside.numbers / f"{name}.png")
        numbers = read_instances(read[-1])
    if beside.confidence is not None and (sure := beside.confidence / f"{name}.png").is_file():
        read.append(sure)
        confidence = decode_mask(sure.read_bytes())
    return Picture(name, image, mask, numbers, confidence, file, target), read


def _checked(data: bytes, form: Form) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """Decode a mask and count its pixels; raises ValueError for a number that is no class."""
    from seg.images import decode_mask

    mask, classes = decode_mask(data), form.labels.classes
    counts = count(mask)
    if any(classes <= value < IGNORE for value in counts):
        y, x = np.argwhere((mask >= classes) & (mask != IGNORE))[0]
        raise ValueError(
            f"mask: expected 0..{classes - 1} or {IGNORE}, got {mask[y, x]} at x={x}, y={y}; give the label map that "
            "the mask was made with (labels.yaml beside it)"
        )
    return mask, counts
