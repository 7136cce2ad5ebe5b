"""Checks of single options, whose texts stand here once: what was expected, what came, what to do.

Each raises ValueError with a message that begins with the name of the option; those of numbers return the number.
"""

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeGuard


def whole(name: str, value: object, least: int, most: int | None = None, *, remedy: str = "give one") -> int:
    """Return a whole number of at least ``least``, and at most ``most`` where that is given; refuse anything else."""
    if is_whole(value) and least <= value and (most is None or value <= most):
        return value
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{name}: expected a whole number {wanted}, got {value!r}; {remedy}")


def number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    what: str = "a number",
    remedy: str = "give one",
) -> float:
    """Return a finite number within the bounds, ``least <= value <= most`` and ``above < value < below``.

    Anything else is refused, with ``what`` was expected.
    """
    if is_number(value) and least <= value <= most and above < value < below:
        return value
    bounds = {"of at least": least, "above": above, "at most": most, "below": below}
    wanted = " and ".join(f"{words} {bound}" for words, bound in bounds.items() if math.isfinite(bound))
    if math.isfinite(least) and math.isfinite(most):
        wanted = f"from {least} to {most}"
    raise ValueError(f"{name}: expected {what}{' ' * bool(wanted)}{wanted}, got {_shown(value)}; {remedy}")


def share(name: str, value: object, of: str = "", *, least: bool = True, most: bool = True) -> float:
    """Return a share between 0 and 1; refuse anything else.

    Args:
        of: what it is a share of, for the message.
        least, most: 0, or 1, is allowed too.
    """
    return number(
        name,
        value,
        least=0 if least else -math.inf,
        above=-math.inf if least else 0,
        most=1 if most else math.inf,
        below=math.inf if most else 1,
        what=f"a share of {of}" if of else "a share",
        remedy="give such as 0.5",
    )


def idle(name: str, value: object, default: object, without: str) -> None:
    """Refuse an option that was given, but has no effect ``without`` another one."""
    if value != default:
        raise ValueError(f"{name}: expected it with {without} alone, got {value!r} without; give that, or leave it out")


def writable(name: str, folder: Path) -> None:
    """Refuse a folder that cannot be made, or that nobody may write to."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{name}: expected a folder that can be written to, got '{there}'; give another one")


def free(name: str, wanted: str, paths: Iterable[Path], *, overwrite: bool, ours: object = None) -> None:
    """Refuse to replace a file without ``overwrite``, unless it is ``ours``."""
    flag("overwrite", overwrite)
    if overwrite:
        return
    own = None if ours is None else Path(str(ours)).resolve()
    if there := [path for path in paths if path.exists() and path.resolve() != own]:
        raise ValueError(f"{name}: expected {wanted}, got '{there[0]}'; give another {name}, or overwrite=true")


def flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {value!r}; give one")


def choice(name: str, value: object, choices: Iterable[str | None]) -> None:
    """Refuse what is not one of ``choices``, of which None is shown as null."""
    known = list(choices)
    if not isinstance(value, str | None) or value not in known:
        *others, last = ("null" if each is None else each for each in known)
        shown = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}: expected {shown}, got {value!r}; choose one")


def text(name: str, value: object) -> None:
    """Refuse what is not a text with something in it."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: expected a text, got {value!r}; give one")


def file(name: str, value: object, what: str) -> None:
    """Refuse what is no path of an existing file; None is none that was given."""
    if value is not None and not (isinstance(value, str) and value and Path(value).is_file()):
        raise ValueError(f"{name}: expected {what}, got no file {_shown(value)}; check the path")


def pattern(name: str, value: str) -> None:
    """Refuse a text that is no regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(
            f"{name}: expected a regular expression, got {value!r} ({error}); escape what is plain"
        ) from None


def sides(name: str, value: object, *, multiple: int = 1, most: int = 1 << 16) -> tuple[int, int]:
    """Return height and width in pixels, at most ``most``, in multiples of ``multiple``; refuse anything else."""
    pair = value if is_list(value) and len(value) == 2 else [0]
    if not all(is_whole(side) and 0 < side <= most and side % multiple == 0 for side in pair):
        unit = f"pixels from 1 to {most}" if multiple == 1 else f"multiples of {multiple} pixels"
        example = -(-256 // multiple) * multiple
        raise ValueError(
            f"{name}: expected [HEIGHT,WIDTH] in {unit}, got {_shown(value)}; give such as [{example},{example}]"
        )
    return pair[0], pair[1]


def bounds(name: str, value: object, *, above: float = -math.inf, most: float = math.inf) -> tuple[float, float]:
    """Return two numbers in order, the first above ``above``, the second at most ``most``; refuse anything else."""
    pair = value if is_list(value) and len(value) == 2 and all(map(is_number, value)) else [1, 0]
    if not above < pair[0] <= pair[1] <= most:
        low = f"{above} < " if math.isfinite(above) else ""
        high = f" <= {most}" if math.isfinite(most) else ""
        raise ValueError(
            f"{name}: expected two numbers, {low}least <= greatest{high}, got {_shown(value)}; give such as [0.5,1]"
        )
    return pair[0], pair[1]


def size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of more than ``max_pixels``."""
    if width * height > max_pixels:
        raise ValueError(
            f"too large: expected at most {max_pixels} pixels (max_pixels), got {width} x {height}; raise max_pixels"
        )


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether a value is a list or another sequence, which a text is not."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _shown(value: object) -> str:
    """Show a value as it is typed: a tuple, which the command line cannot have, as a list."""
    return repr(list(value)) if is_list(value) else repr(value)
