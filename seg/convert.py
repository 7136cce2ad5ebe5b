"""Label images to masks in bulk, on top of the C++ helper.

    from seg.convert import convert_folder
    summary = convert_folder("labels", "masks", LabelMap.load("class_dict.csv"))

A mask is an 8-bit grayscale PNG of class indices, 255 = ignore. Nothing is guessed: a colour that the label map
does not list fails its file, and the reason names the colour, its place and the nearest listed colour.
"""

import csv
import json
import os
import re
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import seg
from seg import _preproc
from seg.decode import open_other
from seg.files import make_folder, whole, write_json
from seg.labels import IGNORE, Color, LabelMap
from seg.manifest import Manifest, Record
from seg.sources import Source, list_sources
from seg.weights import BETA, RULES, class_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOSSY = "{} is lossy: colours at class borders are not the ones that were painted; ask for PNG labels"
_FIRST_FAILURES = 20

# As the C++ helper reports it: pixels, distinct, first, x, y, and the max_distance that would answer for all.
_Unknown = tuple[int, int, Color | int, int, int, int | None]


@dataclass(frozen=True)
class Summary:
    """What `convert_folder` did. Pixels and images are counted over converted and skipped files alike."""

    converted: int
    skipped: int
    failed: int
    pixels: dict[str, int]
    images: dict[str, int]
    """Images in which each class occurs."""
    image_pixels: dict[str, int]
    """Pixels of those images, ignored ones left out."""
    ignored: int
    warnings: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """The first failures: source (relative) and reason."""
    seconds: float


def convert_array(
    image: "NDArray[Any]", labels: LabelMap, *, unknown: str = "error", max_distance: int | None = None
) -> "NDArray[np.uint8]":
    """Map one label image: H x W x 3 uint8 is RGB, H x W integers 0..65535 are ids (or gray colours, if the label
    map has no values). Returns the mask, H x W uint8.

    Args:
        unknown: what to do with pixels that the label map does not list: ``error``, ``ignore`` (255) or ``nearest``
            (the nearest listed colour within ``max_distance``, else an error).
        max_distance: largest difference of a channel, 0..255, for ``nearest``.

    Raises:
        ValueError: another kind of array, a wrong option, or pixels that the label map does not list.
    """
    options: dict[str, Any] = {"unknown": unknown, "max_distance": max_distance}
    mask, _, missing = _preproc.map_array(_samples(image), _table(labels), **options)
    if missing and unknown != "ignore":
        raise ValueError(_unknown_reason(missing, labels, options))
    return mask


def convert_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    labels: LabelMap,
    *,
    pattern: str = "**/*",
    unknown: str = "error",
    max_distance: int | None = None,
    read: str = "auto",
    max_pixels: int = 1 << 28,
    threads: int = 0,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Convert every label image under ``source`` to a mask of the same relative name (.png) under ``destination``.

    Hidden files are left out. Sources that have not changed since they were converted with the same label map and
    options are skipped; an interrupted run is resumed by the same call. Beside the masks stand ``labels.yaml``,
    ``counts.csv``, ``class_weights.json`` (see `seg.weights`), ``manifest.jsonl`` and ``manifest.json``.

    Args:
        pattern: glob over the relative path; ``**/`` stands for any folders.
        unknown, max_distance: see `convert_array`; a file that fails leaves no mask, not even an older one.
        read: ``auto`` reads palette PNG by colour if the label map has colours and gray images by value if it has
            values; ``color`` and ``index`` (the stored number) decide for all.
        max_pixels: larger images fail before they are decoded: a header may lie.
        threads: 0 = all cores that this process may use.
        overwrite: convert again what has not changed.
        shard: (i, n), 1 <= i <= n: only the i-th of n disjoint parts, with its own ``counts.i-of-n.csv`` and
            ``manifest.i-of-n.json``; a run without shard afterwards skips the masks and writes the totals.
        progress: called with (done, failed) about twice a second and at the end.

    Raises:
        ValueError: a wrong option or folder. A bad file is no exception: it is counted in ``Summary.failed``.
    """
    start = time.monotonic()
    options: dict[str, Any] = {"unknown": unknown, "max_distance": max_distance, "read": read}
    # A wrong option is refused before a folder is made.
    if not isinstance(max_pixels, int) or max_pixels < 1:
        raise ValueError(f"max_pixels must be 1..2**30, came {max_pixels!r}; give a whole number")
    _preproc.convert_files((), _table(labels), max_pixels=max_pixels, **options).close()
    workers, part = _threads(threads), _shard_name(shard)
    sources = list_sources(Path(source), Path(destination), pattern)
    target = make_folder(destination, "destination")
    _sweep(target)
    labels.save(target / "labels.yaml")
    tally = _Tally(labels, progress)
    key = f"{labels.digest} {unknown} {max_distance} {read}"
    with (
        Manifest(target / "manifest.jsonl", key) as manifest,
        whole(target / f"counts{part}.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as counts,
    ):
        rows = csv.writer(counts, lineterminator="\n")
        rows.writerow(("file", "class", "pixels"))
        jobs = _jobs(sources, target, None if overwrite else manifest, shard)
        for record, new in _records(jobs, labels, options, max_pixels, workers):
            if new:
                manifest.append(record)
            rows.writerows((record["file"], *row) for row in tally.add(record, new))
    summary = tally.summary(time.monotonic() - start)
    _write_weights(target / f"class_weights{part}.json", summary)
    about = {"version": seg.__version__, "labels": labels.digest, "options": options, **asdict(summary)}
    with whole(target / f"manifest{part}.json") as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return summary


# What the C++ helper gets and hands back: source and destination (None: nothing to convert), the source's name,
# and its record if that stands already.
_Job = tuple[Path | None, Path | None, str, Record | None]


def _jobs(
    sources: Iterator[Source], target: Path, manifest: Manifest | None, shard: tuple[int, int] | None
) -> Iterator[_Job]:
    for path, name, mask_name, reason in sources:
        # By the mask's name, not by position: a file added later moves no other file to another shard.
        if shard and zlib.crc32(os.fsencode(mask_name)) % shard[1] != shard[0] - 1:
            continue
        mask = target / mask_name
        if reason:
            if mask_name:
                _remove(mask)
            yield None, None, name, {"file": name, "status": "failed", "reason": reason}
        elif manifest and (record := manifest.unchanged(name, path, mask)):
            yield None, None, name, record
        else:
            yield path, mask, name, None


def _records(
    jobs: Iterator[_Job], labels: LabelMap, options: dict[str, Any], max_pixels: int, threads: int
) -> Iterator[tuple[Record, bool]]:
    """A record for each job, in order, and whether it is new. What is not PNG is decoded by OpenCV on other threads."""
    table = _table(labels)
    waiting: deque[Future[tuple[Record, bool]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        files = _preproc.convert_files(jobs, table, max_pixels=max_pixels, threads=threads, **options)
        with closing(files) as results:
            for result in results:
                if result.status == "unsupported":
                    waiting.append(pool.submit(_decoded, result, table, labels, options, max_pixels))
                else:
                    waiting.append(Future())
                    waiting[-1].set_result(_record(result, labels, options))
                while waiting and (waiting[0].done() or len(waiting) > 8 * threads):
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _record(result: _preproc.Result, labels: LabelMap, options: dict[str, Any]) -> tuple[Record, bool]:
    _, mask, _, record = result.job
    if record:
        return record, record["status"] == "failed"
    if result.status == "converted":
        return _converted(result, mask, result.counts), True
    return _failed(result, result.reason or _unknown_reason(result.unknown, labels, options)), True


def _stamp(result: _preproc.Result) -> Record:
    return {"file": result.job[2], "size": result.size, "mtime_ns": result.mtime_ns, "crc32": result.crc}


def _converted(result: _preproc.Result, mask: Path, counts: dict[int, int]) -> Record:
    made = mask.stat()
    written = {"mask_size": made.st_size, "mask_mtime_ns": made.st_mtime_ns}
    return {**_stamp(result), "status": "converted", **written, "counts": {str(k): n for k, n in counts.items()}}


def _failed(result: _preproc.Result, reason: str) -> Record:
    return {**_stamp(result), "status": "failed", "reason": reason}


def _decoded(
    result: _preproc.Result, table: _preproc.Table, labels: LabelMap, options: dict[str, Any], max_pixels: int
) -> tuple[Record, bool]:
    """The way of the files that are not PNG: OpenCV decodes, the same kernel maps."""
    path, mask_path = result.job[:2]
    try:
        by_number = options["read"] == "index" or not labels.colors
        pixels, lossy = open_other(path, max_pixels, by_number)
        mask, counts, missing = _preproc.map_array(_samples(pixels), table, **options)
        if missing and options["unknown"] != "ignore":
            raise ValueError(_unknown_reason(missing, labels, options))
        _preproc.write_mask(mask_path, mask)
        record = _converted(result, mask_path, counts)
    except (OSError, ValueError) as error:
        _remove(mask_path)
        return _failed(result, str(error)), True
    return {**record, "lossy": lossy} if lossy else record, True


def _remove(mask: Path) -> None:
    with suppress(OSError):
        mask.unlink()


def _sweep(target: Path) -> None:
    """Remove the temporary masks of processes of this machine that are no more; those of others may be in use."""
    name = re.compile(re.escape(_preproc.temporary_prefix) + r"(\d+)-\d+\.tmp")
    for folder, _, files in os.walk(target):
        for file in files:
            match = name.fullmatch(file)
            if match and not _alive(int(match[1])):
                Path(folder, file).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 asks only
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _write_weights(path: Path, summary: Summary) -> None:
    """Every rule of `seg.weights`; ``effective_number`` counts images, because pixels would all weigh the same."""
    pixels, images = list(summary.pixels.values()), list(summary.images.values())
    if not any(pixels):
        path.unlink(missing_ok=True)
        return
    made = {}
    for rule in RULES:
        counts = images if rule == "effective_number" else pixels
        within = list(summary.image_pixels.values()) if rule == "median_frequency" else None
        made[rule] = dict(zip(summary.pixels, class_weights(counts, rule, images=within), strict=True))
    about = {"pixels": summary.pixels, "images": summary.images, "image_pixels": summary.image_pixels}
    write_json(path, {**made, "beta": BETA, **about})


def _samples(image: "NDArray[Any]") -> "NDArray[Any]":
    """An array in one of the forms that the kernel takes."""
    import numpy as np

    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    if image.ndim == 2 and image.dtype.kind in "iu":
        if image.dtype in (np.uint8, np.uint16):
            return image.astype(image.dtype.newbyteorder("="), copy=False)
        if image.size == 0 or (image.min() >= 0 and image.max() <= 65535):
            return image.astype(np.uint16)
        raise ValueError(f"ids must be 0..65535, came {image.min()}..{image.max()}; renumber them first")
    raise ValueError(
        f"image must be H x W x 3 uint8 (RGB) or H x W integers (ids), came {image.dtype} of shape {image.shape}; "
        "drop alpha with image[..., :3], convert with astype"
    )


def _table(labels: LabelMap) -> _preproc.Table:
    return _preproc.Table(labels.colors, labels.values)


def _unknown_reason(missing: _Unknown | None, labels: LabelMap, options: dict[str, Any]) -> str:
    assert missing is not None
    pixels, distinct, first, x, y, reach = missing
    noun = "colour" if isinstance(first, tuple) else "value"
    found = (
        f"{noun} {first} is not in the label map: {_many(pixels, 'pixel')} of {_many(distinct, f'unlisted {noun}')}, "
        f"the first at x={x}, y={y}"
    )
    advice = "add it to the label map, or use unknown=ignore"
    if not isinstance(first, tuple):
        return f"{found}; {advice}"
    away, nearest = _nearest(first, labels)
    if len(nearest) > 1:
        return f"{found}; {' and '.join(nearest)} are equally near, {away} away; {advice}"
    if reach is not None:
        advice += f" or unknown=nearest max_distance={reach}"
    return f"{found}; nearest is {nearest[0]}, {away} away; {advice}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _nearest(color: Color, labels: LabelMap) -> tuple[int, list[str]]:
    """How far the nearest listed colours are, and one for each class among them."""

    def distance(listed: Color) -> tuple[int, int]:
        offsets = [abs(a - b) for a, b in zip(color, listed, strict=True)]
        return max(offsets), sum(offset * offset for offset in offsets)

    least = min(distance(listed) for listed, _ in labels.colors)
    nearest = {index: listed for listed, index in labels.colors if distance(listed) == least}
    names = {listed: label.name for label in labels.labels for listed in label.colors}
    return least[0], [f"{listed} '{names[listed]}'" for listed in nearest.values()]


class _Tally:
    """Totals over the records, and the caller's progress."""

    def __init__(self, labels: LabelMap, progress: Callable[[int, int], None] | None) -> None:
        self._labels = labels
        self._progress = progress
        self._told = time.monotonic()
        self._kinds: Counter[str] = Counter()
        self._pixels: Counter[int] = Counter()
        self._images: Counter[int] = Counter()
        self._image_pixels: Counter[int] = Counter()
        self._failures: list[tuple[str, str]] = []
        self._warnings: list[str] = []

    def add(self, record: Record, new: bool) -> list[tuple[str, int]]:
        """Returns the record's rows for counts.csv: class name and pixels."""
        failed = record["status"] == "failed"
        self._kinds["failed" if failed else "converted" if new else "skipped"] += 1
        if failed and len(self._failures) < _FIRST_FAILURES:
            self._failures.append((record["file"], record["reason"]))
        if record.get("lossy") and (warning := _LOSSY.format(record["lossy"])) not in self._warnings:
            self._warnings.append(warning)
        counts = {int(value): pixels for value, pixels in record.get("counts", {}).items()}
        self._pixels.update(counts)
        self._images.update(counts.keys())
        labelled = sum(counts.values()) - counts.get(IGNORE, 0)
        self._image_pixels.update(dict.fromkeys(counts, labelled))
        if time.monotonic() - self._told > 0.5:
            self._tell()
        return [(self._labels.name_of(value), pixels) for value, pixels in counts.items()]

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._progress:
            self._progress(self._kinds.total(), self._kinds["failed"])

    def _by_class(self, counts: Counter[int]) -> dict[str, int]:
        return {name: counts[index] for index, name in enumerate(self._labels.names)}

    def summary(self, seconds: float) -> Summary:
        self._tell()
        return Summary(
            converted=self._kinds["converted"],
            skipped=self._kinds["skipped"],
            failed=self._kinds["failed"],
            pixels=self._by_class(self._pixels),
            images=self._by_class(self._images),
            image_pixels=self._by_class(self._image_pixels),
            ignored=self._pixels[IGNORE],
            warnings=tuple(self._warnings),
            failures=tuple(self._failures),
            seconds=round(seconds, 3),
        )


def _threads(threads: int) -> int:
    if not isinstance(threads, int) or isinstance(threads, bool) or not 0 <= threads <= 1024:
        raise ValueError(f"threads must be 0..1024 (0 = all cores), came {threads!r}; give a whole number")
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shard_name(shard: tuple[int, int] | None) -> str:
    if shard is None:
        return ""
    if len(shard) != 2 or not all(isinstance(n, int) for n in shard) or not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard must be (i, n) with 1 <= i <= n, came {shard!r}; give 1/4 for the first of four")
    return f".{shard[0]}-of-{shard[1]}"
