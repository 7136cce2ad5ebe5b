"""The options that YAML files offer, with what their comments say: what ``--help`` and the reference are made of.

A file begins with comments (what it is for, command lines to type), names its groups under ``defaults:``, and then its
options, some in sections::

    # Count the images of a folder.
    #   seg-count images=photos destination=counted
    defaults:
      - _self_

    images: ???           # folder of images
    # further options
    suffixes: [.png]      # files that count:
                          # with their dot, in lower case

What stands above a line ``# further options``, in a file or in one of its sections, is common: ``--help`` shows it
first, and of sections and groups it shows nothing else. It shows the first line of a comment alone; the lines that
follow are for those who ask further. Loads nothing that takes time.
"""

import re
from typing import NamedTuple

FURTHER = "# further options"

_HYDRA = re.compile(r"^(?:defaults|hydra):.*\n(?: .*\n|\n)*", re.MULTILINE)
_KEY = re.compile(r"""( *)([\w.]+):(?: +((?:"[^"]*"|'[^']*'|[^#\s]|#(?=\S)| +(?!#))*))? *(# ?(.*))?$""")


class Option(NamedTuple):
    """One key of a YAML file.

    Attributes:
        key: with dots: ``fit.epochs``.
        default: as it is written; empty for a section.
        comment: its lines.
        common: it is one of those that are shown first.
    """

    key: str
    default: str
    comment: tuple[str, ...] = ()
    common: bool = False

    @property
    def meaning(self) -> str:
        """The whole comment, in one line."""
        return " ".join(self.comment)


class OptionFile(NamedTuple):
    """The parts of a YAML file.

    Attributes:
        head: its first comments, without the signs; what is Hydra's (``@package``) is left out.
        defaults: the lines under ``defaults:``.
        body: the rest, without what is Hydra's.
        top: its options stand at the top of the configuration, not under the name of its group.
    """

    head: str
    defaults: str
    body: str
    top: bool

    @property
    def options(self) -> list[Option]:
        """The options and sections of the body, in their order."""
        return options_of(self.body)

    @property
    def built_on(self) -> list[str]:
        """The choices of other files that it is built on, as ``defaults:`` names them."""
        return re.findall(r"^  - (?!_self_)(\S.*?) *(?:#.*)?$", self.defaults, re.MULTILINE)


def parse(text: str) -> OptionFile:
    """Take a YAML file apart."""
    comments = re.match(r"(?:#.*\n)*", text)
    assert comments is not None
    top = comments[0].startswith("# @package _global_\n")
    head = re.sub(r"^# ?", "", comments[0].removeprefix("# @package _global_\n"), flags=re.MULTILINE)
    rest = text[comments.end() :]
    block = re.search(r"^defaults:\n((?:  .*\n)*)", rest, re.MULTILINE)
    return OptionFile(head, block[1] if block else "", _HYDRA.sub("", rest), top)


def options_of(body: str) -> list[Option]:
    """Return the options and sections of a body, with the comments beside and below them."""
    options: list[Option] = []
    path: list[tuple[int, str]] = []
    column = -1  # where the comment stands that the next line may continue
    for line in body.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() == FURTHER:
            section = "".join(f"{name}." for at, name in path if at < indent)
            options = [_as_common(option, section) for option in options]
        elif key := _KEY.match(line):
            path = [*((at, name) for at, name in path if at < indent), (indent, key[2])]
            if key[2].startswith("_"):  # what makes the object, and how
                column = -1
                continue
            name = ".".join(name for _, name in path)
            options.append(Option(name, (key[3] or "").strip(), (key[5].strip(),) if key[5] else ()))
            column = key.start(4)
        elif options and indent == column and line.lstrip().startswith("#"):
            option = options[-1]
            options[-1] = option._replace(comment=(*option.comment, line.strip().removeprefix("#").strip()))
        else:
            column = -1
    return options


def _as_common(option: Option, section: str) -> Option:
    """Return an option of just this section as a common one, any other as it is."""
    within = option.key.startswith(section) and "." not in option.key[len(section) :]
    return option._replace(common=option.common or (within and bool(option.default)))


def groups_of(text: str) -> dict[str, str]:
    """Return the groups that a command's file names, and the choice that each has by default."""
    found = re.findall(r"^  - (\w+): *(\w+)", parse(text).defaults, re.MULTILINE)
    return {group: choice for group, choice in found if group != "hydra"}
