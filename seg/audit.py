"""Is this dataset fit to train on?

    from seg.audit import Split, audit
    result = audit([Split("train", "train/images", "train/masks"), Split("val", ...)], LabelMap.load("labels.yaml"))
    for finding in result.findings: print(finding.severity, finding.text)

Every file is decoded once, in threads. Images are read as the training reads them, masks as the training
(8-bit grayscale PNG) or ``seg-preprocess`` (everything else) does.
"""

import hashlib
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import seg
from seg import _preproc
from seg.convert import convert_array
from seg.labels import IGNORE, LabelMap
from seg.sources import SUFFIXES

SEVERITIES = ("error", "warning", "note")

NEAR = 0.97
"""Least correlation of two 16 x 16 gray thumbnails that counts as the same picture; `near_duplicates` says why."""

_VOID = {"void", "unlabelled", "unlabeled", "unlabel", "unknown", "undefined", "unclassified", "ignore", "ignored"}
_FLAT = 2.0  # gray levels: below this standard deviation a thumbnail shows nothing that could be recognised
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Split:
    """Folders of one part of the data; file name templates hold one ``{}`` for the name that a pair shares."""

    name: str
    images: str | os.PathLike[str]
    masks: str | os.PathLike[str]
    image_template: str = "{}"
    template: str = "{}"


@dataclass(frozen=True)
class Example:
    """Files that show a finding (none for a finding about a class), and what about them."""

    files: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Args:
        check: its short name, such as ``size-mismatch``.
        severity: ``error`` (training fails or its scores would be wrong), ``warning`` or ``note``.
        split: the split or splits (``train, val``) that it is about.
        text: what was found, with counts.
        advice: what to do about it.
        examples: all cases, in the order of the files.
    """

    check: str
    severity: str
    split: str
    text: str
    advice: str
    examples: tuple[Example, ...]

    @property
    def count(self) -> int:
        """Number of cases."""
        return len(self.examples)


def text_of(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written: bytes that are no UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Look:
    """What one pair of files holds. Of a file that cannot be read only the reason is known."""

    name: str
    image: Path
    mask: Path
    image_error: str = ""
    mask_error: str = ""
    size: tuple[int, int] = (0, 0)  # of the image: height, width
    kind: str = ""  # such as "RGB, 8 bit"
    transparent: float = 0.0  # share of the image's pixels with alpha below its maximum
    mean: tuple[float, ...] = ()  # of each RGB channel, 0..1
    std: tuple[float, ...] = ()
    image_hash: bytes = b""
    pair_hash: bytes = b""
    thumbnail: NDArray[np.uint8] | None = None  # (16, 16) gray
    mask_size: tuple[int, int] = (0, 0)
    mask_kind: str = ""  # "mask" or "label image"
    lossy: bool = False
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # pixels of each class
    ignored: int = 0  # pixels that the map ignores
    unlisted: int = 0  # pixels that the map does not list
    unlisted_reason: str = ""

    @property
    def readable(self) -> bool:
        return not self.image_error and not self.mask_error


@dataclass(frozen=True)
class Totals:
    """One split in numbers: pixels and images of each class, and the normalisation of one's own data."""

    name: str
    images: str
    masks: str
    pairs: int
    sizes: dict[str, int]
    kinds: dict[str, int]
    mask_kinds: dict[str, int]
    pixels: list[int]
    images_with: list[int]
    ignored: int
    unlisted: int
    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class Audit:
    """All that `audit` found, worst first; `looks` has a list for each split."""

    labels: LabelMap
    splits: tuple[Split, ...]
    totals: tuple[Totals, ...]
    findings: tuple[Finding, ...]
    looks: tuple[tuple[Look, ...], ...]

    def count(self, severity: str) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``audit.json``."""
        return {
            "version": seg.__version__,
            "counts": {f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "classes": list(self.labels.names),
            "labels": self.labels.digest,
            "splits": [asdict(totals) for totals in self.totals],
            "findings": [{**asdict(finding), "count": finding.count} for finding in self.findings],
        }


def audit(
    splits: Sequence[Split],
    labels: LabelMap,
    *,
    read: str = "auto",
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Look at every file of every split and say what stands in the way of training on them.

    Args:
        splits: the first is the one to train on.
        read: what 8-bit grayscale PNG hold: ``mask`` (class indices, 255 = ignore), ``label`` (values or gray colours
            of the label map, as ``seg-preprocess`` reads them), ``auto`` (``label`` if the map lists values that are
            not the indices and no ``labels.yaml`` stands beside the files).
        threads: 0 = all cores that this process may use.
        progress: called with (done, total) after each pair.

    Raises:
        ValueError: no split, two of one name, a missing or empty folder, a wrong template or option.
    """
    names = [split.name for split in splits]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"splits: expected one or more of different names, got {names}; rename or add one")
    if read not in {"auto", "mask", "label"}:
        raise ValueError(f"read: expected auto, mask or label, got '{read}'; choose one of them")
    if not isinstance(threads, int) or threads < 0:
        raise ValueError(f"threads: expected 0 (all cores) or more, got {threads!r}; give a whole number")
    findings: list[Finding] = []
    jobs: list[tuple[int, Look, bool]] = []
    for number, split in enumerate(splits):
        looks, found = _pair(split)
        findings += found
        by_index = read == "mask" or (read == "auto" and _holds_indices(split, labels))
        jobs += [(number, look, by_index) for look in looks]
    done = _measure_all(jobs, len(splits), labels, threads, progress)
    totals = tuple(_totals(split, looks, labels) for split, looks in zip(splits, done, strict=True))
    trusted = [not _is_binary(looks) for looks in done]
    for name, looks, sound in zip(names, done, trusted, strict=True):
        findings += _check_files(name, looks)
        findings += _check_images(name, looks)
        findings += _check_masks(name, looks, labels) if sound else _binary(name, looks, labels)
    if all(trusted):
        findings += _check_classes(totals, labels)
    findings += _check_duplicates(dict(zip(names, done, strict=True)))
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Audit(labels, tuple(splits), totals, tuple(findings), tuple(map(tuple, done)))


# Pairing, by the rules of seg.dataset, but telling what does not pair up instead of refusing it.


def _pair(split: Split) -> tuple[list[Look], list[Finding]]:
    masks = _list_files(Path(split.masks), split.template)
    images = _list_files(Path(split.images), split.image_template)
    if split.template != split.image_template:  # one folder for both: a mask is no image
        taken = {path for paths in masks.values() for path in paths}
        images = {name: paths for name, paths in images.items() if not taken & set(paths)}
    findings: list[Finding] = []
    for kind, files, other, others in (("image", images, "mask", masks), ("mask", masks, "image", images)):
        alone = [Example(_strings(paths)) for name, paths in files.items() if name not in others]
        findings += _found(
            f"{kind}-without-{other}",
            "error",
            split.name,
            alone,
            f"{kind}s without {other}: {len(alone)} of {len(files)}",
            f"add the missing files, move these away, or correct the templates (masks are looked for as "
            f"'{split.template}', images as '{split.image_template}')",
        )
        twice = [Example(_strings(paths)) for paths in files.values() if len(paths) > 1]
        findings += _found(
            f"{kind}-name-twice",
            "error",
            split.name,
            twice,
            f"names that belong to several {kind}s: {len(twice)}",
            "keep one file of each name; only the first was looked at here",
        )
    both = [Look(name, images[name][0], masks[name][0]) for name in sorted(images.keys() & masks.keys())]
    return both, findings


def _list_files(folder: Path, template: str) -> dict[str, list[Path]]:
    """Name -> files of that name below the folder."""
    if template.count("{}") != 1:
        raise ValueError(f"template: expected one {{}} for the name, such as '{{}}_L.png', got '{template}'")
    if not folder.is_dir():
        raise ValueError(f"no folder '{folder}'; give an existing one")
    before, _, after = template.partition("{}")
    found = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        file = path.name if Path(after).suffix.lower() in SUFFIXES else path.stem
        if file.startswith(before) and file.endswith(after) and len(file) > len(before) + len(after):
            stem = file[len(before) : len(file) - len(after)]
            found[(path.parent.relative_to(folder) / stem).as_posix()].append(path)
    if not found:
        raise ValueError(f"no file like '{template}' ({' '.join(sorted(SUFFIXES))}) in '{folder}'; check the folder")
    return dict(found)


def _holds_indices(split: Split, labels: LabelMap) -> bool:
    """Whether gray files are masks already: nothing says otherwise, or indices and values are the same numbers."""
    return all(value == index for value, index in labels.values) or (Path(split.masks) / "labels.yaml").is_file()


# Reading and measuring, one pair at a time.


def _measure_all(
    jobs: Sequence[tuple[int, Look, bool]],
    splits: int,
    labels: LabelMap,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> list[list[Look]]:
    """The looks of each split; a job is the split's number, the look to fill in, and whether gray files are masks."""
    table = _preproc.Table(labels.colors, labels.values)
    done: list[list[Look]] = [[] for _ in range(splits)]
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(threads or available)
    try:
        results = pool.map(lambda job: _measure(job[1], labels, table, job[2]), jobs)
        for count, ((number, _, _), look) in enumerate(zip(jobs, results, strict=True), start=1):
            done[number].append(look)
            if progress:
                progress(count, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the files that nobody will look at
    return done


def open_image(path: Path) -> tuple[NDArray[np.uint8], str, float]:
    """RGB (H, W, 3) as the training reads it, its kind (such as ``RGB, 8 bit``), and the share of its pixels that
    are not opaque.

    Raises:
        ValueError: not an image, cut short, or not of 8 or 16 bits.
    """
    data = _bytes_of(path)
    alpha = data[:8] == _PNG and data[25:26] in {b"\x04", b"\x06"}
    flags = cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # the latter applies EXIF
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("not an image that can be decoded: broken, or of a format that OpenCV does not know")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected 8 or 16 bits a channel, came {image.dtype}; convert it to 8 bits")
    channels = 1 if image.ndim == 2 else image.shape[2]
    kind = f"{ {1: 'gray', 3: 'RGB', 4: 'RGBA'}[channels] }, {8 * image.dtype.itemsize} bit"
    transparent = float((image[..., 3] < 256**image.dtype.itemsize - 1).mean()) if channels == 4 else 0.0
    if image.dtype == np.uint16:
        image = (image.astype(np.uint32) + 128) // 257
    rgb = np.repeat(image[..., None], 3, 2) if channels == 1 else image[..., 2::-1]
    return np.ascontiguousarray(rgb, np.uint8), kind, transparent


def open_label(path: Path, labels: LabelMap) -> tuple[NDArray[Any], bool, bool]:
    """Samples of a mask or label image (ids (H, W) or RGB (H, W, 3)), whether it is an 8-bit grayscale PNG, and
    whether it was stored with loss.

    Raises:
        ValueError: not an image, or cut short.
    """
    data = _bytes_of(path)
    if data[:8] == _PNG:
        samples, palette = _preproc.decode(data)
        depth, gray = data[24], data[25] in {0, 4}
        if palette is not None and labels.colors:
            if samples.max() >= len(palette):
                raise ValueError(
                    f"corrupt PNG: palette index {samples.max()}, but the palette has {len(palette)} colours"
                )
            samples = np.array(palette, np.uint8)[samples]
        elif gray and depth < 8 and not labels.values:  # a gray colour: what a viewer shows
            samples = (samples.astype(np.uint16) * 255 // (2**depth - 1)).astype(np.uint8)
        return _narrow(samples), data[24:26] == b"\x08\x00", False
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("not an image that can be decoded: broken, or of a format that OpenCV does not know")
    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., 2::-1] if image.shape[2] >= 3 else image[..., 0])
    return _narrow(image), False, data[:2] == b"\xff\xd8" or (data[:4] == b"RIFF" and data[12:16] == b"VP8 ")


def _narrow(samples: NDArray[Any]) -> NDArray[Any]:
    """Ids wider than 8 bits as native uint16, the form that the C++ helper takes."""
    if samples.ndim != 2 or samples.dtype == np.uint8 or samples.dtype.kind not in "iu":
        return samples
    if samples.min() < 0 or samples.max() > 65535:
        raise ValueError(f"ids must be 0..65535, came {samples.min()}..{samples.max()}; renumber them first")
    return samples.astype(np.uint16)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not data:
        raise ValueError("the file is empty")
    # Decoders fill the rest of a cut file with gray or black and say nothing; what ends it may be followed by more.
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[len(data) // 2 :]:
        raise ValueError("the file is cut short: a JPEG without its end mark")
    if data[:8] == _PNG:
        _check_png(data)
    return data


def _check_png(data: bytes) -> None:
    """Length and checksum of every chunk that a decoder needs."""
    at = 8
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4])
        if (
            end + 4 <= len(data)
            and kind[:1].isupper()
            and zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4])
        ):
            raise ValueError(f"corrupt PNG: the checksum of chunk {kind.decode('ascii', 'replace')} is wrong")
        if kind == b"IEND":
            return
        at = end + 4
    raise ValueError("the file is cut short: a PNG without its end chunk")


def _measure(look: Look, labels: LabelMap, table: _preproc.Table, by_index: bool) -> Look:
    """Decode both files and fill in what they hold."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        image, look.kind, look.transparent = open_image(look.image)
        look.size = image.shape[0], image.shape[1]
        digest.update(repr(look.size).encode() + image.tobytes())
        look.image_hash = digest.digest()
        mean, std = cv2.meanStdDev(image)
        look.mean, look.std = tuple(mean.ravel() / 255), tuple(std.ravel() / 255)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        look.thumbnail = cv2.resize(gray, (16, 16), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    except (ValueError, cv2.error) as error:
        look.image_error = _reason(error)
    try:
        mask = _measure_mask(look, labels, table, by_index)
        digest.update(repr(mask.shape).encode() + mask.tobytes())
        look.pair_hash = digest.digest()
    except (ValueError, cv2.error) as error:
        look.mask_error = _reason(error)
    return look


def _measure_mask(look: Look, labels: LabelMap, table: _preproc.Table, by_index: bool) -> NDArray[np.uint8]:
    samples, plain, look.lossy = open_label(look.mask, labels)
    look.mask_kind = "mask" if plain and by_index else "label image"
    mask, look.unlisted, look.unlisted_reason = to_mask(samples, labels, table, plain and by_index)
    look.mask_size = mask.shape[0], mask.shape[1]
    counts = np.bincount(mask.ravel(), minlength=256)
    look.counts = counts[: labels.classes].astype(np.int64)
    look.ignored = int(counts[IGNORE]) - look.unlisted
    return mask


def to_mask(
    samples: NDArray[Any], labels: LabelMap, table: _preproc.Table, is_mask: bool
) -> tuple[NDArray[np.uint8], int, str]:
    """Class indices (H, W) uint8 with 255 for what is ignored or not listed, the number of pixels that are not
    listed, and a sentence about them.

    Raises:
        ValueError: samples of a form that is no label image.
    """
    if is_mask:
        outside = (samples >= labels.classes) & (samples != IGNORE)
        if not outside.any():
            return samples, 0, ""
        values = np.unique(samples[outside])
        reason = f"value {', '.join(map(str, values[:8]))} in {int(outside.sum()):,} pixels; the map has 0.."
        reason += f"{labels.classes - 1} and 255"
        if gray := [f"({v}, {v}, {v})" for v in values.tolist() if (v, v, v) in dict(labels.colors)]:
            reason += f", and the colour {gray[0]}: as a label image, seg-preprocess can convert it"
        return np.where(outside, np.uint8(IGNORE), samples), int(outside.sum()), reason
    mask, _, missing = _preproc.map_array(samples, table)
    if not missing:
        return mask, 0, ""
    try:
        convert_array(samples, labels)
    except ValueError as error:
        return mask, missing[0], str(error)
    raise AssertionError("convert_array maps what the table does not list")


# What the looks at one split add up to.


def _totals(split: Split, looks: Sequence[Look], labels: LabelMap) -> Totals:
    images = [look for look in looks if not look.image_error]
    masks = [look for look in looks if not look.mask_error]
    counts = np.array([look.counts for look in masks], np.int64).reshape(len(masks), labels.classes)
    weights = np.array([look.size[0] * look.size[1] for look in images], np.float64)
    mean = std = np.full(3, np.nan)
    if images:
        means, stds = np.array([look.mean for look in images]), np.array([look.std for look in images])
        mean = np.average(means, 0, weights)
        std = np.sqrt(np.maximum(np.average(means**2 + stds**2, 0, weights) - mean**2, 0))
    return Totals(
        name=split.name,
        images=text_of(split.images),
        masks=text_of(split.masks),
        pairs=len(looks),
        sizes=_tally(_size(look.size) for look in images),
        kinds=_tally(look.kind for look in images),
        mask_kinds=_tally(look.mask_kind for look in masks),
        pixels=counts.sum(0).tolist(),
        images_with=(counts > 0).sum(0).tolist(),
        ignored=sum(look.ignored for look in masks),
        unlisted=sum(look.unlisted for look in masks),
        mean=mean.tolist(),
        std=std.tolist(),
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


# The checks. Each yields its findings; what is right yields nothing.


def _found(
    check: str, severity: str, split: str, examples: Sequence[Example], text: str, advice: str
) -> Iterator[Finding]:
    if examples:
        yield Finding(check, severity, split, text, advice, tuple(examples))


def _check_files(split: str, looks: Sequence[Look]) -> Iterator[Finding]:
    images = [Example((text_of(look.image),), look.image_error) for look in looks if look.image_error]
    masks = [Example((text_of(look.mask),), look.mask_error) for look in looks if look.mask_error]
    for kind, bad in (("image", images), ("mask", masks)):
        text = f"{kind}s that cannot be read: {len(bad)} of {len(looks)}"
        yield from _found(f"unreadable-{kind}", "error", split, bad, text, "replace these files, or remove their pairs")
    sizes = [
        Example((text_of(look.image), text_of(look.mask)), f"image {_size(look.size)}, mask {_size(look.mask_size)}")
        for look in looks
        if look.readable and look.size != look.mask_size
    ]
    text = f"masks of another size than their image: {len(sizes)} of {len(looks)}"
    advice = "export them again at one size; where width and height are swapped, one file lacks its EXIF rotation"
    yield from _found("size-mismatch", "error", split, sizes, text, advice)


def _check_images(split: str, looks: Sequence[Look]) -> Iterator[Finding]:
    images = [look for look in looks if not look.image_error]
    sizes, kinds = [_size(look.size) for look in images], [look.kind for look in images]
    advice = "train on crops, or resize them"
    yield from _check_mixed("mixed-sizes", "sizes of images", split, images, sizes, advice)
    advice = "all become RGB of 8 bits; make sure that this is meant"
    yield from _check_mixed("mixed-kinds", "kinds of images", split, images, kinds, advice)
    opaque = [
        Example((text_of(look.image),)) for look in images if look.kind.startswith("RGBA") and not look.transparent
    ]
    text = f"images with an alpha channel that is opaque everywhere: {len(opaque)} of {len(looks)}"
    yield from _found("alpha", "note", split, opaque, text, "nothing to do: alpha is dropped when they are read")
    clear = [Example((text_of(k.image),), f"{_percent(k.transparent)} of the pixels") for k in images if k.transparent]
    text = f"images with transparent pixels, whose hidden colours are trained on: {len(clear)} of {len(looks)}"
    yield from _found("transparent", "warning", split, clear, text, "let the masks ignore these pixels, or fill them")
    blank = [Example((text_of(look.image),)) for look in images if max(look.std) == 0]
    text, advice = f"images of one colour everywhere: {len(blank)} of {len(looks)}", "remove them unless they are meant"
    yield from _found("blank-image", "warning", split, blank, text, advice)


def _check_mixed(
    check: str, what: str, split: str, images: Sequence[Look], kinds: Sequence[str], advice: str
) -> Iterator[Finding]:
    tally = _tally(kinds)
    if len(tally) > 1:
        text = f"{what}: {_listed([f'{kind} ({n})' for kind, n in tally.items()])}"
        examples = (Example((text_of(images[kinds.index(kind)].image),), f"{kind}: {n}") for kind, n in tally.items())
        yield Finding(check, "note", split, text, advice, tuple(examples))


def _check_masks(split: str, looks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    masks = [look for look in looks if not look.mask_error]
    off = [Example((text_of(look.mask),), look.unlisted_reason) for look in masks if look.unlisted]
    share = sum(look.unlisted for look in masks) / max(sum(_pixels(look) for look in masks), 1)
    text = f"masks with values or colours outside the map: {len(off)} of {len(looks)} ({_percent(share)} of all pixels)"
    advice = "add them to the label map, or convert with seg-preprocess unknown=nearest or unknown=ignore"
    yield from _found("unlisted", "error", split, off, text, advice)
    lossy = [Example((text_of(look.mask),)) for look in masks if look.lossy]
    text = f"masks that were stored with loss (JPEG or WebP): {len(lossy)} of {len(looks)}"
    advice = "ask for the PNG originals: the values at class borders are not the ones that were painted"
    yield from _found("lossy-mask", "warning", split, lossy, text, advice)
    raw = [Example((text_of(look.mask),)) for look in masks if look.mask_kind != "mask"]
    text = f"label images where the training needs 8-bit masks: {len(raw)} of {len(looks)}"
    yield from _found("label-image", "note", split, raw, text, "convert them with seg-preprocess before training")
    yield from _check_single(split, masks, labels)
    yield from _check_ignored(split, masks)


def _check_single(split: str, masks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    single = [(look, int(look.counts.argmax())) for look in masks if (look.counts > 0).sum() == 1 and not look.unlisted]
    examples = [Example((text_of(look.mask),), f"only {labels.name_of(index)}") for look, index in single]
    classes = _tally(labels.name_of(index) for _, index in single)
    listed = _listed([f"{name} {n}" for name, n in classes.items()])
    text = f"masks of one class everywhere: {len(single)} of {len(masks)} ({listed})"
    severity = "warning" if 2 * len(single) > len(masks) else "note"
    advice = "make sure that these are not images that nobody labelled"
    yield from _found("single-class", severity, split, examples if labels.classes > 1 else [], text, advice)


def _check_ignored(split: str, masks: Sequence[Look]) -> Iterator[Finding]:
    everywhere = [Example((text_of(look.mask),)) for look in masks if look.ignored == _pixels(look)]
    text = f"masks that are ignored everywhere: {len(everywhere)} of {len(masks)}"
    severity, advice = "warning", "nothing is learned from them: remove these pairs"
    if len(everywhere) == len(masks):
        severity, advice = "error", "nothing can be learned: check the label map and how the masks were made"
    yield from _found("all-ignored", severity, split, everywhere, text, advice)
    share = sum(look.ignored for look in masks) / max(sum(_pixels(look) for look in masks), 1)
    if share >= 0.1 and severity != "error":
        most = sorted(masks, key=lambda look: -look.ignored / _pixels(look))[:8]
        shown = tuple(Example((text_of(look.mask),), _percent(look.ignored / _pixels(look))) for look in most)
        severity, text = "warning" if share >= 0.5 else "note", f"ignored share of the mask pixels: {_percent(share)}"
        yield Finding("ignored-share", severity, split, text, "make sure that this is meant", shown)


def _is_binary(looks: Sequence[Look]) -> bool:
    """Whether the masks hold nothing but 0 and 255, both, which the training reads as one class and ignored."""
    masks = [look for look in looks if not look.mask_error]
    return (
        all(look.mask_kind == "mask" and look.counts[1:].sum() + look.unlisted == 0 for look in masks)
        and any(look.ignored for look in masks)
        and any(look.counts[0] for look in masks)
    )


def _binary(split: str, looks: Sequence[Look], labels: LabelMap) -> Iterator[Finding]:
    holders = [look for look in looks if look.ignored]
    examples = [Example((text_of(look.mask),), f"255: {_percent(look.ignored / _pixels(look))}") for look in holders]
    text = (
        f"all {len(looks)} masks hold only 0 and 255: 255 is ignored, so the foreground is left out and everything "
        f"else is '{labels.names[0]}'"
    )
    advice = "if 255 is a class, convert with seg-preprocess and a label map that lists 255 or (255, 255, 255) for it"
    yield from _found("binary-255", "error", split, examples, text, advice)


def _check_classes(totals: Sequence[Totals], labels: LabelMap) -> Iterator[Finding]:
    names, first = labels.names, totals[0]
    seen = {split.name: {c for c, pixels in enumerate(split.pixels) if pixels} for split in totals}
    anywhere, everywhere = set().union(*seen.values()), ", ".join(seen)
    never = _named(name for c, name in enumerate(names) if anywhere and c not in anywhere)
    text = f"classes in no mask: {len(never)} of {len(names)} ({_listed([e.detail for e in never])})"
    advice = "check the label map, or drop them: their IoU is undefined"
    if any(split.unlisted for split in totals):
        advice = "mend the values and colours outside the map first: these may be among them"
    yield from _found("class-never-seen", "warning", everywhere, never, text, advice)
    void = _named(names[c] for c in sorted(anywhere) if names[c].strip().casefold() in _VOID)
    listed = ", ".join(example.detail for example in void)
    text = f"trained on as a class though its name says that it is none: {listed}"
    yield from _found("void-class", "warning", everywhere, void, text, f"use ignore=[{listed}]")
    for split in totals:
        absent = _named(names[c] for c in sorted(anywhere - seen[split.name]))
        text = f"classes absent from {split.name} though seen elsewhere: {_listed([e.detail for e in absent])}"
        severity, advice = "warning", "no score says anything about them here: split again so that each has every class"
        if split is first:
            severity, advice = "error", "a class that is not trained on is never predicted: split again, or drop it"
        yield from _found("class-absent", severity, split.name, absent, text, advice)
    yield from _check_balance(first, names)


def _check_balance(split: Totals, names: Sequence[str]) -> Iterator[Finding]:
    present = {name: pixels for name, pixels in zip(names, split.pixels, strict=True) if pixels}
    most, total = max(present, key=lambda name: present[name], default=""), sum(present.values())
    rare = {name: n for name, n in sorted(present.items(), key=lambda item: item[1]) if 10 * n < present[most]}
    if rare:
        ratio = present[most] / min(rare.values())
        text = (
            f"'{most}' has {ratio:,.0f} times the pixels of '{next(iter(rare))}'; classes with less than a tenth of "
            f"its pixels: {len(rare)} of {len(present)}"
        )
        severity = "warning" if ratio >= 100 else "note"
        advice = "look at the IoU of each class, not at the accuracy; compare a weighted or region loss"
        shares = _named(f"{name}: {_percent(n / total)} of the labelled pixels" for name, n in rare.items())
        yield Finding("imbalance", severity, split.name, text, advice, tuple(shares))
    few = _named(f"{name} ({n})" for name, n in zip(names, split.images_with, strict=True) if 0 < n < 3)
    text = f"classes in fewer than three images: {_listed([example.detail for example in few])}"
    yield from _found("rare-class", "warning", split.name, few, text, "label more images of them, or merge them")


def _check_duplicates(looks: dict[str, list[Look]]) -> Iterator[Finding]:
    groups: dict[bytes, list[tuple[str, Look]]] = defaultdict(list)
    for split, members in looks.items():
        for look in members:
            if not look.image_error:
                groups[look.image_hash].append((split, look))
    several = [group for group in groups.values() if len(group) > 1]
    for split in looks:
        inner = [[look for name, look in group if name == split] for group in several]
        equal = [group for group in inner if len(group) > 1 and len({look.pair_hash for look in group}) == 1]
        text = f"superfluous copies of a pair of image and mask: {sum(map(len, equal)) - len(equal)}"
        copies = [Example(tuple(text_of(look.image) for look in group)) for group in equal]
        yield from _found("duplicate", "warning", split, copies, text, "keep one of each: copies count twice")
    read = [[look for _, look in group if not look.mask_error] for group in several]
    torn = [group for group in read if len({look.pair_hash for look in group}) > 1]
    examples = [Example(tuple(text_of(f) for look in group for f in (look.image, look.mask))) for group in torn]
    text = f"images that occur several times with different masks: {len(torn)}"
    yield from _found("contradiction", "warning", ", ".join(looks), examples, text, "decide which mask is right")
    for first, second in combinations(looks, 2):
        yield from _check_leak(first, second, looks, several)
    if len(looks) == 1:
        [(split, members)] = looks.items()
        distinct = list({look.image_hash: look for look in members if not look.image_error}.values())
        near = _pairs_of(near_duplicates(distinct, distinct))
        text = f"images that are nearly equal to another one: {len(near)} of {len(members)}"
        advice = "split by video or scene: a random split (data.val_share) would put them on both sides"
        yield from _found("near-copy", "note", split, near, text, advice)


def _check_leak(
    first: str, second: str, looks: dict[str, list[Look]], several: list[list[tuple[str, Look]]]
) -> Iterator[Finding]:
    examples, known = [], set()
    for group in several:
        mine = [look for split, look in group if split == first]
        for look in (look for split, look in group if split == second and mine):
            same = any(other.pair_hash == look.pair_hash for other in mine)
            examples.append(
                Example((text_of(mine[0].image), text_of(look.image)), f"{'same' if same else 'another'} mask")
            )
            known.add(look.image)
    of = f"of {len(looks[second])}"
    text = f"images of {second} that are also in {first}, pixel for pixel: {len(examples)} {of}"
    advice = f"remove them from one of the two: scores on {second} would reward memory"
    yield from _found("leak", "error", f"{first}, {second}", examples, text, advice)
    rest = [look for look in looks[second] if look.image not in known]
    near = _pairs_of(near_duplicates(looks[first], rest))
    text = f"images of {second} that are nearly equal to one of {first}: {len(near)} {of}"
    advice = "look at them; keep frames of one video, and crops and copies of one picture, in one split"
    yield from _found("near-leak", "warning", f"{first}, {second}", near, text, advice)


def _pairs_of(found: Iterable[tuple[Look, Look, float]]) -> list[Example]:
    return [Example((text_of(a.image), text_of(b.image)), f"{_percent(likeness)} alike") for a, b, likeness in found]


def near_duplicates(
    first: Sequence[Look], second: Sequence[Look], threshold: float = NEAR
) -> Iterator[tuple[Look, Look, float]]:
    """Each look of ``second`` that resembles one of ``first`` (another one, if they are the same list): the nearest,
    it, and their likeness, up to 1.

    Likeness is the correlation of 16 x 16 gray thumbnails, blind to brightness, contrast, size and compression; one
    matrix product compares a chunk with everything (50 000 x 10 000 images: 0.3 TFLOP). The default threshold: frames
    of different drives of CamVid reach 0.93, different satellite tiles 0.71; frames 1/15 s apart have a median of
    0.997, 1/4 s 0.97, 1 s 0.88; copies of street scenes (JPEG of quality 30, half the size, brighter, other gamma, 2 %
    cropped) have at least 0.99, of satellite tiles mostly more than 0.97. Not seen: flipped and rotated copies, larger
    crops, and pictures with hardly any contrast, such as open water. A camera that never moves gives false alarms.
    """
    a, b = _unit_thumbnails(first), _unit_thumbnails(second)
    if not len(a[0]) or not len(b[0]):
        return
    for start in range(0, len(b[0]), 256):
        likeness = b[0][start : start + 256] @ a[0].T
        if first is second:
            likeness[np.arange(len(likeness)), start + np.arange(len(likeness))] = -1
        best = likeness.argmax(1)
        for row in np.flatnonzero(likeness.max(1) >= threshold):
            yield first[a[1][best[row]]], second[b[1][start + row]], float(likeness[row, best[row]])


def _unit_thumbnails(looks: Sequence[Look]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Thumbnails with mean 0 and length 1, (N, 256), and the positions of their looks."""
    shown = [i for i, look in enumerate(looks) if look.thumbnail is not None]
    pictures = np.array([looks[i].thumbnail for i in shown], np.float32).reshape(len(shown), 256)
    pictures -= pictures.mean(1, keepdims=True)
    deviation = pictures.std(1)
    clear = deviation >= _FLAT
    unit = pictures[clear] / (deviation[clear, None] * np.float32(16))
    return unit.astype(np.float32), np.array(shown, np.int64)[clear]


def _reason(error: Exception) -> str:
    return f"OpenCV: {error.err}" if isinstance(error, cv2.error) else str(error)


def _named(details: Iterable[str]) -> list[Example]:
    return [Example((), detail) for detail in details]


def _pixels(look: Look) -> int:
    return look.mask_size[0] * look.mask_size[1]


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _strings(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(map(text_of, paths))


def _listed(words: Sequence[str], most: int = 8) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share in (0, 1) else 2 if share < 0.1 else 1}f} %"
