"""What people type after ``=``: taken as it is, or the way to type it is said.

python -m pytest tests/commands/test_overrides.py
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import SMALLEST, Script, fails, train_options
from hydra.core.override_parser.overrides_parser import OverridesParser

from seg.commands.cli.overrides import quoted

NAMES = (
    "5", "010", "1e3", "true", "2024-01-05", "20240105", "nan", "a#b", "a&b", "a%b", "ümläut", "x y", "$v", "a;b",
    "it's", 'q"q', "a\\b", "a\\", "a\\'b", "@x", "a:b", "a=b", "[x]y", "x[1]", "{y}", "(v)", "c,d", "!x", "?y", "*w",
    "`x`", "a|b", " lead", "trail ", "tab\tx", "-m", "~z", "名前", "{}_L.png", "{}", "^(.*)_",
)  # fmt: skip


def value_of(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("name", NAMES)
def test_names_and_paths_are_taken_as_typed(name: str) -> None:
    for key in ("checkpoint", "name", "data.train.images", "data.template"):
        (argument,) = quoted([f"{key}={name}"])
        assert value_of(argument) == name, argument


def leaves(node: object, key: str = "") -> Iterator[str]:
    if isinstance(node, dict) and node:
        for name, below in node.items():
            yield from leaves(below, str(name))
    else:
        yield key


def test_all_keys_of_folders_and_templates_are_known() -> None:
    conf = Path(__file__).resolve().parents[2] / "conf"
    keys = {key for path in conf.rglob("*.yaml") for key in leaves(yaml.safe_load(path.read_text()))}
    wanted = {key for key in keys if re.search(r"(^|_)(destination|template|images|masks|instances|source)$", key)}
    assert {"images_destination", "instance_template", "instances", "masks"} <= wanted
    for key in wanted - {"save_masks"}:
        assert value_of(quoted([f"{key}=010"])[0]) == "010", key


def test_plain_ones_stay_as_they_are() -> None:
    """The name of a run is made of what was typed: quotes would give the same command another folder."""
    given = ["data.train.images=a/b-c_1.0", "labels=null", "name='x y'", "optimizer.lr=1e-3", "ignore=[Void,Sky]"]
    assert sorted(quoted(given)) == sorted(given)


def test_lists_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    (lists,) = quoted(["data.train.images=[a b, 5,~/ü,'c,d']"])
    assert value_of(lists) == ["a b", "5", "/home/me/ü", "c,d"]
    assert value_of(quoted(["ignore=[Bäume,Void]"])[0]) == ["Bäume", "Void"]
    assert value_of(quoted(["background=Straße"])[0]) == "Straße"
    assert value_of(quoted(["source=~/x"])[0]) == "/home/me/x"
    (tmp_path / "~").mkdir()
    assert value_of(quoted(["source=~"])[0]) == "~"


def test_sweeps_over_names_stay_sweeps() -> None:
    assert quoted(["-m", "init=a.pt,b.pt", "name=choice(a,b)"]) == ["-m", "init=a.pt,b.pt", "name=choice(a,b)"]
    assert quoted(["init=a.pt,b.pt"]) == ["init='a.pt,b.pt'"]


def test_folders_and_runs_with_such_names(tmp_path: Path, data: Path, script: Script) -> None:
    shutil.copytree(data / "train", tmp_path / "5" / "1e3")
    shutil.copytree(data / "val", tmp_path / "a#b" / "Bäume [1]")
    folders = {f"data.train.{kind}": f"5/1e3/{kind}" for kind in ("images", "masks")}
    folders |= {f"data.val.{kind}": f"a#b/Bäume [1]/{kind}" for kind in ("images", "masks")}
    options = [*train_options(data)[4:], "fit.epochs=1", "name=20240105"]
    result = script("seg-train", *options, **folders)
    assert result.returncode == 0, result.stderr
    assert "is complete" in script("seg-train", *options, **folders).stdout
    shutil.copytree(data / "val/images", tmp_path / "7")
    request = {"checkpoint": "runs/20240105/best.pt", "images": "7"}
    assert script("seg-predict", **request, destination="010").returncode == 0
    assert (tmp_path / "010" / "s100.png").exists()
    assert script("seg-predict", **request, destination="out=[1]").returncode == 0
    assert (tmp_path / "out=[1]" / "s100.png").exists()
    fails(
        script("seg-predict", **request, destination=""), 2, "destination: expected a path or a name after the '=', got"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["scheduler._target_=torch.optim.lr_scheduler.StepLR"],
            "StepLR: expected arguments among optimizer, step_size, gamma, last_epoch, got warmup, floor; .* drop what "
            "belongs to another target: ~scheduler.warmup ~scheduler.floor",
        ),
        (
            ["loss._target_=seg.losses.Dice"],
            "got label_smoothing, reduction; .*: ~loss.label_smoothing ~loss.reduction",
        ),
        (["+loss.gamma=3"], "seg.losses.CrossEntropy: expected arguments among label_smoothing, reduction, got gamma"),
        (
            ["model=unet", "model.decoder_channels=[64,32,16,8,4]"],
            r"unknown key 'model.decoder_channels': .*; \+model.decoder_channels=\[64,32,16,8,4\] adds this one",
        ),
        (["model=unet", "model.decoder_chanels=[64]"], r"did you mean '\+model.decoder_channels'\?"),
        (["optimizer.betas=[0.5,0.9]"], r"\+optimizer.betas=\[0.5,0.9\] adds this one"),
        (["optimizer.lrr=1"], "did you mean 'optimizer.lr'"),
    ],
)
def test_leftover_and_further_options(data: Path, script: Script, words: list[str], message: str) -> None:
    model = () if words[0].startswith("model=") else SMALLEST
    fails(script("seg-train", *train_options(data, model), *words), 2, message)


def test_a_schedule_of_torch(data: Path, script: Script) -> None:
    words = ["scheduler._target_=torch.optim.lr_scheduler.StepLR", "~scheduler.warmup", "~scheduler.floor"]
    result = script("seg-train", *train_options(data), *words, "+scheduler.step_size=3", "fit.epochs=1")
    assert result.returncode == 0, result.stderr
