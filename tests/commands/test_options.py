"""Every option of every command, given nonsense: a wrong request, in words of ours, before anything is written.

python -m pytest tests/commands/test_options.py
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seg.commands.cli import conf_dir, plain
from seg.commands.cli.keys import check_keys
from seg.commands.cli.overrides import quoted
from seg.commands.request import request
from seg.files.errors import Failed

NONSENSE = ("-1", "0", "1e9", "nan", "text", "null", "[1,2]")
MINIMAL = {
    "audit": ["images=x", "masks=y", "destination=z"],
    "augment": ["images=x", "masks=y", "destination=z"],
    "compare": ["runs=x", "destination=z"],
    "diagnose": ["checkpoint=x.pt", "images=x", "destination=z"],
    "evaluate": ["checkpoint=x.pt", "images=x", "masks=y", "destination=z"],
    "export": ["checkpoint=x.pt", "destination=z.onnx"],
    "plan": ["data.train.images=x", "data.train.masks=y", "minutes=3", "destination=z"],
    "predict": ["checkpoint=x.pt", "images=x", "destination=z"],
    "preprocess": ["source=x", "destination=y", "labels=cityscapes"],
    "train": ["data.train.images=x", "data.train.masks=y"],
}


def options(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from options(value, f"{prefix}{key}.")
        elif not str(key).startswith("_"):
            yield f"{prefix}{key}"


def composed(name: str, words: list[str]) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose(name, quoted(words), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    OmegaConf.set_struct(config, True)
    return config


def call(name: str, words: list[str]) -> None:
    """As the command does, without a process of its own."""
    config = composed(name, words)
    check_keys(config, conf_dir(), name)
    if name == "train":
        request(plain(config), HydraConfig.get().runtime.choices)
    else:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):  # as it is while Hydra runs a command
            getattr(importlib.import_module(f"seg.commands.{name}"), name)(config)


def test_all_commands_are_walked() -> None:
    assert set(MINIMAL) == {path.stem for path in conf_dir().glob("*.yaml")}


@pytest.mark.slow
@pytest.mark.parametrize("name", MINIMAL)
def test_nonsense_is_a_wrong_request(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be right ends at the folders, which are missing."""
    monkeypatch.chdir(tmp_path)
    wrong, groups = [], {path.parent.name for path in conf_dir().glob("*/*.yaml")}
    for key in options(OmegaConf.to_container(composed(name, MINIMAL[name]), resolve=False)):
        for value in NONSENSE if key not in groups else NONSENSE[:-1]:  # Hydra itself takes lists of groups apart
            words = [word for word in MINIMAL[name] if not word.startswith(f"{key}=")] + [f"{key}={value}"]
            try:
                call(name, words)
            except (ValueError, Failed, HydraException, OmegaConfBaseException, SystemExit):
                pass
            except Exception as error:  # of any other kind: it would reach the user as a word of a library
                wrong.append(f"{key}={value}: {error!r}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir())
