"""A step whose loss was not finite, kept in a file, and looked into later."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seg.data.batches import Batch
from seg.files.errors import Failed
from seg.models import checkpoint
from seg.training import State

log = logging.getLogger(__name__)

_MARK = "seg-train replay 1"


def save(path: Path, state: State, batches: Sequence[Batch]) -> None:
    """Keep the batches of the step at hand, and the weights before it."""
    kept = {
        "replay": _MARK,
        "model": state.model.state_dict(),
        "objective": state.objective.state_dict(),
        "batches": [batch._asdict() for batch in batches],
        "rank": state.fabric.global_rank,
        "progress": list(state.progress),
    }
    checkpoint.save(path, kept)


def replay(path: str, state: State) -> None:
    """Compute the kept step again, and say where numbers stop being finite.

    Raises:
        ValueError: no such file, or of another model.
        Failed: the loss or the gradient is not finite again.
    """
    kept = checkpoint.load(path)
    if kept.get("replay") != _MARK:
        raise ValueError(
            f"replay: expected a file that a run left when its loss was not finite, got '{path}'; give one"
        )
    try:
        state.model.load_state_dict(kept["model"])
        state.objective.load_state_dict(kept["objective"])
    except RuntimeError as error:
        raise ValueError(
            f"replay: expected the step of this model and loss in '{path}', got another one's "
            f"({' '.join(str(error).split())[:120]}); give the options of that run"
        ) from None
    state.train(frozen=False, norm=False)
    done, total = kept["progress"]
    state.begin_step(done, total, kept["rank"])
    troubles = []
    for fields in kept["batches"]:
        troubles += _look(state, Batch(**fields))
    if not troubles:
        log.info("finite: this machine, precision or configuration does not show it; compare device.precision")
        return
    raise Failed(f"not finite again: {'; '.join(troubles)}")


def _look(state: State, batch: Batch) -> list[str]:
    """List what is not finite in a batch, in the order in which it is computed."""
    batch = state.fabric.to_device(batch)
    found = [] if torch.isfinite(batch.images).all() else ["the images are not finite"]
    hooks = [
        module.register_forward_hook(_watching(name, found)) for name, module in state.model.named_modules() if name
    ]
    try:
        losses = state.objective(state.wrapped, batch)
        state.optimizer.zero_grad()
        state.fabric.backward(losses.total)
    finally:
        for hook in hooks:
            hook.remove()
    found = found[:1]  # everything after the first follows from it
    for name, value in {"loss": losses.total.detach(), **losses.terms}.items():
        if not torch.isfinite(value):
            found.append(f"{name} is {float(value)}")
    bad = [
        name for name, p in state.model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    if bad:
        found.append(f"the gradient is not finite in {len(bad)} parameters, such as {bad[-1]}")
    return found


def _watching(name: str, found: list[str]) -> Any:
    def watch(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or torch.isfinite(output).all():
            return
        largest = max(
            (float(i.detach().abs().max()) for i in inputs if isinstance(i, Tensor) and i.numel()), default=0.0
        )
        found.append(f"the output of {name} is not finite; the largest number in its input is {largest:.3g}")

    return watch
