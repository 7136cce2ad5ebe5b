"""Where a run folder stands: what the same command goes on from."""

import logging
import math
from pathlib import Path
from typing import Any

from seg import runs
from seg.images import Reading
from seg.images.reading import PERCENTILES
from seg.inference import trained
from seg.training.device import precision_here
from seg.training.state import State

log = logging.getLogger(__name__)


def resume(state: State, folder: Path, *, epoch: int, extend: bool = False) -> None:
    """Go on from ``last.pt``, if there is one; from the one saved before, if it is damaged.

    Args:
        epoch: steps of a whole epoch.
        extend: also where the run had ended because no better score came.

    Raises:
        ValueError: it is not what this version can go on from.
    """
    path = folder / runs.LAST
    if path.exists():
        best = f", with init={folder / runs.BEST} to keep the best weights" if (folder / runs.BEST).exists() else ""
        try:
            path, saved = _last_or_previous(folder)
            state.load_state_dict(saved)
            rate = saved["optimizer"]["param_groups"][0]["lr"]
        except Exception as error:  # a damaged file makes nearly anything of torch's optimizers
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"expected the state of this run in '{path}', got another one, or a damaged file ({reason}); remove it "
                f"to train anew, or give another name=...{best}"
            ) from None
        if extend:
            state.position.stopped, state.position.since_best = False, 0
            state.schedule_at(state.position.epoch * epoch + state.position.step)
        log.info(f"resuming {folder} at epoch {state.position.epoch + 1}, step {state.position.step}")
        if not math.isclose(now := state.optimizer.param_groups[0]["lr"], rate, rel_tol=1e-6, abs_tol=1e-12):
            log.info(
                f"the schedule spans more epochs now: the learning rate goes on at {now:.2g} instead of {rate:.2g}, "
                "and the result is not that of one run of as many epochs"
            )
    if state.fabric.is_global_zero and (lost := runs.cut_lines(folder, state.position.epoch)):
        log.warning(
            f"'{folder / runs.EPOCHS}' lacks {len(lost)} of the {state.position.epoch} epochs that are done, such as "
            f"epoch {lost[0] + 1}; the curves and the training time will lack them too"
        )


def _last_or_previous(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return where the newest state lies that can be read, and that state; fail as the last one does if none can."""
    last, previous = folder / runs.LAST, folder / runs.PREVIOUS
    try:
        return last, trained.read(last)
    except ValueError as error:
        if not previous.exists():
            raise
        try:
            saved = trained.read(previous)
        except ValueError:
            raise error from None
        log.warning(f"{error}; going on from {previous}, which was saved before it")
        return previous, saved


def kept_reading(reading: Reading, folder: Path) -> Reading:
    """Return the reading with the percentiles that a run in this folder goes on with, where it asks for them."""
    last = folder / runs.LAST
    if reading.range != PERCENTILES or not last.exists():
        return reading
    try:
        return trained.description_of(last, trained.read(last)).reading
    except ValueError:  # said when the run goes on from it
        return reading


def settled_precision(accelerator: str, folder: Path) -> str:
    """Choose what ``auto`` means: what a run in this folder was begun with, else what is fastest here."""
    here = precision_here(accelerator)
    begun = (folder / runs.LAST).exists() and (folder / runs.CONFIG).exists()
    there = str(runs.read_config(folder / runs.CONFIG).get("device", {}).get("precision", here)) if begun else here
    if there != here:
        log.info(f"precision: {there}, as this run was begun; this machine would take {here}")
    elif there == "bf16-mixed":
        log.info(
            "precision: bf16-mixed, because the hardware computes with bfloat16; device.precision=32-true for float32"
        )
    return there
