"""How much memory a run took at most."""

from pathlib import Path

import torch

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak(device: torch.device) -> None:
    """Begin to measure: of several runs in one process, each is to have a peak of its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        try:
            _FORGET.write_text("5")
        except OSError:  # not Linux, or not allowed
            return


def peak_memory(device: torch.device) -> int | None:
    """Bytes since then: on a GPU what torch took of it, on a CPU what the training process held; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return None
