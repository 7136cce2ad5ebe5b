"""A label map: an ordered set of labels, loaded from files of many forms, saved as YAML."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from seg.files import decoded, whole
from seg.files.notebook import listed, said, table
from seg.labels.documents import from_json, from_list, from_yaml
from seg.labels.label import IGNORE, Color, Label, with_ignored
from seg.labels.tables import from_table

PALETTES = Path(__file__).parent / "palettes"
"""The folder of the built-in label maps."""

_MOST_BYTES = 1 << 20


class LabelMap:
    """An ordered set of labels that gives each colour and each value one class index.

    Raises:
        ValueError: no class, more than 255 classes, a repeated name, or a colour or value listed twice.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self.labels = tuple(labels)
        _check_unique("name", [(label.name, label.name) for label in self.labels])
        _check_unique("colour", [(c, label.name) for label in self.labels for c in label.colors])
        _check_unique("value", [(v, label.name) for label in self.labels for v in label.values])
        self.names = tuple(label.name for label in self.labels if not label.ignore)
        self.classes = len(self.names)
        if not 1 <= self.classes <= IGNORE:
            raise ValueError(
                f"label map: expected 1 to {IGNORE} classes that are not ignored, got {self.classes}; correct the list"
            )

    def __repr__(self) -> str:
        ignored = len(self.labels) - self.classes
        more = f"{ignored} ignored" if ignored else ""
        many = "1 class" if self.classes == 1 else f"{self.classes} classes"
        return said("LabelMap", f"{many}: {listed(self.names, 80)}", more)

    def _repr_html_(self) -> str:
        """Return a table of index, colour, name and values, for notebooks."""
        palette = iter(self.palette)
        rows = [
            (
                "255, ignored" if label.ignore else str(index),
                (label.colors or ((0, 0, 0),))[0] if label.ignore else next(palette),
                label.name,
                ", ".join(f"({r}, {g}, {b})" for r, g, b in label.colors),
                ", ".join(map(str, label.values)),
            )
            for label, index in self._indexed
        ]
        return table("", ("index", "", "class", "colours", "values"), rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self.labels == other.labels

    def __hash__(self) -> int:
        return hash(self.labels)

    @cached_property
    def _indexed(self) -> tuple[tuple[Label, int], ...]:
        index = {name: i for i, name in enumerate(self.names)}
        return tuple((label, IGNORE if label.ignore else index[label.name]) for label in self.labels)

    @cached_property
    def colors(self) -> tuple[tuple[Color, int], ...]:
        """Every listed colour with its class index, or `IGNORE`."""
        return tuple((color, index) for label, index in self._indexed for color in label.colors)

    @cached_property
    def values(self) -> tuple[tuple[int, int], ...]:
        """Every listed value of single-channel label images with its class index, or `IGNORE`."""
        return tuple((value, index) for label, index in self._indexed for value in label.values)

    @cached_property
    def palette(self) -> tuple[Color, ...]:
        """One RGB colour a class for pictures, in index order: its first colour, else a generated one."""
        return tuple(
            label.colors[0] if label.colors else _generated_color(index)
            for label, index in self._indexed
            if not label.ignore
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal: equal maps have equal digests."""
        return hashlib.sha256(json.dumps(self.to_list(), sort_keys=True).encode()).hexdigest()

    def name_of(self, index: int) -> str:
        """Name of a class index; of `IGNORE`, the word ``ignore``."""
        return "ignore" if index == IGNORE else self.names[index]

    def ignoring(self, names: Sequence[str]) -> Self:
        """Return this map with the named classes ignored; names are compared without regard to case.

        Raises:
            ValueError: a name that the map does not have.
        """
        names = ["null" if name is None else str(name) for name in names]  # a command line gives 5 as a number
        known = {label.name.casefold() for label in self.labels}
        for name in names:
            if name.casefold() not in known:
                listed = ", ".join(label.name for label in self.labels)
                raise ValueError(f"ignore: expected a class of the map ({listed}), got '{name}'; choose one of them")
        wanted = {name.casefold() for name in names}
        return type(self)(
            replace(label, ignore=label.ignore or label.name.casefold() in wanted) for label in self.labels
        )

    def ignoring_values(self, values: Sequence[int]) -> Self:
        """Return this map with more values of single-channel sources that stand for ignored pixels, such as -1 or 255.

        Raises:
            ValueError: no whole number, or the value of a class.
        """
        return type(self)(with_ignored(self.labels, values))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain data: one dictionary a class, as under ``classes:`` of the YAML form."""
        rows = []
        for label in self.labels:
            row: dict[str, Any] = {"name": label.name}
            if label.colors:
                row["colors"] = [list(color) for color in label.colors]
            if label.values:
                row["values"] = list(label.values)
            if label.ignore:
                row["ignore"] = True
            rows.append(row)
        return rows

    @classmethod
    def from_list(cls, rows: Sequence[Any]) -> Self:
        """Undo `to_list`; take ``color: [r, g, b]`` and ``id: n`` (one value).

        Raises:
            ValueError: a malformed row, named by its number.
        """
        return cls(from_list(rows))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the YAML form, whole or not at all."""
        lines = [f"  - {json.dumps(row, ensure_ascii=False)}" for row in self.to_list()]  # JSON rows are YAML
        with whole(path) as temporary:
            temporary.write_text("\n".join(["classes:", *lines, ""]), encoding="utf-8")

    @classmethod
    def load(cls, path_or_name: str | os.PathLike[str], ignore: Sequence[str] = ()) -> Self:
        """Read a file, or one of the built-in maps by its name (see `builtin_names`).

        The forms are those of ``seg/labels/formats.md``: YAML, by the suffix .yaml or .yml, JSON, by its first
        character, and tables in text: with a header (``name,r,g,b``, ``name,color``, ``Pixel Value, Class``, ...),
        CVAT's ``labelmap.txt``, rows of colours, and rows of a number and a name.

        Args:
            path_or_name: the file; if there is none, the built-in map of that name, in any case.
            ignore: names of further classes to ignore.

        Raises:
            ValueError: no such file or name, one that cannot be read, or a malformed one; the message names
                file and row.
        """
        path, data = _read(path_or_name)
        try:
            return cls(_parsed(decoded(data), path.suffix.lower())).ignoring(ignore)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _parsed(text: str, suffix: str) -> Sequence[Label]:
    if suffix in {".yaml", ".yml"}:
        return from_yaml(text)
    return from_json(text) if text.lstrip().startswith(("{", "[")) else from_table(text)


def builtin_names() -> tuple[str, ...]:
    """Names of the built-in label maps: ``camvid``, ``cityscapes``, ``voc``, ..."""
    return tuple(sorted(path.stem for path in PALETTES.glob("*.yaml")))


def _builtin(name: str | os.PathLike[str]) -> Path:
    """Return the file of a built-in map."""
    if (wanted := os.fspath(name).lower()) in builtin_names():
        return PALETTES / f"{wanted}.yaml"
    kind = "a folder" if Path(name).is_dir() else "no regular file"
    found = f", which is {kind}" if Path(name).exists() else ""
    raise ValueError(
        f"labels: expected a file or a built-in name, got '{name}'{found}; give a CSV with a header name,r,g,b, a YAML "
        f"with classes:, or one of {', '.join(builtin_names())}"
    )


def _check_unique(what: str, pairs: Iterable[tuple[object, str]]) -> None:
    seen: dict[object, str] = {}
    for key, name in pairs:
        if key in seen:
            raise ValueError(
                f"expected each {what} once, got {key!r} in class '{seen[key]}' and in class '{name}'; remove one"
            )
        seen[key] = name


def _generated_color(index: int) -> Color:
    """Colours that differ for neighbouring indices: the bit-spreading scheme of the Pascal VOC devkit."""
    r = g = b = 0
    number = index + 1
    for shift in range(7, -1, -1):
        r |= (number & 1) << shift
        g |= (number >> 1 & 1) << shift
        b |= (number >> 2 & 1) << shift
        number >>= 3
    return r, g, b


def _read(name: str | os.PathLike[str]) -> tuple[Path, bytes]:
    """Return the path of a file, or of the built-in map of that name, and its content."""
    path = Path(name)
    try:
        if not path.is_file():
            path = _builtin(name)
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"labels: expected a file that can be read, got '{path}' ({error.strerror}); give another, or mend its "
            "permissions"
        ) from None
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{path}: expected a label map of at most 1 MiB, got more; give the list of classes alone")
    return path, data
