"""What a constructor refuses, told in terms of the arguments that a user gave: key, value, reason, remedy."""

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from seg.files import checks

_OURS = re.compile(r"(\S+: )?expected ")
"""How our own refusals begin."""

_FLAGS = {"bool | None", "typing.Optional[bool]"}
"""Annotations of what is true, false or left to the library."""


def refusal(
    error: Exception, make: "partial[Any]", args: Sequence[Any], kwargs: Mapping[str, Any], *, group: str, name: str
) -> str:
    """Say which of the arguments a constructor refuses, in the words of its library, and what helps.

    Args:
        error: what it raised.
        make: the constructor, with the arguments that are the user's.
        args, kwargs: others that it was called with.
        group: where the user's arguments stand.
        name: of the constructor, for the message.
    """
    if _OURS.match(str(error)):
        return placed(str(error), make.keywords, group)
    reason = " ".join(str(error).split()) or type(error).__name__
    blamed, wanted = _blamed(reason, make, args, kwargs), f"expected what {name} takes, got"
    if blamed is None:
        given = " ".join(f"{key}={_typed(value)}" for key, value in make.keywords.items()) or "nothing"
        return f"{group}: {wanted} {given} ({reason}); change what it names"
    parameter = inspect.signature(make.func).parameters.get(blamed)
    default = None if parameter is None or parameter.default is parameter.empty else parameter.default
    remedy = "leave it out" if default is None else f"give such as {_typed(default)}"
    return f"{group}.{blamed}: {wanted} {_typed(make.keywords[blamed])} ({reason}); {remedy}"


def placed(text: str, keys: Collection[str], group: str) -> str:
    """Return a refusal of ours with the whole key: a constructor does not know where it stands."""
    begins = re.split(r"[.:]", text, maxsplit=1)[0]
    return f"{group}.{text}" if group and begins in keys else text


def check_kinds(target: Callable[..., Any], arguments: Mapping[str, Any], group: str) -> None:
    """Hold arguments against the defaults of a library's constructor, which may take a text and fail later.

    Raises:
        ValueError: another value where the default is a number, or true or false.
    """
    for name, parameter in inspect.signature(target).parameters.items():
        value, default = arguments.get(name, parameter.default), parameter.default
        if isinstance(default, bool) or (value is not None and str(parameter.annotation) in _FLAGS):
            checks.flag(f"{group}.{name}", value)
        elif checks.is_number(default) and isinstance(value, str | bool | None):
            raise ValueError(f"{group}.{name}: expected a number, got {value!r}; give such as {_typed(default)}")


def _blamed(reason: str, make: "partial[Any]", args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return the argument that is at fault: without it there is nothing against the others, or it is named."""
    own = {key: value for key, value in make.keywords.items() if key not in kwargs}
    for key in own:
        with suppress(Exception):
            make.func(*args, **{name: value for name, value in own.items() if name != key}, **kwargs)
            return key
    return next((key for key in own if re.search(rf"\b{key}\b", reason)), None)


def _typed(value: object) -> str:
    """Write a value as it is typed on the command line."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
