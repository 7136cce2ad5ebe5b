"""What a later reader needs to explain a difference: versions, git state, hardware, chosen options."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def environment(seed: int, choices: Mapping[str, str], precision: str) -> dict[str, Any]:
    """Plain data for ``environment.json``; ``precision`` is the one that the run computes in."""
    import cv2
    import numpy
    import segmentation_models_pytorch
    import torch
    import torchvision

    import seg

    modules = (torch, torchvision, segmentation_models_pytorch, numpy, cv2)
    return {
        "seg": seg.__version__,
        "python": platform.python_version(),
        **{module.__name__: module.__version__ for module in modules},
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "precision": precision,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "git": _git_state(),
        "command": sys.argv,
        "choices": {group: choice for group, choice in choices.items() if not group.startswith("hydra")},
        "seed": seed,
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the working directory and whether it has changes; None outside a repository or without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
