"""What a command says when it ends otherwise than well, and its exit code."""

import difflib
import errno
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seg.commands.cli.help import conf_dir
from seg.commands.cli.targets import parameters
from seg.files.errors import FAILED, INTERRUPTED, WRONG_REQUEST, AlreadyTold, Failed
from seg.report.console import say
from seg.report.options import groups_of


def report(error: BaseException, config_name: str, wants_traceback: bool) -> int:
    """Print one line on standard error (a traceback when asked for) and return the exit code."""
    if isinstance(error, AlreadyTold):
        return WRONG_REQUEST
    if wants_traceback:
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if isinstance(error, KeyboardInterrupt):
        say(f"interrupted{': ' + str(error) if error.args else ''}", error=True)
        return INTERRUPTED
    plain = code_of(error) == WRONG_REQUEST or isinstance(error, Failed) or _is_full(error)
    hint = "" if plain or wants_traceback else " (HYDRA_FULL_ERROR=1 shows the traceback)"
    say(f"error: {one_line(error, config_name)}{hint}", error=True)
    return code_of(error)


def code_of(error: BaseException) -> int:
    """Exit code of a command that ends by this error."""
    return WRONG_REQUEST if isinstance(error, ValueError | HydraException | OmegaConfBaseException) else FAILED


def one_line(error: BaseException, config_name: str) -> str:
    """Return what went wrong, for people."""
    if isinstance(error, ConfigCompositionException) and (match := re.search(r"already at '([^']*)'", str(error))):
        return f"+{match[1]}: expected + with a key that the configuration lacks, got one that it has; leave the + out"
    if isinstance(error, ConfigCompositionException) and (match := re.search(r"override '([^']*)'", str(error))):
        return _unknown_key(str(match[1]), config_name)
    if several := re.search(r"Ambiguous value for argument '([^=']*)=(.*?)'\n", str(error)):
        key, value = several.groups()
        each = ", or -m to run each" * (config_name == "train")  # others would write to one destination
        return f"{key}: expected one value, got {value}; give {key}=[{value}] for a list{each}"
    if isinstance(error, MissingConfigException) and (found := re.search(r"Could not find '([^']*)'", str(error))):
        text = " ".join(str(error)[found.start() :].split()).partition(" Config search path")[0]
        group, _, name = found[1].rpartition("/")
        close = difflib.get_close_matches(name, text.split(), n=1)
        return f"{text}; " + (f"did you mean {group}={close[0]}?" if close else "choose one of them")
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        if rounds := re.fullmatch(r"range\((\d+\.\.\d+)\)", value):
            return f"seeds: expected a whole number, got {rounds[1]}; give until=settled for rounds of seeds"
        return (
            f"{key}: expected a value that Hydra can read, got {value!r}; close its brackets and quotes, and give text "
            f"with such signs in two pairs of quotes, \"{key}='{value}'\""
        )
    if isinstance(error, OSError) and _is_full(error):
        return (
            f"expected space for '{error.filename or 'what is written'}', got '{error.strerror}'; free some, and give "
            "the same command again"
        )
    text = str(error)
    if "DataLoader worker" in text:  # the worker's traceback stands in the text; its last line is the error
        text = text.strip().splitlines()[-1].partition(": ")[2]
    if not isinstance(error, ValueError | HydraException | OmegaConfBaseException | RuntimeError | OSError):
        text = f"{type(error).__name__}: {text}"
    return " ".join(text.split()) or type(error).__name__


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _unknown_key(key: str, config_name: str) -> str:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            config = hydra.compose(config_name, overrides=list(_choices()))
        except HydraException:  # a group that this command does not have
            config = hydra.compose(config_name)
    group, _, _ = key.rpartition(".")
    further = [f"{group}.{option}" for option in _options(OmegaConf.select(config, group))] if group else []
    if key in further:
        value = next((word.partition("=")[2] for word in sys.argv if word.startswith(f"{key}=")), "...")
        return f"unknown key '{key}': expected one that stands in the configuration; +{key}={value} adds this one"
    if choosing := _that_bring(key, groups_of((conf_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))):
        options = sorted(f"{path.parent.name}={path.stem}" for path in choosing)
        shown = " or ".join(options if len(options) < 4 else dict.fromkeys(f"{p.parent.name}=NAME" for p in choosing))
        return f"unknown key '{key}': expected {shown} with it, got another; give that too, or leave {key} out"
    known = list(_keys(config))
    ends = [known_key for known_key in known if known_key.endswith(f".{key}")]
    close = difflib.get_close_matches(key, [*known, *further], n=1) or ends
    meant = f" did you mean '{'+' if close[0] not in known else ''}{close[0]}'?" if close else ""
    return f"unknown key '{key}';{meant} seg-{config_name} --help lists groups and options"


def _that_bring(key: str, groups: Mapping[str, str]) -> list[Path]:
    """Return the options that bring a key: to their group, or to the top level."""
    found = []
    for path in sorted(conf_dir().glob("*/*.yaml")):
        text, group = path.read_text(encoding="utf-8"), path.parent.name
        brought = _keys(OmegaConf.create(text), "" if text.startswith("# @package _global_") else f"{group}.")
        if group in groups and group != "experiment" and (key in brought or f"- /{key}@_global_." in text):
            found.append(path)
    return found


def _options(group: Any) -> list[str]:
    """Return what the constructor of a group takes beside what stands in the configuration."""
    target = group.get("_target_") if isinstance(group, DictConfig) else None
    if not isinstance(target, str) or (target.startswith("seg.") and "architecture" not in group):
        return []  # all options of ours stand in the configuration, so that torch need not be loaded to name them
    try:
        taken, more = parameters(target)
        if more and "architecture" in group:  # seg.models.build hands them on
            import segmentation_models_pytorch as smp

            taken = [*taken, *inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[group.architecture]).parameters]
    except (ValueError, KeyError):
        return []
    return taken


def _choices() -> Iterator[str]:
    """Yield the groups that the command line chose (augment=cutout): they decide which keys there are."""
    for argument in sys.argv[1:]:
        group, _, name = argument.partition("=")
        if name and (conf_dir() / group / f"{name}.yaml").is_file():
            yield argument


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for key in map(str, config) if isinstance(config, DictConfig) else ():
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(config, key):
            yield from _keys(config._get_node(key), f"{prefix}{key}.")
