"""Numbers of the training loop."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seg.files import checks


@dataclass(frozen=True)
class FitOptions:
    """Numbers of the training loop.

    Args:
        epochs: passes over the training images.
        steps: optimizer steps of the whole run, which then decide instead of ``epochs``.
        minutes: for the record: the caller has chosen ``steps`` that fit into them, see `seg.training.rehearsal`.
        accumulate: batches whose gradients make one step, see `seg.training.train_step`.
        clip: greatest norm of the gradient, over all parameters; None = not clipped.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        monitor: the validation score that says which weights are best; dots lead into scores by class, ``iou.road``.
        mode: whether the ``max`` or ``min`` of it is best.
        patience: validations without a better score after which the run ends; None = it does not.
        keep: number of the best states to keep.
        save_every: steps from one save to the next within an epoch; None = saved after every epoch.
        skip: steps that may be left out because their loss or gradient is not finite.
        freeze: epochs at the start in which the encoder is not trained.
        freeze_norm: batch normalisation of a frozen encoder uses its running statistics, and leaves them as they are.
        probabilities: kept of the validation images after the last epoch, as ``uint8`` or ``float16``; None = none.
        overfit: for the record: the caller cut the training images to so many, and validates on them.
    """

    epochs: int = 40
    steps: int | None = None
    minutes: float | None = None
    accumulate: int = 1
    clip: float | None = 1.0
    validate_every: int = 1
    monitor: str = "miou"
    mode: Literal["max", "min"] = "max"
    patience: int | None = None
    keep: int = 1
    save_every: int | None = None
    skip: int = 0
    freeze: int = 0
    freeze_norm: bool = True
    probabilities: Literal["uint8", "float16"] | None = None
    overfit: int | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 1, "accumulate": 1, "validate_every": 1, "keep": 1, "skip": 0, "freeze": 0}
        for name in ("steps", "patience", "save_every", "overfit"):
            if getattr(self, name) is not None:
                least[name] = 1
        for name, smallest in least.items():
            checks.whole(f"fit.{name}", getattr(self, name), smallest)
        if self.minutes is not None:
            checks.number("fit.minutes", self.minutes, above=0, what="minutes", remedy="give such as 20")
        if self.clip is not None:
            checks.number("fit.clip", self.clip, above=0, what="a norm", remedy="null does not clip")
        checks.choice("fit.probabilities", self.probabilities, (None, "uint8", "float16"))
        checks.choice("fit.mode", self.mode, ("max", "min"))
        checks.text("fit.monitor", self.monitor)
        checks.flag("fit.freeze_norm", self.freeze_norm)
        if self.patience is not None and self.validate_every > self.epochs and self.steps is self.minutes is None:
            raise ValueError(
                f"fit.patience: expected validations to wait for, got one every {self.validate_every} of "
                f"{self.epochs} epochs; lower fit.validate_every"
            )

    def length(self, epoch: int) -> tuple[int, int]:
        """Return epochs and steps of a run whose epochs have ``epoch`` steps; the last epoch may be cut short."""
        steps = self.epochs * epoch if self.steps is None else self.steps
        return -(-steps // epoch), steps

    def goodness(self, scores: Mapping[str, Any]) -> float:
        """Return the monitored score, negated where lower is better.

        Raises:
            ValueError: it was not computed.
        """
        name, _, rest = self.monitor.partition(".")
        value = scores.get(name)
        if rest and isinstance(value, Mapping):
            value = value.get(rest)
        if not isinstance(value, int | float):
            raise ValueError(
                f"fit.monitor: expected a score among {', '.join(scores)}, got '{self.monitor}'; choose one, or one of "
                "a class, such as iou.NAME"
            )
        return float(value) if self.mode == "max" else -float(value)


def check_length(fit: Mapping[str, Any], words: Iterable[str]) -> None:
    """Refuse minutes beside another length: steps from anywhere, epochs that a command line names.

    Args:
        fit: the options.
        words: of the command line.

    Raises:
        ValueError: there are two lengths.
    """
    named = {word.lstrip("+").partition("=")[0] for word in words}
    if fit["minutes"] is None or (fit["steps"] is None and "fit.epochs" not in named):
        return
    other, how = ("epochs", "leave out fit.epochs") if fit["steps"] is None else ("steps", "give fit.steps=null")
    raise ValueError(
        f"fit.minutes: expected it without fit.{other}, got {fit['minutes']!r} beside {fit[other]!r}; {how}, or give "
        "fit.minutes=null"
    )
