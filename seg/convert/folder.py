"""A folder of label images to a folder of masks, and back: puts sources, threads, manifest and totals together."""

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg import _preproc
from seg.convert.annotations import AnnotationReader
from seg.convert.binary import BinaryReader
from seg.convert.cityscapes import CityscapesReader
from seg.convert.coco import CocoReader
from seg.convert.cvat import CvatReader
from seg.convert.former import Former
from seg.convert.jobs import (
    Job,
    Task,
    converted,
    failed,
    in_order,
    list_jobs,
    shard_name,
    threads_of,
    write_about,
    write_counts,
)
from seg.convert.labelme import ShapeReader
from seg.convert.labelstudio import LabelStudioReader
from seg.convert.many import ManyReader
from seg.convert.objects import CODES
from seg.convert.reader import LabelReader, Mapped, Stamp, count
from seg.convert.recolor import check_classes, of_ignored, recolor_array
from seg.convert.sources import Source, list_sources
from seg.convert.summary import Summary, Tally, write_weights
from seg.convert.tiles import Cut, ImageTiles, Outputs, extent
from seg.convert.yolo import YoloReader
from seg.data.pairs import list_images
from seg.files import held, make_folder, write_json, write_png
from seg.files.manifest import Manifest, Record
from seg.labels import LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Called with (done, failed) about twice a second and at the end."""

_CUT = "cut.json"


def convert_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    labels: LabelMap,
    *,
    pattern: str = "**/*",
    unknown: str = "error",
    max_distance: int | None = None,
    read: str = "auto",
    transparent: str = "keep",
    background: str | None = None,
    names: str = "path",
    class_template: str | None = None,
    order: Sequence[str] | None = None,
    max_pixels: int = 1 << 28,
    cut: Cut | None = None,
    images: ImageTiles | None = None,
    sizes_of: str | os.PathLike[str] | None = None,
    image_template: str = "{}",
    instances: str | os.PathLike[str] | None = None,
    threads: int = 0,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Convert every label image under ``source`` to a mask of the same relative name (.png) under ``destination``.

    Hidden files are skipped. So are sources that have not changed since they were converted with the same label map
    and options: the same call resumes an interrupted run. Masks whose labels are gone, or that were made with another
    label map, are removed (see `seg.convert.former`). Beside the masks it writes ``labels.yaml``, ``counts.csv``,
    ``class_weights.json`` (see `seg.convert.weights`), ``source.json``, ``manifest.jsonl`` and ``manifest.json``.

    Args:
        pattern: glob over the relative path; ``**/`` stands for any folders.
        unknown, max_distance, read, transparent, max_pixels: see `LabelReader`; with ``read=labelme``, ``coco``,
            ``cityscapes_polygons``, ``cvat``, ``labelstudio`` or ``yolo`` the sources are annotations, see
            `seg.convert.labelme` and so on, with ``binary`` masks of one class each, see `seg.convert.binary`. A file
            that fails leaves no mask, not even an older one.
        background: class of the pixels outside every annotation, see `AnnotationReader`.
        names: with ``read=coco``, ``cvat`` or ``labelstudio``, ``path`` or ``last``, see `ManyReader`.
        class_template, order: with ``read=binary``, see `BinaryReader`.
        cut: resize the masks and cut them into tiles. A pixel counts once, however many tiles overlap there.
        images: the images of the labels, to be cut like the masks.
        sizes_of, image_template: with ``read=yolo``, the folder of the images, and their file name, ``{}`` for the name
            of the label.
        instances: folder for the number of the object at each pixel, of annotations and of label images that code it
            (``read=id256``, ``id1000``): grayscale PNG of 16 bits with the names of the masks, 0 = none. Groups
            (``iscrowd``, ``cargroup``) have no number, which is warned of.
        threads: 0 = all cores that this process may use.
        overwrite: convert unchanged sources again, and replace files that no conversion wrote.
        shard: (i, n), 1 <= i <= n: only the i-th of n disjoint parts, with its own ``counts.i-of-n.csv`` and
            manifests; a run without shard afterwards skips the masks and merges the totals.

    Raises:
        ValueError: a wrong option or folder. A bad file raises nothing; ``Summary.failed`` counts it.
    """
    # options are checked before any folder is made
    options: dict[str, Any] = {"unknown": unknown, "max_distance": max_distance, "transparent": transparent}
    options |= {"background": background, "names": names, "class_template": class_template, "order": order}
    options["images"] = None if sizes_of is None else list_images(Path(sizes_of), image_template)
    if instances is not None:
        options["instances"] = True
    reader = _reader(labels, read, options, max_pixels)
    if images and not cut:
        raise ValueError("images: expected only with tile or size, got neither; give one, or leave images out")
    workers, part = threads_of(threads), shard_name(shard)

    def listed() -> Iterable[Source]:
        if isinstance(reader, LabelReader):
            return list_sources(Path(source), Path(destination), pattern, reader.suffixes)
        return reader.sources(Path(source), Path(destination), pattern)

    sources = listed()
    outputs = _make_outputs(source, destination, cut, images, instances)
    target, tally, key = outputs.target, Tally(labels, progress), _key(reader, cut, images)
    with hold(outputs, key, source, pattern):
        _check_cut(target, cut)
        with Manifest(target, part, key) as manifest:
            former = Former(outputs, manifest, source, sharded=shard is not None)
            if not overwrite:
                former.refuse_others(listed)
            former.clear()
            _record_cut(target, cut)
            labels.save(target / "labels.yaml")
            if images:
                sources = _named_as_pairs(sources, images)
            jobs = list_jobs(sources, outputs, manifest, shard, overwrite=overwrite)
            records = in_order(_tasks(jobs, reader, outputs, workers), workers)
            write_counts(target / f"counts{part}.csv", records, manifest, tally)
            former.settle(tally)
        if images and not shard:
            tally.warn(*images.left_out())
        if isinstance(reader, LabelReader) and reader.numbered:
            tally.warn(reader.numbered)
        summary = tally.summary()
        write_weights(target / f"class_weights{part}.json", summary)
        write_about(target / f"manifest{part}.json", summary, labels=labels.digest, options=reader.options)
    return summary


def recolor_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    labels: LabelMap,
    *,
    pattern: str = "**/*.png",
    threads: int = 0,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Undo `convert_folder`: every mask under ``source`` becomes a label image, see `recolor_array`.

    Arguments and files as for `convert_folder`, without ``labels.yaml`` and class weights, which belong to masks.

    Raises:
        ValueError: a wrong option or folder, or the ``labels.yaml`` beside the masks has other classes than ``labels``.
            A bad file raises nothing; ``Summary.failed`` counts it.
    """
    workers, part = threads_of(threads), shard_name(shard)
    check_classes(labels, Path(source))
    sources = list_sources(Path(source), Path(destination), pattern)
    target = make_folder(destination, "destination", {"source": source})
    tally = Tally(labels, progress)
    outputs = Outputs(target, None, None)
    key = f"recolor {labels.digest}"
    with hold(outputs, key, source, pattern):
        with Manifest(target, part, key) as manifest:
            former = Former(outputs, manifest, source, sharded=shard is not None)
            if not overwrite:
                former.refuse_others(partial(list_sources, Path(source), Path(destination), pattern))
            former.clear()
            jobs = list_jobs(sources, outputs, manifest, shard, overwrite=overwrite)
            records = in_order((job.record or partial(_recolor, job, labels, outputs) for job in jobs), workers)
            write_counts(target / f"counts{part}.csv", records, manifest, tally)
            former.settle(tally)
        summary = tally.summary()
        if summary.ignored and (said := of_ignored(labels)):
            summary = replace(summary, warnings=(*summary.warnings, said))
        write_about(target / f"manifest{part}.json", summary, labels=labels.digest)
    return summary


def _reader(labels: LabelMap, read: str, options: dict[str, Any], max_pixels: int) -> LabelReader | AnnotationReader:
    """Return the reader of that name; options that it does not have must be left at their defaults."""
    kinds: tuple[type[AnnotationReader], ...] = (ShapeReader, CocoReader, CityscapesReader, BinaryReader)
    tools: tuple[type[AnnotationReader], ...] = (CvatReader, LabelStudioReader, YoloReader)
    kind = next((kind for kind in (*kinds, *tools) if kind.read == read), None)
    if not kind and read not in CODES and "instances" in options:
        raise ValueError(
            f"instances_destination: expected only with read={', '.join([*(each.read for each in kinds), *CODES])}, "
            f"which have objects, as have {', '.join(each.read for each in tools)}, got read={read}; leave it out"
        )
    many = ("names", ("path", "read=coco, cvat or labelstudio"))
    unused: dict[str, tuple[Any, str]] = dict([] if kind and issubclass(kind, ManyReader) else [many])
    if kind is not YoloReader:
        unused["images"] = (None, "read=yolo")
    if kind is not BinaryReader:
        unused |= {"class_template": (None, "read=binary"), "order": (None, "read=binary")}
    unused |= (
        {"max_distance": (None, "colours"), "transparent": ("keep", "images")}
        if kind
        else {"background": (None, "annotations")}
    )
    for name, (default, what) in unused.items():
        if (got := options.pop(name)) != default:
            raise ValueError(f"{name}: expected only with {what}, got {got!r} with read={read}; leave it out")
    options["max_pixels"] = max_pixels
    return kind(labels, **options) if kind else LabelReader(labels, read=read, **options)


def _numbers_folder(folder: Path, target: Path, source: Path) -> Path:
    """Make the folder for the numbers of objects.

    Raises:
        ValueError: a folder that does not fit.
    """
    real = folder.resolve()
    for what, other in (("destination", target), ("source", source)):
        if real.is_relative_to(other.resolve()) or (what == "destination" and other.resolve().is_relative_to(real)):
            raise ValueError(
                f"instances_destination: expected a folder apart from {what}, got '{folder}' and '{other}', where one "
                "would be read as the other; give another folder"
            )
    return make_folder(folder, "instances_destination", {"source": source})


def _named_as_pairs(sources: Iterable[Source], images: ImageTiles) -> Iterator[Source]:
    """Yield the labels that fit the template, with masks named like their image."""
    for source in sources:
        name = images.name(source.name)
        if name is not None:
            yield source._replace(mask=source.mask and f"{name}.png")


def _make_outputs(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    cut: Cut | None,
    images: ImageTiles | None,
    instances: str | os.PathLike[str] | None,
) -> Outputs:
    """Make the folders that are written to, apart from those that are read."""
    read_from = Path(source).parent if Path(source).is_file() else Path(source)
    apart = images.apart(read_from, destination) if images else {"source": read_from}
    target = make_folder(destination, "destination", apart)
    numbers = None if instances is None else _numbers_folder(Path(instances), target, read_from)
    return Outputs(target, cut, images, numbers)


def _key(reader: LabelReader | AnnotationReader, cut: Cut | None, images: ImageTiles | None) -> str:
    """Return what masks depend on besides their sources."""
    tiles = f" {json.dumps(cut.to_dict())}" if cut else ""
    return reader.key + tiles + ("" if images is None or images.exif else " exif=ignore")


def _tasks(
    jobs: Iterator[Job], reader: LabelReader | AnnotationReader, outputs: Outputs, threads: int
) -> Iterator[Task]:
    """Yield what is left to do for each job, in the order of the jobs."""
    if isinstance(reader, LabelReader) and not outputs.cut and not outputs.instances:
        return _by_helper(jobs, reader, outputs, threads)
    return (job.record or partial(_make_mask, job, reader, outputs) for job in jobs)


def _by_helper(jobs: Iterator[Job], reader: LabelReader, outputs: Outputs, threads: int) -> Iterator[Task]:
    """Yield the path of most files: the C++ helper does everything for PNG; other formats are left for Python."""
    with closing(reader.files(jobs, threads)) as results:
        for result in results:
            job = result.job
            stamp = Stamp(result.size, result.mtime_ns, result.crc)
            if job.record:
                yield job.record
            elif result.status == "converted":
                exif = "left" if result.orientation > 1 else ""
                odd = {"merged": result.merged, "transparent": result.clear, "exif": exif}
                odd["unlisted"] = result.unknown[0] if result.unknown else 0
                yield converted(job, stamp, result.counts, extent([job.mask]), **odd)
            elif result.status == "unsupported":
                yield partial(_convert_other, job, stamp, reader, outputs)
            else:
                yield failed(job, result.reason or reader.reason(result.unknown, result.counts))


def _convert_other(job: Job, stamp: Stamp, reader: LabelReader, outputs: Outputs) -> Record:
    assert job.path is not None
    assert job.mask is not None
    try:
        mapped = reader.other_file(job.path)
        _preproc.write_mask(job.mask, mapped.mask)
        return converted(job, stamp, mapped.counts, extent([job.mask]), **_odd(mapped))
    except (OSError, ValueError, MemoryError) as error:
        outputs.remove(job.mask)
        return failed(job, error)


def _make_mask(job: Job, reader: LabelReader | AnnotationReader, outputs: Outputs) -> Record:
    assert job.path is not None
    assert job.mask is not None
    cut, images = outputs.cut, outputs.images
    try:
        mapped, stamp = reader.file(job.path)
        if mapped.instances is not None:
            _write_numbers(outputs, job.mask, mapped.instances)
        if cut is None:
            _preproc.write_mask(job.mask, mapped.mask)
            return converted(job, stamp, mapped.counts, outputs.extent(job.mask, {}), **_odd(mapped))
        mask = cut.resized(mapped.mask, nearest=True)
        turned = images.write(outputs.name(job.mask), mapped.mask.shape) if images else ""
        cut.write(job.mask, mask)
        about = {"height": mask.shape[0], "width": mask.shape[1], "image_exif": turned, **_odd(mapped)}
        counts = mapped.counts if mask is mapped.mask else count(mask)
        about["unlisted"] = about["unlisted"] * mask.size // mapped.mask.size  # counts are those after resizing
        return converted(job, stamp, counts, outputs.extent(job.mask, about), **about)
    except (OSError, ValueError, MemoryError) as error:
        outputs.remove(job.mask)
        return failed(job, error)


def _write_numbers(outputs: Outputs, mask: Path, numbers: "NDArray[np.uint16]") -> None:
    path = outputs.numbers(mask)
    if outputs.cut is None:
        write_png(path, numbers)
    else:
        outputs.cut.write(path, outputs.cut.resized(numbers, nearest=True))


def _recolor(job: Job, labels: LabelMap, outputs: Outputs) -> Record:
    from seg.images import decode_mask

    assert job.path is not None
    assert job.mask is not None
    try:
        data = job.path.read_bytes()
        status = job.path.stat()
        mask = decode_mask(data)
        write_png(job.mask, recolor_array(mask, labels))
        stamp = Stamp(len(data), status.st_mtime_ns, zlib.crc32(data))
        return converted(job, stamp, count(mask), extent([job.mask]))
    except (OSError, ValueError, MemoryError) as error:
        outputs.remove(job.mask)
        return failed(job, error)


def _odd(mapped: Mapped) -> dict[str, Any]:
    """Return what a record says of a file that was converted although something about it is odd."""
    kept = ("lossy", "merged", "groups", "nothing", "exif", "nodata")
    unlisted = mapped.missing[0] if mapped.missing else 0
    return {"transparent": mapped.clear, "unlisted": unlisted, **{name: getattr(mapped, name) for name in kept}}


@contextmanager
def hold(outputs: Outputs, key: str, source: str | os.PathLike[str], pattern: str) -> Iterator[None]:
    """Hold the destinations: shards and other calls alike may write there at the same time, nobody else."""
    images = outputs.images
    whole_key = json.dumps([key, os.path.realpath(source), pattern, images and images.key])
    folders = {"destination": (outputs.target, whole_key)}
    if images:
        folders["images_destination"] = (images.destination, images.key)
    if outputs.instances:
        folders["instances_destination"] = (outputs.instances, whole_key)
    with ExitStack() as stack:
        for what, (folder, mine) in folders.items():
            expected = f"{what}: expected a folder that no conversion of another source, label map or options writes to"
            stack.enter_context(held(folder, expected, "wait for it, or give another folder", mine))
        yield


def _check_cut(target: Path, cut: Cut | None) -> None:
    """Check that masks of an earlier call, if any, were cut alike."""
    wanted = cut.to_dict() if cut else None
    if (target / "labels.yaml").is_file():
        before = _cut_before(target / _CUT)
        if before != wanted:
            raise ValueError(
                f"destination: expected a folder without masks, or with masks made with {_cut_text(wanted)}, got "
                f"'{target}' with masks made with {_cut_text(before)}; give another folder, or remove it"
            )


def _cut_before(path: Path) -> dict[str, Any] | None:
    """Read how masks were cut; None where they were not.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        raise ValueError(
            f"destination: expected '{path}' as an earlier call wrote it, got a damaged file; give another folder, or "
            "remove this one"
        )
    return before


def _record_cut(target: Path, cut: Cut | None) -> None:
    if cut:
        write_json(target / _CUT, cut.to_dict())


def _cut_text(cut: dict[str, Any] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (cut or {"tile": None, "size": None}).items())
