"""``--help``: what of it is asked for on the command line. Loads no Hydra."""

import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import seg
from seg.report.help import Command, short_help, topic_help


def conf_dir() -> Path:
    """Find the configuration folder: ``seg/conf`` in an installed wheel, ``conf`` beside the package in a checkout."""
    package = Path(seg.__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise RuntimeError(
        f"expected a configuration folder at {package / 'conf'} or {package.parent / 'conf'}, got none; reinstall seg"
    )


def print_help(name: str, arguments: Sequence[str]) -> bool:
    """Print what a command does and its common options, or what the words after ``--help`` name, such as ``all``.

    Args:
        name: of the command's file.
        arguments: of the command line; ``loss=focal --help`` shows the options of another choice.

    Returns:
        Whether they ask for help.

    Raises:
        ValueError: there is no such choice, or nothing of the name that is asked for.
    """
    words = [word for argument in arguments for word in (argument.split("=", 1) if argument[:1] == "-" else [argument])]
    asked = next((index for index, word in enumerate(words) if word in {"--help", "-h"}), None)
    if asked is None:
        return False
    folders = [Path(folder) for option, folder in pairwise(words) if option in {"--config-dir", "-cd"}]
    chosen = dict(word.split("=", 1) for word in words if re.match(r"\w+=", word))
    command = Command(name, [conf_dir(), *folders], chosen)
    later = [word for before, word in pairwise(words[asked:]) if before[:2] not in {"-c", "--"} or before == "--help"]
    topics = [word for word in later if word[:1] not in {"-", "+", "~"} and "=" not in word]
    try:
        print("\n\n".join(topic_help(command, topic) for topic in topics) or short_help(command), flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
