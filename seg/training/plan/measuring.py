"""What each candidate takes on this machine, tried one after the other."""

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from seg.data.cache import free_memory
from seg.inference import memory_for, out_of_memory
from seg.runs.environment import processor
from seg.training.device import forget_peak, peak_memory
from seg.training.plan.candidates import Candidate, Measured
from seg.training.rehearsal import rehearse
from seg.training.run import Run

log = logging.getLogger(__name__)

_SPARE = 0.8  # share of the free memory that is taken
_PARTS = 3.5  # times the seconds in which steps are measured, a rehearsal takes with its validations


def measure(
    build: Callable[[Candidate], Run], groups: Sequence[Sequence[Candidate]], seconds: float, limit: int | None
) -> list[list[Measured]]:
    """Measure candidates, from small to large within a group.

    Args:
        build: makes a run of a candidate, which is spoilt.
        groups: see `seg.training.plan.candidates`.
        seconds: for all of them together; each gets a few steps at least.
        limit: bytes that none may take; a larger window is computed in smaller batches then.

    Raises:
        Failed: not even the smallest candidate fits into the memory that there is.
    """
    each = seconds / sum(map(len, groups)) / _PARTS
    found = []
    for group in groups:
        measured: list[Measured] = []
        for candidate in group:
            smaller = candidate
            if measured and limit is not None:
                smaller = _in_pieces(candidate, measured[0].most_images(candidate, limit))
            measured.append(_try(build, smaller, each, may_shrink=bool(measured)))
            log.info(_told(measured[-1]))
        found.append(measured)
    return found


def free_bytes(device: torch.device) -> int | None:
    """Return what a training may take of the memory: the most of what is free; None where that cannot be known."""
    if device.type == "cuda":
        return int(_SPARE * torch.cuda.mem_get_info(device)[0])
    now = peak_memory(device)
    return None if now is None or not (free := free_memory()) else now + int(_SPARE * free)


def machine(device: torch.device) -> str:
    """Say in words on what is measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {processor() or 'an unknown processor'}"


def _try(build: Callable[[Candidate], Run], candidate: Candidate, seconds: float, *, may_shrink: bool) -> Measured:
    """Measure a candidate, in smaller batches if memory runs out."""
    try:
        with memory_for("give memory=, or a smaller encoder"):
            return _measure(build, candidate, seconds)
    except Exception as error:
        cause = error.__context__ or error
        if not (may_shrink and out_of_memory(cause) and candidate.batch > 1):
            raise
    return _try(build, _in_pieces(candidate, candidate.batch // 2), seconds, may_shrink=True)


def _measure(build: Callable[[Candidate], Run], candidate: Candidate, seconds: float) -> Measured:
    gc.collect()
    run = build(candidate)
    device = run.state.fabric.device
    forget_peak(device)
    before = peak_memory(device)
    costs = rehearse(run, seconds)
    return Measured(candidate, costs, len(run.loaders.batches), peak_memory(device), before)


def _in_pieces(candidate: Candidate, most: int) -> Candidate:
    """Return a candidate of as many images a step, of which no more than so many are computed at once."""
    batch = max(
        (size for size in range(1, candidate.batch + 1) if size <= most and candidate.images % size == 0), default=1
    )
    return replace(candidate, batch=batch, accumulate=candidate.images // batch)


def _told(measured: Measured) -> str:
    candidate, costs = measured.candidate, measured.costs
    height, width = candidate.crop
    memory = "" if measured.memory is None else f", {measured.memory / 1e9:.2g} GB"
    return (
        f"{candidate.model}, {candidate.images} windows of {width}x{height}: {costs.step:.2g} s a step, "
        f"{costs.validation:.2g} s a validation{memory}"
    )
