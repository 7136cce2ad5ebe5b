"""What a later reader needs to explain a difference: versions, git state, hardware, chosen options."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seg


def environment(
    seed: int,
    choices: Mapping[str, str],
    precision: str,
    *,
    libraries: Mapping[str, str],
    threads: int,
    gpus: Sequence[str],
) -> dict[str, Any]:
    """Return the plain data of ``environment.json``.

    Args:
        choices: the option of each group.
        precision: that the run computes in.
        libraries: their versions by name.
        threads: that torch computes with.
        gpus: names of those in the machine.
    """
    return {
        "seg": seg.__version__,
        "python": platform.python_version(),
        **libraries,
        "platform": platform.platform(),
        "cpu": processor(),
        "cpu_count": os.cpu_count(),
        "torch_threads": threads,
        "precision": precision,
        "gpus": list(gpus),
        "git": _git_state(),
        "command": sys.argv,
        "choices": {group: choice for group, choice in choices.items() if not group.startswith("hydra")},
        "seed": seed,
    }


def processor() -> str:
    """Return what the processor is called; nothing where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _git_state() -> dict[str, Any] | None:
    """Return commit and changes of the working directory; None outside a repository or without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
