"""Keys of a composed configuration that no option has, and values that are of another kind than an option takes."""

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from seg.files import checks


def check_keys(config: DictConfig, conf: Path, name: str) -> None:
    """Refuse top-level keys, and keys of plain sections, that the command does not have, and values of another kind.

    Hydra takes any key from a user's YAML or after ``+``. Parts with a ``_target_`` are held against its signature when
    they are built. A key of the user's own that an interpolation names is taken.

    Args:
        conf: the configuration folder.
        name: of the command's file in it.

    Raises:
        ValueError: the message names the nearest key, or what to give.
    """
    declared = yaml.safe_load((conf / f"{name}.yaml").read_text(encoding="utf-8"))
    groups = {key for item in declared.pop("defaults", []) if isinstance(item, Mapping) for key in item}
    declared.pop("hydra", None)
    given: Any = OmegaConf.to_container(config, resolve=False)
    named = _interpolated(given)
    _check_known("", given, {*declared, *groups, *_placed(conf)} | named, _deeper(given))
    for key, value in declared.items():
        if isinstance(value, Mapping):
            if not isinstance(given.get(key), Mapping):
                options = [f"{key}.{option}" for option in value if option != "_target_"]
                shown = "null" if given.get(key) is None else repr(given[key])
                raise ValueError(f"{key}: expected options such as {options[0]}=..., got {shown}; leave it out")
            if "_target_" not in value:
                _check_known(f"{key}.", given[key], {*value} | named, {})
        elif value is not None and key in given and given[key] is None:
            remedy = "give one" if value == "???" else f"leave it out for {json.dumps(value)}"
            raise ValueError(f"{key}: expected a value, got null; {remedy}")
        else:
            _check_kind(key, value, given.get(key))


def _check_kind(key: str, declared: Any, value: Any) -> None:
    """Hold the value of an option against the kind of its default; ranges are checked by what takes it."""
    if isinstance(value, Mapping) or (isinstance(value, str) and ("${" in value or value == "???")):
        return
    if isinstance(declared, bool):
        checks.flag(key, value)
    elif isinstance(declared, int):
        checks.whole(key, value, 0)
    elif isinstance(declared, float):
        checks.number(key, value)
    elif isinstance(declared, list) and not isinstance(value, list):
        raise ValueError(f"{key}: expected a list, got {value!r}; give [{value}]")
    elif isinstance(declared, str) and declared != "???" and not isinstance(value, str):
        raise ValueError(f"{key}: expected a text such as {declared}, got {value!r}; give one")


def _check_known(prefix: str, given: Mapping[Any, Any], known: set[str], deeper: Mapping[str, str]) -> None:
    for key in given:
        if key not in known:
            names = {name: f"{prefix}{name}" for name in known} | dict(deeper)
            close = difflib.get_close_matches(str(key), names, n=1)
            meant = f"did you mean '{names[close[0]]}'?" if close else "remove it"
            raise ValueError(f"{prefix}{key}: expected a key that the command has, got another; {meant}")


def _deeper(given: Mapping[Any, Any]) -> dict[str, str]:
    """Return the options of parts, by their last word: ``{"precision": "device.precision"}``."""
    parts = ((part, options) for part, options in given.items() if isinstance(options, Mapping))
    return {str(option): f"{part}.{option}" for part, options in parts for option in options}


def _placed(conf: Path) -> set[str]:
    """Return the top-level keys that options of groups bring: ``seeds`` of a sweep, ``box_loss`` of boxes."""
    keys: set[str] = set()
    for path in conf.glob("*/*.yaml"):
        text = path.read_text(encoding="utf-8")
        keys.update(re.findall(r"- /(\w+)@_global_\.", text))
        if text.startswith("# @package _global_"):
            keys.update(re.findall(r"^(\w+):", text, re.MULTILINE))  # a parser would take 40 ms
    return keys - {"defaults", "hydra"}


def _interpolated(given: Mapping[Any, Any]) -> set[str]:
    """Return the top-level keys that a value of the configuration, or of the sweeper, refers to by ``${key}``."""
    hydra: Any = HydraConfig.instance().cfg
    texts = [str(given), str(OmegaConf.to_container(hydra, resolve=False))]
    return {key for text in texts for key in re.findall(r"\$\{(\w+)", text)}
