"""What a shell user types as ``key=value``, quoted where Hydra's grammar would refuse it or take it for a number."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TEXTS = frozenset(
    ("class_template", "corrected", "destination", "encoder_weights", "group", "image_template", "images_destination",
     "init", "instance_template", "instances_destination", "labelled", "labels", "masks_destination", "measured",
     "name", "pattern", "prediction_template", "reference", "replay", "runs", "source", "suspects", "template")
)  # fmt: skip
"""Last parts of the keys whose values are paths, names or patterns, whatever they look like: ``20240105``, ``~/x``."""

_LISTS = frozenset(
    ("checkpoint", "images", "instances", "list", "masks", "order", "predictions", "temperature_images",
     "temperature_masks")
)  # fmt: skip
"""Those of which there may be several: ``[a,b]``."""


def quoted(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with every value that Hydra would misread in quotes, options first.

    Raises:
        ValueError: a path or name with nothing after the ``=``.
    """
    sweeps = any(argument in {"-m", "--multirun"} for argument in arguments)
    # options first: Hydra's parser refuses `key=value --config-dir DIR key=value`
    return sorted((_quoted(argument, sweeps) for argument in arguments), key=_is_override)


def beside_groups(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return the arguments with the values of some keys as ``{name: value}``.

    Hydra takes ``metric=miou`` for a choice among ``conf/metric``, also of a command that has no such group.
    """
    found = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        plain = re.fullmatch(r"[\w.@]+|'[^']*'", value)
        shown = value if plain else _literal(value)
        found.append(f"{key}={{name:{shown}}}" if equals and key in keys else argument)
    return found


def without_null(arguments: Sequence[str], groups: Mapping[str, str], conf: Path) -> list[str]:
    """Return the arguments with ``GROUP=null``, which Hydra refuses, as what it means: the option ``none``, or nothing.

    Args:
        groups: those of the command, and the option that each has by default.
        conf: the configuration folder.

    Raises:
        ValueError: a group that cannot be left out.
    """
    kept = []
    for argument in arguments:
        group, _, value = argument.partition("=")
        if value != "null" or group not in groups:
            kept.append(argument)
        elif (conf / group / "none.yaml").is_file():
            kept.append(f"{group}=none")
        elif groups[group] != "null":
            options = ", ".join(sorted(path.stem for path in (conf / group).glob("*.yaml")))
            raise ValueError(f"{group}: expected one of {options}, got null; choose one")
    return kept


def _is_override(argument: str) -> bool:
    return argument[:1] == "~" or ("=" in argument and argument[:1] != "-")


def _quoted(argument: str, sweeps: bool) -> str:
    key, equals, value = argument.partition("=")
    last = key.lstrip("+~").rpartition(".")[2]
    if not equals or key.startswith("-") or value[:1] in {"'", '"'} or value in {"null", "???"} or "${" in value:
        return argument
    if last in _TEXTS | _LISTS:
        if not value:
            raise ValueError(f"{key}: expected a path or a name after the '=', got nothing; give it, or null")
        if sweeps and re.search(r",|^\w+\(.*\)$", value) and not _exists(value):
            return argument
        if last in _LISTS and re.fullmatch(r"\[.*\]", value) and not _exists(value):
            return f"{key}=[{','.join(map(_literal, _elements(value)))}]"
        return f"{key}={_literal(value)}"
    if re.search(r"[^\x00-\x7f]", value):  # letters that Hydra's grammar lacks: Bäume
        listed = re.fullmatch(r"\[.*\]", value)
        return f"{key}=[{','.join(map(_literal, _elements(value)))}]" if listed else f"{key}={_literal(value)}"
    return argument


def _elements(text: str) -> Iterator[str]:
    """Of ``[a, 'b,c']``, without the quotes."""
    for match in re.finditer(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]+))\s*(?:,|$)""", text[1:-1]):
        yield next(part for part in match.groups() if part is not None).strip()


def _literal(value: str) -> str:
    """In quotes that Hydra takes off again; ``~`` is the home folder, which shells know at the start of words alone."""
    if value[:1] == "~" and not _exists(value):
        with suppress(RuntimeError):  # no such user
            value = str(Path(value).expanduser())
    if re.fullmatch(r"[\w./%+@?*:-]+", value, re.ASCII) and not _is_other(value):
        return value  # as it is: names of runs are made of what was typed
    # a backslash is one, except before a quote and at the end
    escaped = re.sub(r"(\\*)(')", lambda found: found[1] * 2 + "\\'", value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"


def _is_other(value: str) -> bool:
    """Whether Hydra would take it for a number or a truth value."""
    try:
        float(value)
    except ValueError:
        return value.lower() in {"true", "false", "null"}
    return True


def _exists(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False
