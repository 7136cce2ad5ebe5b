"""Label maps as YAML or JSON, or as the plain data that these hold."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

import yaml

from seg.files import checks
from seg.labels.label import Color, Label, color_of, with_ignored
from seg.labels.tables import Row, columns_of, joined

_MOST_ENTRIES = 200_000  # 65,536 values and what is around them fit
_TOP = {"classes", "ignore_index", "ignore_values"}
_KEYS = {"name", "color", "colors", "values", "id", "ignore"}
_LISTS = ("classes", "labels", "categories")  # what others call the list of classes


def from_yaml(text: str) -> Sequence[Label]:
    """Return the labels of ``classes: [...]``, and that of ``ignore_index`` and ``ignore_values``.

    The latter stand for ignored pixels in single-channel sources.

    Raises:
        ValueError: not YAML, or another content; the message names the class by its number.
    """
    return _from_data(_yaml(text))


def from_json(text: str) -> Sequence[Label]:
    """Return the labels of the structure that `from_yaml` reads, of objects with names, or of one with pairs.

    An object with names is a row of a table whose columns are its keys. Pairs are a colour or number and a name, or a
    name and its colour or number.

    Raises:
        ValueError: not JSON, or another content; the message names the class by its number.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected JSON, as text that begins with {text.lstrip()[:1]} is, got {error}; mend it"
        ) from None
    except RecursionError:
        raise ValueError(
            "expected a list of classes, got lists nested hundreds deep; write one entry a class"
        ) from None
    if not isinstance(data, dict):
        return joined(_objects(data))
    rows = next((data[key] for key in _LISTS if isinstance(data.get(key), list)), None)
    if rows is None:
        return joined(_pairs(data))
    return _from_data(data) if _is_ours(data) else joined(_objects(rows))


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the content of an object; a plain parser takes the last of equal keys and says nothing."""
    data = dict(pairs)
    if len(data) < len(pairs):
        again = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"expected each key once in an object, got {again!r} twice; rename or remove one")
    return data


def _is_ours(data: dict[str, Any]) -> bool:
    """Tell whether the list of classes has the keys of the YAML form alone."""
    rows = data.get("classes", [])
    return data.keys() <= _TOP and not any(isinstance(row, dict) and row.keys() - _KEYS for row in rows)


def _objects(rows: list[Any]) -> Iterator[Row]:
    """Yield objects with names as the rows of a table."""
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            f"expected a list of classes such as {{'name': 'road', 'color': [128, 64, 128]}}, got {str(rows)[:60]}; "
            "write it so"
        )
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = columns_of(names, ",".join(names))
    for number, row in enumerate(rows, start=1):
        yield columns.row(f"class {number}", {at: _cell(row[key]) for at, key in enumerate(names) if key in row})


def _cell(value: Any) -> str:
    """Return a value as a table has it; what no table has is left out."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None or isinstance(value, dict) else str(value)


def _pairs(data: dict[str, Any]) -> Iterator[Row]:
    """Yield a row for each pair of a colour or number and a name, in either order."""
    cells = {key: _cell(value) for key, value in data.items()}
    first, second = _kind(cells.keys()), _kind(cells.values())
    if {first, second} not in ({"name", "color"}, {"name", "value"}):
        raise ValueError(
            "expected a list of classes with name and color under 'classes', or pairs of colours or numbers and names "
            f"such as '#804080': 'road', got {str(data)[:80]}; write it so"
        )
    for number, pair in enumerate(cells.items(), start=1):
        yield Row(f"class {number}", dict(zip((first, second), pair, strict=True)), {})


def _kind(texts: Collection[str]) -> str:
    """Return what all of the texts are: numbers, colours or else names; nothing is read from an empty text."""
    if not texts or not all(texts):
        return ""
    if all(re.fullmatch(r"-?\d+", text) for text in texts):
        return "value"
    with suppress(ValueError):
        if not all(text.isalpha() for text in texts):  # facade is one
            return "color" if all(map(color_of, texts)) else ""
    return "name"


def _from_data(data: Any) -> Sequence[Label]:
    if not isinstance(data, dict) or "classes" not in data:
        raise ValueError("expected a list of classes under 'classes:', got none; write one entry a class")
    unknown = set(data) - _TOP
    if unknown:
        raise ValueError(
            f"expected keys classes, ignore_index and ignore_values, got {sorted(map(str, unknown))}; rename or "
            "remove them"
        )
    labels = from_list(data["classes"])
    value, values = data.get("ignore_index"), data.get("ignore_values", [])
    if not isinstance(values, list):
        raise ValueError(f"ignore_values: expected a list such as [-1, 255], got {values!r}; write one")
    listed = [value for label in labels for value in label.values]
    if value is not None and listed and value not in listed:
        values = [value, *values]
    return with_ignored(labels, values)


def from_list(rows: Sequence[Any]) -> list[Label]:
    """Return the labels of one dictionary a class: ``name``, ``color`` or ``colors``, ``id`` or ``values``, ``ignore``.

    Raises:
        ValueError: a malformed row, named by its number.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise ValueError(f"classes: expected a list of classes, got {rows!r}; write one entry a class")
    labels = []
    for number, row in enumerate(rows, start=1):
        try:
            labels.append(_label(row))
        except ValueError as error:
            raise ValueError(f"class {number}: {error}") from None
    return labels


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


def _label(row: Any) -> Label:
    if not isinstance(row, dict):
        raise ValueError(f"expected {{name: ..., color: [r, g, b]}}, got {row!r}; write it so")
    unknown = set(row) - _KEYS
    if unknown:
        known = "name, color, colors, values, id and ignore"
        raise ValueError(
            f"expected the keys {known}, got {sorted(map(str, unknown))}; rename or remove them (numbers that label "
            "images hold are called id, or values: [...])"
        )
    if "name" not in row:
        raise ValueError(f"expected a name, got {row!r}; name the class")
    colors = [*([row["color"]] if "color" in row else []), *_listed(row, "colors")]
    values = [*([row["id"]] if "id" in row else []), *_listed(row, "values")]
    ignore = row.get("ignore", False)
    checks.flag("ignore", ignore)
    return Label(str(row["name"]), tuple(_color(color) for color in colors), tuple(values), ignore)


def _listed(row: dict[str, Any], key: str) -> Sequence[Any]:
    found = row.get(key, [])
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise ValueError(f"{key}: expected a list, got {found!r}; write it in brackets")
    return found


def _color(value: Any) -> Color:
    if isinstance(value, str):
        return color_of(value)
    if isinstance(value, Sequence):
        return tuple(value)  # Label looks at the numbers
    raise ValueError(
        f"expected a colour such as [128, 64, 128] or '#804080', got {value!r}; put '#804080' in quotes, "
        "because # begins a comment"
    )
