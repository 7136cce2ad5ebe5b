"""The splits that an audit is given, what it measures of each file, and its findings."""

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from seg import __version__
from seg.data.pairs import Folders
from seg.images import RGB, Reading
from seg.images.oddities import ValueFacts
from seg.labels import LabelMap

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Split:
    """Folder of one part of the data, or several. Templates of file names hold one ``{}`` for the name that a pair
    shares; ``listed`` is a list file as `seg.data.pairs.pair` reads it, ``only`` lists the part's names (None: all).
    """

    name: str
    images: Folders
    masks: Folders
    image_template: str = "{}"
    template: str = "{}"
    only: Sequence[str] | None = None
    listed: Folders | None = None


@dataclass(frozen=True)
class Example:
    """Files that show a finding (none if it is about a class), and a detail about them."""

    files: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One result of a check.

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
    """Return a path as text that can be written: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Measurements:
    """Measurements of one pair of files; of a file that cannot be read, only the reason."""

    name: str
    image: Path
    mask: Path
    image_error: str = ""
    mask_error: str = ""
    size: tuple[int, int] = (0, 0)  # of the image: height, width
    facts: ValueFacts = ValueFacts("")  # noqa: RUF009 - a tuple
    transparent: float = 0.0  # share of the image's pixels with alpha below its maximum
    mean: tuple[float, ...] = ()  # of each channel, 0..1
    std: tuple[float, ...] = ()
    image_hash: bytes = b""
    pair_hash: bytes = b""
    thumbnail: NDArray[np.uint8] | None = None  # (16, 16) gray
    anchors: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((0, 2), np.uint32))  # see `seg.audit.anchors`
    mask_size: tuple[int, int] = (0, 0)
    mask_kind: str = ""  # "mask" or "label image"
    lossy: bool = False
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # pixels of each class
    ignored: int = 0  # pixels that the map ignores
    unlisted: int = 0  # pixels that the map does not list
    unlisted_reason: str = ""

    @property
    def kind(self) -> str:
        """Of the image, such as ``RGB, 8 bit``."""
        return self.facts.kind

    @property
    def readable(self) -> bool:
        return not self.image_error and not self.mask_error

    def plain(self) -> dict[str, Any]:
        """Return the measurements as plain data, without the names of the files."""
        assert self.thumbnail is not None
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in {"name", "image", "mask"}}
        return plain | {
            "image_hash": self.image_hash.hex(),
            "pair_hash": self.pair_hash.hex(),
            "thumbnail": self.thumbnail.tobytes().hex(),
            "anchors": b64encode(self.anchors.tobytes()).decode(),
            "counts": self.counts.tolist(),
        }

    def restored(self, plain: dict[str, Any]) -> Self:
        """Return the same pair with the measurements that `plain` returned."""
        for name in ("size", "mean", "std", "mask_size"):
            plain[name] = tuple(plain[name])
        plain["facts"] = ValueFacts(*plain["facts"])
        hashes = {name: bytes.fromhex(plain[name]) for name in ("image_hash", "pair_hash")}
        arrays = {
            "thumbnail": np.frombuffer(bytes.fromhex(plain["thumbnail"]), np.uint8).reshape(16, 16),
            "anchors": np.frombuffer(b64decode(plain["anchors"]), np.uint32).reshape(-1, 2),
            "counts": np.array(plain["counts"], np.int64),
        }
        return replace(self, **plain | hashes | arrays)


@dataclass(frozen=True)
class Totals:
    """Totals of one split: pixels and images of each class, sizes, kinds, mean and deviation for normalisation."""

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
    """The result of `audit`, worst findings first; `pairs` has one tuple per split; images were read by `reading`."""

    labels: LabelMap
    splits: tuple[Split, ...]
    totals: tuple[Totals, ...]
    findings: tuple[Finding, ...]
    pairs: tuple[tuple[Measurements, ...], ...]
    reading: Reading = RGB

    def count(self, severity: str) -> int:
        """Count the findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for ``audit.json``."""
        return {
            "version": __version__,
            "counts": {f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "classes": list(self.labels.names),
            "labels": self.labels.digest,
            "reading": self.reading.to_dict(),
            "splits": [asdict(totals) for totals in self.totals],
            "findings": [{**asdict(finding), "count": finding.count} for finding in self.findings],
        }


def as_findings(
    check: str, severity: str, split: str, examples: Sequence[Example], text: str, advice: str, total: int | None = None
) -> Iterator[Finding]:
    """Yield the finding that examples show, if there are any; with ``total`` the text says how many, of how many."""
    if examples:
        text = text if total is None else f"{text}: {len(examples)} of {total}"
        yield Finding(check, severity, split, text, advice, tuple(examples))


def example_of(*paths: Path, detail: str = "") -> Example:
    """Return an example of these files."""
    return Example(tuple(map(text_of, paths)), detail)


def reason_of(error: Exception) -> str:
    """Say why a file cannot be read."""
    if isinstance(error, cv2.error):
        return "expected an image that OpenCV can measure, got one that it refuses; save it as 8-bit PNG"
    return str(error)


def named_examples(details: Iterable[str]) -> list[Example]:
    """Return examples without files, such as classes."""
    return [Example((), detail) for detail in details]


def pixels_of(pair: Measurements) -> int:
    """Count the pixels of a mask."""
    return pair.mask_size[0] * pair.mask_size[1]


def size_text(size: tuple[int, int]) -> str:
    """Show (height, width) as ``width x height``."""
    return f"{size[1]} x {size[0]}"


def in_words(words: Sequence[str], most: int = 8) -> str:
    """List at most so many words, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def percent_text(share: float) -> str:
    """Show a share in percent, with more digits where it is small."""
    return f"{100 * share:.{0 if share in (0, 1) else 2 if share < 0.1 else 1}f} %"
