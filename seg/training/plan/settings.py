"""What the data and a candidate settle about a training, before anything is measured."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from seg.training.plan.candidates import Candidate
from seg.training.plan.facts import Facts

GIANT = 4  # times the pixels of the largest window: larger images are predicted in windows
THIN = 8.0  # pixels across
RARE = 0.02  # of the pixels


@dataclass(frozen=True)
class Budget:
    """What a training may take, and what it begins with.

    Attributes:
        minutes: of all seeds together.
        started: seconds that a training needs before its first step can be prepared.
        memory: bytes of the process, or of the GPU; None: unknown, and not looked at.
        encoder_name: of all models; None: each has its own.
        encoder_weights: file with its first weights; None: at random.
        precision: that is measured.
        workers: loading processes that are measured.
        machine: in words.
        accelerator: that is measured, where one was asked for.
    """

    minutes: float
    started: float
    memory: int | None
    encoder_name: str | None
    encoder_weights: str | None
    precision: str
    workers: int
    machine: str
    accelerator: str = "auto"

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def within(self, minutes: float, memory: int | None) -> Self:
        """Return the same for other minutes, and for other bytes where they are given."""
        return replace(self, minutes=minutes, memory=memory if memory is not None else self.memory)


def groups_of(facts: Facts, candidate: Candidate, budget: Budget) -> dict[str, str]:
    """Return the choices of groups."""
    return {
        "model": candidate.model,
        "loss": "exp_log",
        "scheduler": "one_cycle" if budget.encoder_weights is None else "poly",
        "average": "ema",
        "inference": _inference(facts, candidate),
    }


def _inference(facts: Facts, candidate: Candidate) -> str:
    """Return the choice of the group ``inference``: windows of giants, and views of the scale that is trained."""
    if candidate.scale == 1:
        return "sliding" if in_windows(facts) else "whole"
    return "sliding_tta" if in_windows(facts) else "tta"


def options_of(facts: Facts, candidate: Candidate, budget: Budget) -> dict[str, Any]:
    """Return the options that do not depend on how many steps there are."""
    options: dict[str, Any] = {
        "loader.batch": candidate.batch,
        "loader.workers": budget.workers,
        "augment.crop.size": list(candidate.crop),
        "augment.crop.scale": [0.75 * candidate.scale, 1.5 * candidate.scale],
        "augment.flip.vertical": not facts.upright,
        "optimizer.lr": 4.0e-3 if budget.encoder_weights is None else 3.0e-3,
        "device.precision": budget.precision,
    }
    if budget.accelerator != "auto":
        options["device.accelerator"] = budget.accelerator
    if budget.encoder_name is not None:
        options["model.encoder_name"] = budget.encoder_name
    if has_rare(facts):
        options["augment.crop.wanted"] = 0.33
    if candidate.accumulate > 1:
        options["fit.accumulate"] = candidate.accumulate
    if budget.encoder_weights is not None:
        options |= {"model.encoder_weights": budget.encoder_weights, "rates.encoder": 0.2}
        options["rates.frozen"] = 0.5
    return options | _views(facts, candidate)


def _views(facts: Facts, candidate: Candidate) -> dict[str, Any]:
    """Return the options of the group ``inference``."""
    windows = {"window": round(max(candidate.crop) / candidate.scale)} if in_windows(facts) else {}
    views: dict[str, Any] = {"flips": [], "scales": [candidate.scale]} if candidate.scale != 1 else {}
    if windows and views:
        return {"inference.sliding.window": windows["window"]} | {f"inference.tta.{k}": v for k, v in views.items()}
    return {f"inference.{key}": value for key, value in (windows | views).items()}


def has_rare(facts: Facts) -> bool:
    """Tell whether there are classes that few windows would show."""
    return facts.thinnest < THIN or facts.shares[facts.rarest] < RARE


def in_windows(facts: Facts) -> bool:
    """Tell whether the validation images are so large that they are predicted in windows."""
    height, width = facts.largest
    return height * width > GIANT * Candidate.MOST
