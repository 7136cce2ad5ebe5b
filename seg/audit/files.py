"""Pairing, decoding and measuring the files of an audit, each once, in threads."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.audit.anchors import anchors_of
from seg.audit.records import Finding, Measurements, Split, as_findings, example_of, reason_of
from seg.convert.reader import LabelReader
from seg.data.pairs import as_list, list_both
from seg.data.pairs.templates import proposal
from seg.files.memo import remembered
from seg.images import Image, Reading, as_rgb, check_limit, decode_mask, decode_values, limit
from seg.images.oddities import ValueFacts, value_facts
from seg.labels import IGNORE, LabelMap

_PNG = b"\x89PNG\r\n\x1a\n"


def pair_files(split: Split) -> tuple[list[Measurements], list[Finding]]:
    """Return the pairs of a split, not measured yet, and what is wrong with the names of its files."""
    templates = {"image_template": split.image_template, "template": split.template}
    images, masks = list_both(split.images, split.masks, **templates, only=split.listed)
    if split.only is not None:
        wanted = set(split.only)
        images = {name: paths for name, paths in images.items() if name in wanted}
        masks = {name: paths for name, paths in masks.items() if name in wanted}
    findings: list[Finding] = []
    for kind, files, other, others in (("image", images, "mask", masks), ("mask", masks, "image", images)):
        alone = [example_of(*paths) for name, paths in files.items() if name not in others]
        text, advice = f"{kind}s without {other}", "add the missing files, move these away, or correct the templates "
        advice += f"(masks are looked for as '{split.template}', images as '{split.image_template}')"
        if alone and (found := _proposed(split)):
            advice = f"give {found}, or {advice}"
        findings += as_findings(f"{kind}-without-{other}", "error", split.name, alone, text, advice, len(files))
        twice = [example_of(*paths) for paths in files.values() if len(paths) > 1]
        text = f"names shared by several {kind}s: {len(twice)}"
        advice = "keep one file of each name; only the first was checked"
        findings += as_findings(f"{kind}-name-twice", "error", split.name, twice, text, advice)
    both = [Measurements(name, images[name][0], masks[name][0]) for name in sorted(images.keys() & masks.keys())]
    return both, findings


def _proposed(split: Split) -> str:
    """Return the options under which the files of a split pair up, if they do in each of its folders."""
    folders = zip(as_list(split.images), as_list(split.masks), strict=True)
    found = {proposal(images, masks) for images, masks in folders}
    return found.pop() if len(found) == 1 else ""


def holds_indices(split: Split, labels: LabelMap) -> bool:
    """Tell whether gray files are masks already: ``labels.yaml`` is beside them, or values and indices are the same."""
    return all(value == index for value, index in labels.values) or all(
        (folder / "labels.yaml").is_file() for folder in as_list(split.masks)
    )


def measure(
    pairs: Sequence[Measurements],
    labels: LabelMap,
    *,
    by_index: bool,
    reading: Reading,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Measurements]:
    """Measure the pairs of one split, from memory where neither file has changed since an earlier audit.

    Args:
        by_index: 8-bit grayscale PNG hold class indices.
        reading: how images are read.
        progress: called with (done, total).
    """
    reader = LabelReader(labels, unknown="ignore", max_pixels=min(limit(), 1 << 30))
    return remembered(
        f"audit 4, {labels.digest}, {by_index}, {reading}, OpenCV {cv2.__version__}",
        [(pair.image, pair.mask) for pair in pairs],
        lambda index: _measure(pairs[index], reader, by_index, reading),
        keep=lambda pair: pair.plain() if pair.readable else None,
        restore=lambda index, kept: pairs[index].restored(kept),
        threads=threads,
        progress=progress,
    )


def open_image(path: Path, reading: Reading) -> tuple[Image, ValueFacts, float]:
    """Return the image (H, W, channels) as in training, facts about its values, and the share of pixels not opaque.

    Raises:
        ValueError: not an image, cut short, or not of 8 or 16 bits.
    """
    data = _bytes_of(path)
    check_limit(data)
    values = decode_values(data, reading, every=True)
    transparent = 0.0
    if values.alpha and values.pixels.dtype.kind == "u":
        transparent = float((values.pixels[..., -1] < np.iinfo(values.pixels.dtype).max).mean())
    return values.image(reading), value_facts(values, reading), transparent


class LabelContent(NamedTuple):
    """Class indices (H, W) uint8 with 255 for ignored and unlisted pixels; the number of unlisted pixels and a sentence
    about them; whether the file holds class indices; whether its format is lossy."""

    mask: NDArray[np.uint8]
    unlisted: int
    reason: str
    was_mask: bool
    lossy: bool


def open_label(path: Path, reader: LabelReader, by_index: bool) -> LabelContent:
    """Return the content of a mask or label image.

    Args:
        reader: one with ``unknown="ignore"``, so that unlisted pixels are counted and not refused.
        by_index: 8-bit grayscale PNG files hold class indices.

    Raises:
        ValueError: not an image, cut short, or of a form that cannot be a label image.
    """
    data = _bytes_of(path)
    if by_index and data[:8] == _PNG and data[24:26] == b"\x08\x00":
        return LabelContent(*_indices(decode_mask(data), reader.labels), was_mask=True, lossy=False)
    mapped = reader.file(path)[0]
    unlisted, reason = 0, ""
    if mapped.missing:
        unlisted, reason = mapped.missing[0], reader.reason(mapped.missing, mapped.counts, mapped.lossy)
    return LabelContent(mapped.mask, unlisted, reason, was_mask=False, lossy=bool(mapped.lossy))


def _indices(samples: NDArray[np.uint8], labels: LabelMap) -> tuple[NDArray[np.uint8], int, str]:
    """Return the mask, the number of pixels outside the label map, and a sentence about them."""
    outside = (samples >= labels.classes) & (samples != IGNORE)
    if not outside.any():
        return samples, 0, ""
    values = np.unique(samples[outside])
    reason = f"value {', '.join(map(str, values[:8]))} in {int(outside.sum()):,} pixels; the map has 0.."
    reason += f"{labels.classes - 1} and 255"
    if gray := [f"({v}, {v}, {v})" for v in values.tolist() if (v, v, v) in dict(labels.colors)]:
        reason += f", and the colour {gray[0]}: as a label image, seg-preprocess can convert it"
    return np.where(outside, np.uint8(IGNORE), samples), int(outside.sum()), reason


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"expected a file that can be read, got '{error.strerror}'; check its permissions") from None
    if not data:
        raise ValueError("expected an image, got an empty file; export it again")
    # Decoders fill the rest of a truncated file with gray or black without a warning; junk may follow the end mark.
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[len(data) // 2 :]:
        raise ValueError("expected a whole JPEG, got one without its end mark (cut short); copy it again")
    if data[:8] == _PNG:
        _check_png(data)
    return data


def _check_png(data: bytes) -> None:
    """Check length and CRC of every critical chunk."""
    at = 8
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4])
        if (
            end + 4 <= len(data)
            and kind[:1].isupper()
            and zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4])
        ):
            chunk = kind.decode("ascii", "replace")
            raise ValueError(f"corrupt PNG: expected the CRC that chunk {chunk} states, got another; export it again")
        if kind == b"IEND":
            return
        at = end + 4
    raise ValueError("expected a whole PNG, got one without its end chunk (cut short); copy it again")


def _measure(pair: Measurements, reader: LabelReader, by_index: bool, reading: Reading) -> Measurements:
    """Decode both files and measure the pair."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        image, pair.facts, pair.transparent = open_image(pair.image, reading)
        pair.size = image.shape[0], image.shape[1]
        digest.update(repr(pair.size).encode() + image.tobytes())
        pair.image_hash = digest.digest()
        mean, std = map(np.asarray, cv2.meanStdDev(image))
        pair.mean, pair.std = tuple(mean.ravel() / 255), tuple(std.ravel() / 255)
        pair.anchors = anchors_of(image)
        gray = cv2.cvtColor(as_rgb(image), cv2.COLOR_RGB2GRAY)
        pair.thumbnail = cv2.resize(gray, (16, 16), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    except (ValueError, cv2.error) as error:
        pair.image_error = reason_of(error)
    try:
        mask = _measure_mask(pair, reader, by_index)
        digest.update(repr(mask.shape).encode() + mask.tobytes())
        pair.pair_hash = digest.digest()
    except (OSError, ValueError, cv2.error) as error:
        pair.mask_error = reason_of(error)
    return pair


def _measure_mask(pair: Measurements, reader: LabelReader, by_index: bool) -> NDArray[np.uint8]:
    mask, pair.unlisted, pair.unlisted_reason, was_mask, pair.lossy = open_label(pair.mask, reader, by_index)
    pair.mask_kind = "mask" if was_mask else "label image"
    pair.mask_size = mask.shape[0], mask.shape[1]
    counts = np.bincount(mask.ravel(), minlength=256)
    pair.counts = counts[: reader.labels.classes].astype(np.int64)
    pair.ignored = int(counts[IGNORE]) - pair.unlisted
    return mask
