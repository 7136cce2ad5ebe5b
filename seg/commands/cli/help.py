"""``--help``: the configuration files themselves, whose comments say what each option does. Loads no Hydra."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import seg

# what is Hydra's, not the user's; and the names of options that nobody would replace
_BLOCKS = re.compile(
    r"^(?:defaults|hydra):.*\n(?: .*\n|\n)*|^ *_target_: seg\.[\w.]*\.(?:\w*Options|Source|Part)\n", re.MULTILINE
)


def conf_dir() -> Path:
    """Find the configuration folder: ``seg/conf`` in an installed wheel, ``conf`` beside the package in a checkout."""
    package = Path(seg.__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise RuntimeError(
        f"expected a configuration folder at {package / 'conf'} or {package.parent / 'conf'}, got none; reinstall seg"
    )


def help_text(conf: Path, name: str, arguments: Sequence[str]) -> str:
    """Say what a command does, its options, and those of each group; ``loss=focal --help`` shows another choice.

    Args:
        conf: the configuration folder.
        name: of the command's file in it.
        arguments: of the command line.
    """
    folders = [conf, *_searched(arguments)]
    text = (conf / f"{name}.yaml").read_text(encoding="utf-8")
    intro = re.match(r"(?:#.*\n)*", text)
    assert intro is not None
    said = re.sub(r"^# ?", "", intro[0], flags=re.MULTILINE)
    chosen = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    parts = [said, "Options (KEY=VALUE):\n", _BLOCKS.sub("", text[intro.end() :]).strip() + "\n"]
    for group, default in groups_of(text).items():
        options = sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
        option = chosen.get(group, default)
        parts.append(f"{group}: {option}  # {group}=NAME, one of {', '.join(options)}")
        parts += [_indented(shown) for shown in _texts(folders, group, option)]
    parts.append("\n--multirun KEY=A,B runs every combination; --config-dir DIR adds groups of yours;")
    parts.append("--cfg job shows what the options make; --hydra-help lists the rest.")
    return "\n".join(parts)


def _searched(arguments: Sequence[str]) -> list[Path]:
    """Folders given by --config-dir."""
    words = [word for argument in arguments for word in (argument.split("=", 1) if argument[:1] == "-" else [argument])]
    return [Path(folder) for option, folder in pairwise(words) if option in {"--config-dir", "-cd"}]


def groups_of(text: str) -> dict[str, str]:
    """Return the groups that a command's file names, and the option that each has by default."""
    block = re.search(r"^defaults:\n((?:  .*\n)*)", text, re.MULTILINE)
    found = re.findall(r"^  - (\w+): *(\w+)", block[1] if block else "", re.MULTILINE)
    return {group: option for group, option in found if group != "hydra"}


def _texts(folders: Sequence[Path], group: str, option: str) -> list[str]:
    """Return the file of an option, after those that it is built on."""
    paths = (folder / group / f"{option}.yaml" for folder in folders)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return []
    text = path.read_text(encoding="utf-8")
    block = re.search(r"^defaults:\n((?:  .*\n)*)", text, re.MULTILINE)
    base = re.findall(r"^  - (\w+) *$", block[1] if block else "", re.MULTILINE)
    shown = [text for name in base if name != "_self_" for text in _texts(folders, group, name)]
    return [*shown, _BLOCKS.sub("", text)]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
