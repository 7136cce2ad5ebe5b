"""The run folder ``runs/<name>/``: its name, its configuration, its environment, its metrics."""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seg.files import finite, make_folder, whole, write_json

CHOICES = ("data", "model", "loss")
"""Groups that stand in every run's name; others stand there when the command line chose them."""

MACHINE = (
    "runs",
    "name",
    "pictures",
    "logger",
    "sweep",
    "seeds",
    "data.render",
    "loader.workers",
    "device.accelerator",
    "device.devices",
)
"""Keys that may change between an interrupted run and its resumption: they say where, not what."""


def run_name(overrides: Sequence[str], choices: Mapping[str, str], seed: int) -> str:
    """A slug of choices and seed, free of ``= , /`` and of time; other settings are told apart by a short hash."""
    groups = {key: value for key, value in choices.items() if not key.startswith("hydra")}
    given = dict(o.lstrip("+~").partition("=")[::2] for o in overrides)
    named = [key for key in groups if key in CHOICES or (key in given and key not in MACHINE)]
    named.sort(key=lambda key: (CHOICES.index(key) if key in CHOICES else len(CHOICES), key))
    words = [groups[key] for key in named if groups[key] not in (None, "null", "folders")]
    rest = sorted(o for o in overrides if (k := o.lstrip("+~").partition("=")[0]) not in groups and not _free(k))
    slug = "-".join([*words, f"seed{seed}"])
    if rest:
        slug += "-" + hashlib.sha256("\n".join(rest).encode()).hexdigest()[:6]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", slug)


def _free(key: str) -> bool:
    return key == "seed" or key.startswith("hydra.") or any(key == m or key.startswith(f"{m}.") for m in MACHINE)


def is_complete(folder: Path, config: dict[str, Any]) -> bool:
    """Whether this run has been trained to its end.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    path = folder / "config.yaml"
    if not (path.exists() and (folder / "last.pt").exists()):
        return False
    before, now = (dict(_leaves(_comparable(c))) for c in (yaml.safe_load(path.read_text()), config))
    changed = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ValueError(
            f"'{folder}' holds a run of another configuration ({shown}{more}); give another name=..., or remove the "
            "folder to start again"
        )
    return (folder / "done.json").exists()


def open_run(folder: Path, config: dict[str, Any], choices: Mapping[str, str]) -> None:
    """Make the folder with ``config.yaml`` and ``environment.json``.

    Raises:
        ValueError: it cannot be written to.
    """
    make_folder(folder, "runs")
    with whole(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_environment(folder / "environment.json", config["seed"], choices)


def _comparable(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        key: _comparable(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{prefix}{key}" not in MACHINE
    }


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(config, Mapping):
        yield prefix.rstrip("."), config
        return
    for key, value in config.items():
        yield from _leaves(value, f"{prefix}{key}.")


def write_environment(path: Path, seed: int, choices: Mapping[str, str]) -> None:
    """Versions, git state, hardware and chosen options: what a later reader needs to explain a difference."""
    import cv2
    import numpy
    import segmentation_models_pytorch
    import torch
    import torchvision

    import seg

    modules = (torch, torchvision, segmentation_models_pytorch, numpy, cv2)
    write_json(
        path,
        {
            "seg": seg.__version__,
            "python": platform.python_version(),
            **{module.__name__: module.__version__ for module in modules},
            "platform": platform.platform(),
            "cpu_count": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "git": _git_state(),
            "command": sys.argv,
            "choices": {group: choice for group, choice in choices.items() if not group.startswith("hydra")},
            "seed": seed,
        },
    )


def _git_state() -> dict[str, Any] | None:
    """Commit of the working directory and whether it has changes; None outside a repository or without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def cut_metrics(path: Path, epoch: int) -> None:
    """Drop the lines of ``metrics.jsonl`` from ``epoch`` on, and a torn last line: they will be written again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["epoch"] >= epoch:
            break
        kept.append(line)
    with whole(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def append_metrics(path: Path, line: dict[str, Any]) -> None:
    """One line an epoch."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite(line), ensure_ascii=False) + "\n")
