"""Masks back to label images: the inverse of the conversion."""

from typing import TYPE_CHECKING

from seg.labels import IGNORE, Color, LabelMap

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_FOR_IGNORED: tuple[Color, ...] = ((0, 0, 0), (255, 255, 255), *((gray, gray, gray) for gray in range(1, 255)))


def recolor_array(mask: "NDArray[np.uint8]", labels: LabelMap) -> "NDArray[np.uint8 | np.uint16]":
    """Colour a mask, H x W uint8: H x W x 3 uint8 RGB, or, for a map without colours, H x W uint8 or uint16 values.

    Each class gets its first colour (or value). 255 gets the first colour of an ignored class, else black, white or
    the darkest gray that the map does not list.

    Raises:
        ValueError: another kind of array, an index without a class, or a class without a colour (or value).
    """
    import numpy as np

    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"mask: expected H x W uint8, got {mask.dtype} of shape {mask.shape}; give class indices")
    table = np.array(_table(labels))
    known = np.zeros(256, bool)
    known[: labels.classes] = known[IGNORE] = True
    if not known[mask].all():
        y, x = np.argwhere(~known[mask])[0]
        raise ValueError(
            f"mask: expected 0..{labels.classes - 1} or {IGNORE}, got {mask[y, x]} at x={x}, y={y}; give the label map "
            "that the mask was made with (labels.yaml beside it)"
        )
    full = np.zeros((256, *table.shape[1:]), np.uint16 if table.max() > 255 else np.uint8)
    full[: labels.classes], full[IGNORE] = table[:-1], table[-1]
    return full[mask]


def check_classes(labels: LabelMap, folder: "Path") -> None:
    """Refuse a label map with other classes than those that masks were made with; colours may differ.

    Args:
        folder: of masks, or below it: the next ``labels.yaml`` there, or with a manifest above, tells.

    Raises:
        ValueError: names or their order differ.
    """
    above = next((above for above in folder.absolute().parents if (above / "manifest.jsonl").is_file()), folder)
    beside = next((file for each in (folder, above) if (file := each / "labels.yaml").is_file()), None)
    if beside is None or (names := LabelMap.load(beside).names) == labels.names:
        return
    found = f"{len(labels.names)} classes for {len(names)}"
    for at, (ours, theirs) in enumerate(zip(labels.names, names, strict=False)):
        if ours != theirs:
            found = f"'{ours}' as class {at}, which is '{theirs}' there"
            break
    raise ValueError(
        f"labels: expected the classes that the masks were made with, in '{beside}', got {found}; give that file, or a "
        "label map with its names in its order"
    )


def of_ignored(labels: LabelMap) -> str:
    """Return what to say of the colour, or value, that 255 becomes, where it stands for several classes or for none."""
    kind, chosen = "colour" if labels.colors else "value", _table(labels)[-1]
    ignored = {
        listed: label.name
        for label in labels.labels
        if label.ignore
        for listed in (label.colors if labels.colors else label.values)
    }
    if chosen not in ignored:
        return f"255 became {chosen}, a {kind} that the label map does not list"
    if len(names := list(dict.fromkeys(ignored.values()))) == 1:
        return ""
    return f"255 stands for {', '.join(names)}, and became {chosen}, the {kind} of '{ignored[chosen]}'"


def _table(labels: LabelMap) -> list[Color] | list[int]:
    """Return one colour or value for each class, in index order, followed by the one for `IGNORE`."""
    wanted = [label for label in labels.labels if not label.ignore]
    ignored = [label for label in labels.labels if label.ignore]
    if labels.colors:
        if without := [label.name for label in wanted if not label.colors]:
            raise ValueError(f"label map: expected a colour for each class, got none for '{without[0]}'; add one")
        listed = dict(labels.colors)
        free = (color for color in _FOR_IGNORED if color not in listed)
        chosen = next((label.colors[0] for label in ignored if label.colors), None) or next(free)
        return [*(label.colors[0] for label in wanted), chosen]
    if without := [label.name for label in wanted if not label.values]:
        raise ValueError(f"label map: expected a colour or value for each class, got none for '{without[0]}'; add one")
    numbers = dict(labels.values)
    spare = next(value for value in (IGNORE, *range(65536)) if value not in numbers)
    stored = (value for label in ignored for value in label.values if 0 <= value <= 65535)  # a file may hold -1
    value = next(stored, spare)
    return [*(label.values[0] for label in wanted), value]
