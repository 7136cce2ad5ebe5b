"""A recipe: a file of options for ``experiment=``, with the reason of each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import yaml

_WIDTH = 118


@dataclass(frozen=True)
class Line:
    """An option, as the command line would name it, or the choice of a group, and why.

    Attributes:
        key: such as ``fit.steps``; of a group such as ``model``.
        value: plain data.
        reason: a sentence without its full stop.
    """

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Recipe:
    """The lines of a recipe.

    Attributes:
        head: what it is for, as comments.
        groups: choices of groups, such as ``model``.
        options: options of the groups and of the run.
    """

    head: tuple[str, ...]
    groups: tuple[Line, ...]
    options: tuple[Line, ...]

    def value(self, key: str) -> Any:
        """Return what an option, or a group, is set to.

        Raises:
            KeyError: it is not set.
        """
        return {line.key: line.value for line in (*self.groups, *self.options)}[key]

    def about(self, data: Iterable[tuple[str, Any]]) -> "Recipe":
        """Return the recipe with the options of its data; ``data`` is the group of that name."""
        lines = [Line(key, value, "the data that it was planned for") for key, value in data]
        return replace(
            self,
            groups=(*(line for line in lines if line.key == "data"), *self.groups),
            options=(*(line for line in lines if line.key != "data"), *self.options),
        )

    def words(self) -> list[str]:
        """Return what would stand on a command line instead of the file."""
        return words(*({line.key: line.value for line in lines} for lines in (self.groups, self.options)))

    def text(self) -> str:
        """Return the file: YAML that works as an experiment."""
        lines = ["# @package _global_", *(f"# {line}" for text in self.head for line in wrap(text, _WIDTH - 2))]
        lines.append("defaults:")
        for line in self.groups:
            lines += [*_comment(line.reason, "  "), f"  - override /{line.key}: {_plain(line.value)}"]
        lines.append("  - _self_")
        lines += _nested(self.options)
        return "\n".join(lines) + "\n"


def words(groups: Mapping[str, str], options: Mapping[str, Any]) -> list[str]:
    """Return choices and options as a command line gives them."""
    return [*(f"{key}={value}" for key, value in groups.items()), *(f"{key}={_word(v)}" for key, v in options.items())]


def _word(value: Any) -> str:
    """Return a value as Hydra's grammar has it: text in quotes, which paths need."""
    if isinstance(value, str):
        return "'" + value.replace("\\'", "\\\\'").replace("'", "\\'") + "'"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_word, value))}]"
    return json.dumps(value)


def _nested(options: Iterable[Line]) -> list[str]:
    """Return YAML of options whose keys have dots; those of one section stand together."""
    lines: list[str] = []
    place: list[str] = []
    for line in sorted(options, key=lambda line: line.key.split(".")[:-1]):
        *sections, name = line.key.split(".")
        shared = next((i for i, (a, b) in enumerate(zip(place, sections, strict=False)) if a != b), len(place))
        shared = min(shared, len(sections))
        for depth in range(shared, len(sections)):
            lines.append(f"{'  ' * depth}{sections[depth]}:")
        indent = "  " * len(sections)
        lines += [*_comment(line.reason, indent), f"{indent}{name}: {_plain(line.value)}"]
        place = sections
    return lines


def _comment(reason: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in wrap(reason, _WIDTH - 2 - len(indent))]


def _plain(value: Any) -> str:
    """Return a value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
