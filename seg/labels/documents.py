"""Label maps as YAML, or as the plain data that YAML holds."""

from collections.abc import Sequence
from typing import Any

import yaml

from seg.files import checks
from seg.labels.label import Color, Label, color_of, with_ignored

_MOST_ENTRIES = 200_000  # 65,536 values and what is around them fit


def from_yaml(text: str) -> Sequence[Label]:
    """Return the labels of ``classes: [...]``, and that of ``ignore_index`` and ``ignore_values``.

    The latter stand for ignored pixels in single-channel sources.

    Raises:
        ValueError: not YAML, or another content; the message names the class by its number.
    """
    data = _yaml(text)
    if not isinstance(data, dict) or "classes" not in data:
        raise ValueError("expected a list of classes under 'classes:', got none; write one entry a class")
    unknown = set(data) - {"classes", "ignore_index", "ignore_values"}
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
    unknown = set(row) - {"name", "color", "colors", "values", "id", "ignore"}
    if unknown:
        known = "name, color, colors, values, id and ignore"
        raise ValueError(f"expected the keys {known}, got {sorted(map(str, unknown))}; rename or remove them")
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
