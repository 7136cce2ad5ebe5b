"""A training request becomes objects once, and nothing but the commands sees a configuration.

python -m pytest tests/commands/test_request.py
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import train_options
from hydra import compose, initialize_config_dir
from hydra._internal.instantiate import _instantiate2

import seg
from seg.commands.build import build, read
from seg.commands.cli import plain
from seg.commands.cli.help import conf_dir
from seg.commands.cli.targets import Deferred
from seg.commands.request import request
from seg.training.device import make_fabric

PACKAGE = Path(seg.__file__).parent


def targets(node: Any) -> Iterator[str]:
    """The target of every node that has one."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each target was built from a node."""
    counts: Counter[str] = Counter()
    call, init = _instantiate2._call_target, Deferred.__init__

    def counted(target: Any, *args: Any, **kwargs: Any) -> Any:
        counts[f"{target.__module__}.{target.__qualname__}"] += 1
        return call(target, *args, **kwargs)

    def deferred(self: Deferred, config: Any, group: str) -> None:
        init(self, config, group)
        counts[f"{self.make.func.__module__}.{self.make.func.__qualname__}"] += 1

    monkeypatch.setattr(_instantiate2, "_call_target", counted)
    monkeypatch.setattr(Deferred, "__init__", deferred)
    return counts


@pytest.mark.parametrize(
    "words",
    [
        ["loss=boundary", "augment=strong", "regularizer=all", "average=ema"],
        ["loss=weighted_cross_entropy", "inference=sliding_tta", "scheduler=plateau"],
        ["task=boxes", "weighting=uncertainty", "loss=ce_dice"],
    ],
    ids=["composite", "rule", "task"],
)
def test_every_node_is_built_once(data: Path, tmp_path: Path, built: Counter[str], words: list[str]) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        options = [*train_options(data), "logger=none", f"runs={tmp_path}", "name=a", *words]
        config = plain(compose("train", [*options, "device.precision=32-true"]))
    wanted = Counter(name.rpartition(".")[2] for name in targets(config))
    asked = request(config, {})
    assert not (tmp_path / "a").exists()
    build(asked, read(asked), make_fabric(asked.device))
    assert Counter({name: n for target, n in built.items() for name in [target.rpartition(".")[2]]}) == wanted


@pytest.mark.parametrize(
    ("group", "given", "message"),
    [
        ("average", {"decay": 0.99}, r"got \{.*0.99\}; drop what belongs to another choice: ~average.decay; or"),
        ("regularizer", {"p": 0.1, "q": 1}, r"drop .* choice: ~regularizer.p ~regularizer.q; .* conf/regularizer$"),
        ("augment", {"crop": {"size": [64, 64]}}, r"~augment.crop; or correct its file in conf/augment$"),
        ("loss", "dice", r"got 'dice'; give loss=dice, or, in a file, '- override /loss: dice' under its defaults$"),
        ("model", "unet", r"'- override /model: unet' under its defaults$"),
        ("scheduler", 3, r"got 3; correct its file in conf/scheduler$"),
    ],
)  # fmt: skip
def test_a_group_says_what_it_builds(group: str, given: Any, message: str, data: Path, tmp_path: Path) -> None:
    """Such as ``experiment=camvid_scratch average=none``, of which the decay stays, or ``loss: dice`` in a recipe."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = plain(compose("train", [*train_options(data), "logger=none", f"runs={tmp_path}", "name=a"]))
    with pytest.raises(ValueError, match=f"^{group}: expected a _target_ and its arguments, .*{message}"):
        request(config | {group: given}, {})
    assert not (tmp_path / "a").exists()


SEE_CONFIGURATIONS = {
    "convert/weights.py",  # makes class vectors of rules, wherever they stand
    "inference/trained.py",  # keeps it in the checkpoint, for the record
    "models/restoring.py",  # rebuilds a model of what a checkpoint says
    "regularizers/describe.py",
    "runs/card.py",  # tells it to people
    "runs/identity.py",  # tells runs apart by it
    "synthetic/rendering.py",  # reads what older versions noted
}


def test_nothing_below_the_commands_sees_a_configuration() -> None:
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.Constant) and node.value == "_target_") or (
                isinstance(node, ast.arg) and node.arg == "cfg"
            ):
                seen.add(name)
    assert {name for name in seen if not name.startswith("commands/")} <= SEE_CONFIGURATIONS
