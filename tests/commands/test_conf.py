"""Every YAML in conf/ is held against the signature of what it names; newcomers are enrolled by themselves.

python -m pytest tests/commands/test_conf.py
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from seg.commands.cli import conf_dir
from seg.commands.rounds import introduce
from seg.regularizers.rate import Regularizer

introduce()  # the one target that Hydra knows by another name than ours
CONF = Path(__file__).resolve().parents[2] / "conf"
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
GROUPS = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name != "hydra")

BY_THE_RUN = {"classes", "params", "optimizer", "steps", "log_dir", "purge_step", "progress", "model", "names"} | {
    "in_channels",
    "images",
    "loss",
    "box_loss",
    "pred",
    "target",
}
"""Parameters that only a run can know; the command, or the caller of a function, passes them."""


def without_rules(node: Any) -> Any:
    """The same with a class vector wherever ``weight`` names a rule, which the command turns into one."""
    if isinstance(node, list):
        return [without_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    ruled = isinstance(node.get("weight"), str)
    return {key: without_rules(value) for key, value in node.items()} | ({"weight": [1.0] * 5} if ruled else {})


def placed(config: dict[str, Any]) -> dict[str, Any]:
    """The option with the keys that its ``defaults`` put there (``dice@terms.dice``), and without these."""
    targets = [item.split("@")[1].split(".")[0] for item in config.pop("defaults", []) if "@" in item]
    return dict.fromkeys(targets) | config


def targets(node: Any) -> list[dict[str, Any]]:
    """Every mapping with a ``_target_``, at any depth."""
    if isinstance(node, list):
        return [found for item in node for found in targets(item)]
    if not isinstance(node, dict):
        return []
    return ([node] if "_target_" in node else []) + [found for value in node.values() for found in targets(value)]


def composed(name: str, overrides: list[str]) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides)


def check_signature(config: dict[str, Any]) -> None:
    constructor = get_object(config["_target_"])
    parameters = inspect.signature(constructor).parameters
    given = {key for key in config if not key.startswith("_")} - (
        {"when"} if hasattr(constructor, "per_image") else set()
    )
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    assert takes_any or given <= set(parameters), f"{config['_target_']} does not take {given - set(parameters)}"
    required = {
        name
        for name, p in parameters.items()
        if p.default is inspect.Parameter.empty
        and p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    assert required <= given | BY_THE_RUN, f"{config['_target_']} needs {required - given - BY_THE_RUN} as well"


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_groups_fit_their_signatures(path: Path) -> None:
    found = targets(placed(yaml.safe_load(path.read_text()) or {}))
    if path.parent.name not in ("data", "sweep", "experiment") and path.stem not in ("none", "default"):
        assert found, "no _target_"
    for config in found:
        check_signature(config)


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_groups_compose_with_train(path: Path) -> None:
    offered = (CONF / "train.yaml").read_text().split("labels:")[0]
    plus = "" if f"- {path.parent.name}:" in offered else "+"  # box_loss: for a user's own loop
    config = composed("train", [f"{plus}{path.parent.name}={path.stem}"])
    assert set(config) >= {"data", "model", "loss", "optimizer", "scheduler", "augment", "fit", "loader", "seed"}
    for found in targets(OmegaConf.to_container(config, resolve=False)):
        check_signature(found)


@pytest.mark.parametrize("root", ROOTS)
def test_every_command_is_explained(root: str) -> None:
    said = (CONF / f"{root}.yaml").read_text().partition("defaults:")[0]
    assert f"\n#   seg-{root} " in said, "a command line to run, under a sentence: --help shows them"
    composed(root, [])


@pytest.mark.parametrize("path", sorted((CONF / "regularizer").glob("*.yaml")), ids=lambda path: path.stem)
def test_regularizers_fit_a_model(path: Path) -> None:
    """Every key below a kind is an argument of its class, and the defaults have an effect on the default model."""
    config = composed("train", [f"regularizer={path.stem}"])
    model = instantiate(config.model, classes=2)
    if config.regularizer:
        model = instantiate(config.regularizer, model, _convert_="all")
    kinds = {key for key in config.regularizer or () if key != "_target_"}
    found = {type(m).__name__.lower() for m in model.modules() if isinstance(m, Regularizer)}
    assert found == {kind.replace("_", "") for kind in kinds}


@pytest.mark.slow
@pytest.mark.parametrize("group", ["loss", "augment"])
def test_options_build_on_their_own(group: str) -> None:
    for path in sorted((CONF / group).glob("*.yaml")):
        config = OmegaConf.to_container(composed("train", [f"{group}={path.stem}"])[group], resolve=True)
        instantiate(without_rules(config), _convert_="all")


def test_the_folder_is_found_in_a_checkout() -> None:
    assert (conf_dir() / "train.yaml").samefile(CONF / "train.yaml")
