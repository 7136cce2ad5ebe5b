"""The scores of a validation: their names, and which way is better."""

from collections.abc import Sequence

BEST_HIGH = ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_iou", "boundary_f1")
BEST_LOW = ("loss", "ece")
MONITORED, BY_CLASS = BEST_HIGH + BEST_LOW, ("iou", "dice")
"""Scores of the validation of a training run: numbers, and those that hold one for each class."""
OF_BOXES = ("ap", "ap50")
"""The scores that task=boxes has besides, higher is better."""


def check_monitor(monitor: str, mode: str, classes: Sequence[str] | None = None, *, with_boxes: bool = False) -> None:
    """Refuse a score that validation does not compute.

    Args:
        classes: names, once they are known.
        with_boxes: boxes are predicted too.
    """
    name, _, of = monitor.partition(".")
    monitored = MONITORED + (OF_BOXES if with_boxes else ())
    known = f"one of {', '.join(monitored)}, or {' or '.join(f'{by}.NAME' for by in BY_CLASS)} of a class"
    if name not in (BY_CLASS if of else monitored):
        raise ValueError(f"fit.monitor: expected {known}, got '{monitor}'; choose a score that is computed")
    if of and classes is not None and of not in classes:
        raise ValueError(f"fit.monitor: expected a class among {', '.join(classes)}, got '{of}'; choose one")
    best = "min" if name in BEST_LOW else "max"
    if mode != best:
        raise ValueError(f"fit.mode: expected {best} with fit.monitor={monitor}, got {mode}; give {best}")
