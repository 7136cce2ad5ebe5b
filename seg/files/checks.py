"""Checks of single options, whose texts stand here once: what was expected, what came, what to do."""

import math
from collections.abc import Iterable


def whole(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``.

    Raises:
        ValueError: the message begins with ``name``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}; give one")


def flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ValueError: the message begins with ``name``.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {value!r}; give one")


def choice(name: str, value: object, choices: Iterable[str | None]) -> None:
    """Refuse what is not one of ``choices``, of which None is shown as null.

    Raises:
        ValueError: the message begins with ``name`` and lists the choices.
    """
    known = list(choices)
    if not isinstance(value, str | None) or value not in known:
        *others, last = ("null" if each is None else each for each in known)
        shown = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}: expected {shown}, got {value!r}; choose one")


def share(name: str, value: object, of: str, *, least: bool = False, most: bool = True) -> None:
    """Refuse what is not a share, between 0 and 1.

    Args:
        of: what it is a share of, for the message.
        least, most: 0, or 1, is allowed too.

    Raises:
        ValueError: the message begins with ``name``.
    """
    number = is_number(value) and (0 < value < 1 or (least and value == 0) or (most and value == 1))  # type: ignore[operator]
    if not number:
        low, high = ("at least 0" if least else "above 0"), ("at most 1" if most else "below 1")
        raise ValueError(f"{name}: expected a share of {of}, {low} and {high}, got {value!r}; give such as 0.5")


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
