"""Label maps: class names, the colours or values that stand for them in label images, and class indices.

The class index is the row order among the classes that are not ignored; ignored classes become `IGNORE` (255).
Those of well-known data sets are built in: the YAML files of ``seg/palettes/``, each with its source.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from seg.files import decoded, whole

IGNORE = 255
"""Mask value of pixels that losses and metrics leave out."""

Color = tuple[int, int, int]

PALETTES = Path(__file__).with_name("palettes")
"""The folder of the built-in label maps."""

_MOST_VALUE = (1 << 32) - 1  # of ignored pixels, in files of 32 bits
_MOST_BYTES = 1 << 20
_MOST_ENTRIES = 200_000  # 65,536 values and what is around them fit

_TRUE = {"1", "true", "yes", "y", "x"}
_FALSE = {"", "0", "false", "no", "n"}


@dataclass(frozen=True)
class Label:
    """One class: its name and everything that stands for it in a label image.

    Args:
        name: class name, unique within a label map.
        colors: RGB colours, each channel 0..255.
        values: values of single-channel label images, 0..65535; of an ignored class also others, such as -1.
        ignore: pixels of this class become `IGNORE`.
    """

    name: str
    colors: tuple[Color, ...] = ()
    values: tuple[int, ...] = ()
    ignore: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"expected a class name, got {self.name!r}; name the class")
        for color in self.colors:
            if len(color) != 3 or not all(_is_int(c, 255) for c in color):
                raise ValueError(
                    f"class '{self.name}': expected a colour of three integers 0..255, got {tuple(color)}; correct it"
                )
        for value in self.values:
            if not (_is_int(value, 65535) or (self.ignore and _is_any(value))):
                raise ValueError(f"class '{self.name}': expected a value of 0..65535, got {value!r}; correct it")
        if not self.colors and not self.values:
            raise ValueError(f"class '{self.name}': expected colours or values, got neither; give at least one")


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
        return f"LabelMap({', '.join(self.names)})"

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
        """This map with the named classes ignored; names are compared without regard to case.

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
        """This map with more values of single-channel sources that stand for ignored pixels, such as -1 or 255.

        Raises:
            ValueError: no whole number, or the value of a class.
        """
        listed = {value: label for label in self.labels for value in label.values}
        for value in values:
            if not _is_any(value):
                raise ValueError(f"ignore_values: expected whole numbers such as [-1, 255], got {value!r}; correct it")
            if value in listed and not listed[value].ignore:
                raise ValueError(
                    f"ignore_values: expected values that are no class, got {value}, which is '{listed[value].name}'; "
                    f"ignore that class by its name (ignore=[...])"
                )
        if not (more := tuple(value for value in dict.fromkeys(values) if value not in listed)):
            return self
        rows = [replace(row, values=row.values + more) if row.name == "ignore" else row for row in self.labels]
        known = any(row.name == "ignore" for row in rows)
        return type(self)(rows if known else [*rows, Label("ignore", values=more, ignore=True)])

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
        """The inverse of `to_list`; also takes ``color: [r, g, b]`` and ``id: n`` (one value).

        Raises:
            ValueError: a malformed row, named by its number.
        """
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise ValueError(f"classes: expected a list of classes, got {rows!r}; write one entry a class")
        labels = []
        for number, row in enumerate(rows, start=1):
            try:
                labels.append(_label_from_row(row))
            except (ValueError, TypeError) as error:
                raise ValueError(f"class {number}: {error}") from None
        return cls(labels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the YAML form, whole or not at all."""
        lines = [f"  - {json.dumps(row, ensure_ascii=False)}" for row in self.to_list()]  # JSON rows are YAML
        with whole(path) as temporary:
            temporary.write_text("\n".join(["classes:", *lines, ""]), encoding="utf-8")

    @classmethod
    def load(cls, path_or_name: str | os.PathLike[str], ignore: Sequence[str] = ()) -> Self:
        """Read a CSV or YAML file, or one of the built-in maps by its name (see `builtin_names`).

        CSV: a header with ``name,r,g,b`` in any case and order, comma or semicolon, extra columns allowed, an
        optional ``ignore`` column; rows of one name are one class. YAML: ``classes: [{name, color | colors |
        values | id, ignore}]`` and optional ``ignore_index`` and ``ignore_values``, the value or values that
        single-channel sources use for ignored pixels.

        Args:
            path_or_name: the file; if there is none, the built-in map of that name, in any case.
            ignore: names of further classes to ignore.

        Raises:
            ValueError: no such file or name, or a malformed file; the message names file and row.
        """
        path = Path(path_or_name)
        if not path.is_file():
            path = _builtin(path_or_name)
        try:
            text = decoded(_content(path))
            loaded = cls._from_yaml(text) if path.suffix.lower() in {".yaml", ".yml"} else cls._from_csv(text)
            return loaded.ignoring(ignore)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def _from_yaml(cls, text: str) -> Self:
        data = _yaml(text)
        if not isinstance(data, dict) or "classes" not in data:
            raise ValueError("expected a list of classes under 'classes:', got none; write one entry a class")
        unknown = set(data) - {"classes", "ignore_index", "ignore_values"}
        if unknown:
            raise ValueError(
                f"expected keys classes, ignore_index and ignore_values, got {sorted(map(str, unknown))}; rename or "
                "remove them"
            )
        loaded = cls.from_list(data["classes"])
        value, values = data.get("ignore_index"), data.get("ignore_values", [])
        if not isinstance(values, list):
            raise ValueError(f"ignore_values: expected a list such as [-1, 255], got {values!r}; write one")
        if value is not None and loaded.values and value not in dict(loaded.values):
            values = [value, *values]
        return loaded.ignoring_values(values)

    @classmethod
    def _from_csv(cls, text: str) -> Self:
        lines = text.splitlines()
        header_line = next((line for line in lines if line.strip()), "")
        delimiter = ";" if header_line.count(";") > header_line.count(",") else ","
        rows = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
        header: list[str] = []
        labels: dict[str, Label] = {}
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = _csv_header(cells)
                continue
            try:
                _merge(labels, _label_from_cells(dict(zip(header, cells, strict=False))))
            except ValueError as error:
                raise ValueError(f"line {rows.line_num}: {error}") from None
        return cls(labels.values())


def builtin_names() -> tuple[str, ...]:
    """Names of the built-in label maps: ``camvid``, ``cityscapes``, ``voc``, ..."""
    return tuple(sorted(path.stem for path in PALETTES.glob("*.yaml")))


def _builtin(name: str | os.PathLike[str]) -> Path:
    """The file of a built-in map."""
    if (wanted := os.fspath(name).lower()) in builtin_names():
        return PALETTES / f"{wanted}.yaml"
    raise ValueError(
        f"labels: expected a file or a built-in name, got '{name}'; give a CSV with a header name,r,g,b, a YAML with "
        f"classes:, or one of {', '.join(builtin_names())}"
    )


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError("expected a label map of at most 1 MiB, got more; give the list of classes alone")
    return data


def _yaml(text: str) -> Any:
    """Plain data of a YAML document whose aliases stand for few entries; whatever is a class name stays text."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _weigh(root, {})
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError(
            "expected a list of classes, got lists nested hundreds deep; write one entry a class"
        ) from None


def _weigh(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Entries of a node with all aliases written out; a few lines of nested ones can stand for billions."""
    if known.get(node) == 0:
        raise ValueError("expected a list of classes, got an alias within itself; write one entry a class")
    if node not in known:
        known[node] = 0  # under way
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "name" and isinstance(value, yaml.ScalarNode):
                    value.tag = "tag:yaml.org,2002:str"  # no, 010 and null are names here
            inner = [part for pair in node.value for part in pair]
        else:
            inner = node.value if isinstance(node, yaml.SequenceNode) else []
        known[node] = 1 + sum(_weigh(part, known) for part in inner)
        if known[node] > _MOST_ENTRIES:
            raise ValueError(
                f"expected at most {_MOST_ENTRIES:,} entries with aliases written out, got more; write one entry a "
                "class"
            )
    return known[node]


def _is_any(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST_VALUE


def _is_int(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


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


def _label_from_row(row: Any) -> Label:
    if not isinstance(row, dict):
        raise ValueError(f"expected {{name: ..., color: [r, g, b]}}, got {row!r}; write it so")
    unknown = set(row) - {"name", "color", "colors", "values", "id", "ignore"}
    if unknown:
        known = "name, color, colors, values, id and ignore"
        raise ValueError(f"expected the keys {known}, got {sorted(map(str, unknown))}; rename or remove them")
    if "name" not in row:
        raise ValueError(f"expected a name, got {row!r}; name the class")
    colors = [*([row["color"]] if "color" in row else []), *row.get("colors", [])]
    values = [*([row["id"]] if "id" in row else []), *row.get("values", [])]
    ignore = row.get("ignore", False)
    if not isinstance(ignore, bool):
        raise ValueError(f"ignore: expected true or false, got {ignore!r}; write one of them")
    return Label(str(row["name"]), tuple(tuple(color) for color in colors), tuple(values), ignore)


def _csv_header(cells: list[str]) -> list[str]:
    header = [cell.lower() for cell in cells]
    missing = [column for column in ("name", "r", "g", "b") if column not in header]
    if missing:
        raise ValueError(f"expected a header with name,r,g,b, got '{','.join(cells)}'; add {', '.join(missing)}")
    return header


def _label_from_cells(cells: dict[str, str]) -> Label:
    try:
        r, g, b = (int(cells.get(channel, "")) for channel in "rgb")
    except ValueError:
        got = ", ".join(cells.get(channel, "") for channel in "rgb")
        raise ValueError(
            f"class '{cells.get('name', '')}': expected integers 0..255 as r, g, b, got '{got}'; correct them"
        ) from None
    flag = cells.get("ignore", "").lower()
    if flag not in _TRUE | _FALSE:
        raise ValueError(f"ignore: expected one of {sorted(_TRUE | _FALSE)}, got '{flag}'; write 1 or 0")
    return Label(cells["name"], ((r, g, b),), ignore=flag in _TRUE)


def _merge(labels: dict[str, Label], label: Label) -> None:
    """Several CSV rows of one name are one class with several colours."""
    earlier = labels.get(label.name)
    if earlier is None:
        labels[label.name] = label
    elif earlier.ignore != label.ignore:
        raise ValueError(f"class '{label.name}': expected one value of ignore in its rows, got two; make them equal")
    else:
        labels[label.name] = replace(earlier, colors=earlier.colors + label.colors)
