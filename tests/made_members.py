"""Checkpoints that differ in their weights, without training: those of the golden files, each with noise of its own."""

from pathlib import Path
from typing import Any

import torch

from seg.inference import trained

GOLDEN = Path(__file__).parent / "golden"
PLAIN, BOXES = GOLDEN / "format2" / "best.pt", GOLDEN / "format4" / "best.pt"
"""Without a further head, and with one for boxes."""


def write_members(folder: Path, number: int, source: Path = PLAIN, **changes: Any) -> list[Path]:
    """Write ``m0.pt``, ``m1.pt``, ...; the last one with other fields."""
    files = []
    for seed in range(number):
        state = trained.read(source)
        noise = torch.Generator().manual_seed(seed)
        for name, weight in state["model"].items():
            if weight.is_floating_point() and weight.numel() > 1 and "running" not in name:
                weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=noise)
        if seed == number - 1:
            state |= changes
        files.append(folder / f"m{seed}.pt")
        torch.save(state, files[-1])
    return files
