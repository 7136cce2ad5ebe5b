"""What ``--help`` prints of a command: the common options first, and everything for those who ask further.

It is made of the files of ``conf/`` and their comments, see `seg.report.options`; there is no other list.
"""

import difflib
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from seg.report.options import FURTHER, Option, OptionFile, groups_of, parse

_WIDTH = 118
_OBJECTS = re.compile(r"^ *_target_: seg\.[\w.]*\.(?:\w*Options|Source|Part)\n", re.MULTILINE)  # nobody replaces them


@dataclass(frozen=True)
class Command:
    """A command as its file describes it.

    Attributes:
        name: of the file, without suffix.
        folders: the configuration folder, then those of the user's own.
        chosen: what the command line says, ``{"loss": "focal"}``: it replaces the default choice of a group.
    """

    name: str
    folders: Sequence[Path]
    chosen: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """What the file holds."""
        return (self.folders[0] / f"{self.name}.yaml").read_text(encoding="utf-8")

    @cached_property
    def file(self) -> OptionFile:
        """Its parts."""
        return parse(self.text)

    @cached_property
    def groups(self) -> dict[str, str]:
        """Its groups, and the choice of each; also those that a choice of another group brings along (box_loss)."""
        own = {group: self.chosen.get(group, default) for group, default in groups_of(self.text).items()}
        texts = [path.read_text(encoding="utf-8") for group in own for path in self.choices(group).values()]
        brought = dict(found for text in texts for found in re.findall(r"- /(\w+)@_global_\.\w+: *(\w+)", text))
        return own | {group: self.chosen.get(group, default) for group, default in brought.items() if group not in own}

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        """The sections of its file, and the names of the options of each."""
        keys = [option.key for option in self.file.options]
        heads = [option.key for option in self.file.options if not option.default and "." not in option.key]
        return {head: [key.removeprefix(f"{head}.") for key in keys if key.startswith(f"{head}.")] for head in heads}

    def choices(self, group: str) -> dict[str, Path]:
        """Return the files of a group by name; the user's own win."""
        return dict(sorted((path.stem, path) for folder in self.folders for path in (folder / group).glob("*.yaml")))

    def chosen_of(self, group: str) -> list[str]:
        """Return the choices of a group that are in force.

        Raises:
            ValueError: there is no such choice.
        """
        choices = self.choices(group)
        names = [name for name in re.split(r"[\[\],\s'\"]+", self.groups[group]) if name not in ("", "null", "glob(*)")]
        for name in names:
            if name not in choices:
                close = difflib.get_close_matches(name, choices, n=1)
                remedy = f"did you mean {group}={close[0]}?" if close else "choose one"
                raise ValueError(f"{group}: expected one of {', '.join(choices)}, got '{name}'; {remedy}")
        return names

    def file_of(self, group: str, choice: str) -> OptionFile:
        """Read a choice of a group."""
        return parse(self.choices(group)[choice].read_text(encoding="utf-8"))

    def with_bases(self, group: str, choice: str) -> list[OptionFile]:
        """Return the file of a choice after those that it is built on."""
        file = self.file_of(group, choice)
        bases = [name for name in file.built_on if name in self.choices(group)]
        return [*(base for name in bases for base in self.with_bases(group, name)), file]

    def options(self) -> Iterator[tuple[str, Option]]:
        """Yield every option with its whole key, and the choice that it is of (``loss=focal``), if it is of one."""
        for option in self.file.options:
            yield "", option
        for group in self.groups:
            for choice in self.choices(group):
                yield from ((f"{group}={choice}", option) for option in _whole(group, self.file_of(group, choice)))


def _whole(group: str, file: OptionFile) -> list[Option]:
    """Return the options of a choice with their whole keys."""
    return [option if file.top else option._replace(key=f"{group}.{option.key}") for option in file.options]


def short_help(command: Command) -> str:
    """Return what a person needs first: purpose, command lines, common options, what else there is.

    Raises:
        ValueError: a choice of a group that is none.
    """
    common, further = _own_options(command)
    parts = [command.file.head.rstrip(), "", "Options (KEY=VALUE; ??? must be given):", *common]
    if further:
        parts += ["", "Further options (--help KEY says more of one):", *further]
    if command.groups:
        parts += ["", "Groups (GROUP=NAME chooses a file of options):"]
        parts += [_group_line(command, group, _WIDTH) for group in command.groups]
    for group in (group for group in command.groups if group in command.chosen):
        for choice in command.chosen_of(group):
            parts += ["", _choice_help(command, group, choice)]
    parts += [
        "",
        "--help all shows every option, --help NAME a group, a section or an option in full; `make docs` builds pages.",
        "--multirun KEY=A,B runs every combination, --config-dir DIR adds groups of yours, --hydra-help lists more.",
    ]
    return "\n".join(parts)


def _own_options(command: Command) -> tuple[list[str], list[str]]:
    """Return the lines of the common options, and of the others and the sections."""
    lines = [line for line in command.file.body.splitlines() if re.match(r"\w+: *[^\s#]", line)]
    options = {option.key: option for option in command.file.options}
    marked = FURTHER in command.file.body.splitlines()
    common = [line for line in lines if not marked or options[line.partition(":")[0]].common]
    chosen = [(group, choice) for group in command.groups for choice in command.chosen_of(group)]
    deeper = [option for place in chosen for file in command.with_bases(*place) for option in _whole(place[0], file)]
    shown: dict[str, Option] = {}
    for option in [*deeper, *(option for option in options.values() if "." in option.key)]:
        if option.common:
            shown[option.key] = option
        elif option.key in shown:  # a choice gives what it is built on another value
            shown[option.key] = shown[option.key]._replace(default=option.default)
    names = [name for name in command.sections if name not in command.groups]
    sections = [f"{name}:  # {name}.KEY: {_listed(command.sections[name], 80)}" for name in names]
    return common + _aligned([*shown.values()]), [line for line in lines if line not in common] + sections


def _aligned(options: Sequence[Option]) -> list[str]:
    """Return a line for each option, with the first line of its comment."""
    width = max((len(f"{option.key}: {option.default}") for option in options), default=0)
    return [f"{f'{o.key}: {o.default}':{width}}  # {o.comment[0] if o.comment else ''}".rstrip(" #") for o in options]


def _group_line(command: Command, group: str, width: int | None = None) -> str:
    start = f"{group}: {command.groups[group]}  # {group}=NAME, one of "
    return start + _listed(list(command.choices(group)), None if width is None else width - len(start))


def _listed(names: Sequence[str], width: int | None) -> str:
    """Return the names, or as many as fit."""
    text = ", ".join(names)
    if width is None or len(text) <= width:
        return text
    shown = textwrap.shorten(text, width - len(f" ({len(names)})"), placeholder=" ...")
    return f"{shown} ({len(names)})"


def _verbatim(file: OptionFile, depth: int) -> str:
    """Return the file of a choice without what is Hydra's."""
    text = "".join(f"# {line}\n" for line in file.head.splitlines()) + _OBJECTS.sub("", file.body)
    return textwrap.indent(text.strip("\n"), "  " * depth)


def full_help(command: Command) -> str:
    """Return every option of the command and of each choice of its groups, in the form of YAML files."""
    body = _OBJECTS.sub("", command.file.body).strip()
    parts = [command.file.head, "Options (KEY=VALUE; `epochs` under `fit` is fit.epochs=VALUE):\n", body, ""]
    return "\n".join([*parts, *(_group_help(command, group) for group in command.groups)])


def _group_help(command: Command, group: str) -> str:
    parts = [_group_line(command, group)]
    for choice in command.choices(group):
        file = command.file_of(group, choice)
        built = f"  # {', '.join(file.built_on)}, and:" if file.built_on else ""
        parts += [f"  {group}={choice}{built}", _verbatim(file, 2)]
    return "\n".join(part for part in parts if part) + "\n"


def topic_help(command: Command, topic: str) -> str:
    """Return what there is to say of ``all``, a group, a section, a choice or an option, which its last word may name.

    Raises:
        ValueError: it is none of these; the message names the nearest.
    """
    if topic == "all":
        return full_help(command)
    parts = []
    if topic in command.sections:
        section = re.search(rf"^{topic}:.*\n(?: .*\n|\n)*", command.file.body, re.MULTILINE)
        assert section is not None
        parts.append(_OBJECTS.sub("", section[0]).strip() + f"\n\nGive one as {topic}.KEY=VALUE.")
    if topic in command.groups:
        parts.append(_group_help(command, topic) + f"\nChoose one by {topic}=NAME; its options are {topic}.KEY=VALUE.")
    if not parts:
        groups = [group for group in command.groups if topic in command.choices(group)]
        parts = [_choice_help(command, group, topic) for group in groups]
        parts = parts or _section_help(command, topic) or [_option_help(command, topic)]
    return "\n\n".join(parts)


def _choice_help(command: Command, group: str, choice: str) -> str:
    """Return the options of a choice, and of those that it is built on."""
    texts = [_verbatim(file, 1) for file in command.with_bases(group, choice)]
    parts = [base for base in command.file_of(group, choice).built_on if base not in command.choices(group)]
    also = f", and those of {', '.join(parts)}" if parts else ""
    return "\n".join([f"{group}={choice} has the options {group}.KEY{also}:", *(text for text in texts if text)])


def _section_help(command: Command, topic: str) -> list[str]:
    """Return the options of a section within a group (``augment.crop``) in full, once for all choices that have them
    alike; nothing where there is no such section."""
    sections: dict[str, list[Option]] = {}
    for of, option in command.options():
        if option.key.startswith(f"{topic}.") and option.default:
            sections.setdefault(of, []).append(option)
    group = topic.partition(".")[0]  # recipes and sweeps set options of others
    sections = {of: found for of, found in sections.items() if of.partition("=")[0] in ("", group)} or sections
    places: dict[tuple[Option, ...], list[str]] = {}
    for of, options in sections.items():
        places.setdefault(tuple(options), []).append(of)
    return [
        f"{topic}" + f" of {', '.join(filter(None, of))}" * any(of) + f" has the options {topic}.KEY:\n"
        + "\n".join(_in_full(option, []) for option in options)
        for options, of in places.items()
    ]  # fmt: skip


def _option_help(command: Command, topic: str) -> str:
    """Return the whole comments of the options of a name, those that differ apart, with the choices that have them.

    Recipes and sweeps, which set options of others, are left out where those are found.
    """
    options = [(of, option) for of, option in command.options() if option.default or option.comment]
    alike = [pair for pair in options if pair[1].key == topic]
    alike = alike or [pair for pair in options if pair[1].key.rpartition(".")[2] == topic]
    if not alike:
        raise ValueError(_unknown(command, topic, [option.key for _, option in options]))
    own = [(of, option) for of, option in alike if not of or option.key.startswith(f"{of.partition('=')[0]}.")] or alike
    choices: dict[Option, list[str]] = {}
    for of, option in own:
        choices.setdefault(option, []).append(of)
    return "\n".join(_in_full(option, [of for of in places if of]) for option, places in choices.items())


def _in_full(option: Option, places: Sequence[str]) -> str:
    start = f"{option.key}: {option.default}".rstrip() + (f"  # of {', '.join(places)}" if places else "")
    return "\n".join([start, *(f"  {line}" for line in textwrap.wrap(option.meaning, _WIDTH - 4))])


def _unknown(command: Command, topic: str, keys: Sequence[str]) -> str:
    choices = [choice for group in command.groups for choice in command.choices(group)]
    known = ["all", *command.groups, *command.sections, *choices, *keys]
    names = {key.rpartition(".")[2]: key for key in reversed(keys)} | {name: name for name in known}
    close = dict.fromkeys(names[name] for name in difflib.get_close_matches(topic, names, n=3))
    nearest = " or ".join(f"--help {name}" for name in close or ["all"])
    expected = f"expected all, or a group, a choice, a section or an option of seg-{command.name}"
    return f"help: {expected}, got '{topic}'; try {nearest}"
