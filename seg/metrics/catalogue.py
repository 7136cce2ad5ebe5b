"""What a metric is called, which way is better, and in which unit: what monitors, tables, cards and reports go by.

A meter has a `Metric` for each of its scores. A run writes them into its ``metrics.json``, so that whoever compares
runs needs neither torch nor the meters; `KNOWN` are ours, for the runs of versions that did not write them. Needs no
torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seg.files import checks

Better = Literal["high", "low"]
When = Literal["epoch", "end"]

SHARE, PIXELS, NUMBER = "share", "pixels", "number"
KEY = "metrics"
"""Of ``metrics.json``, where the catalogue stands."""

_ROPES = {SHARE: 0.005, PIXELS: 0.5}


@dataclass(frozen=True)
class Metric:
    """A score by its name.

    Attributes:
        name: in ``metrics.json``, and with ``val_`` before it in ``metrics.jsonl``; ``NAME_i`` is the mean over images
            of what ``per_image_metrics.csv`` holds as ``NAME``, where ``NAME`` is another number.
        title: for people.
        better: ``high`` or ``low``.
        unit: ``share`` is shown in percent, and differences in points; ``pixels``, or any other word, as it is;
            ``number`` is none.
        when: ``epoch``: computed at every validation; ``end``: after the last epoch alone.
        by_class: it holds a value for each class, by name.

    Raises:
        ValueError: a name or a title that is none, or another direction.
    """

    name: str
    title: str
    better: Better = "high"
    unit: str = SHARE
    when: When = "epoch"
    by_class: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.replace("@", "_").partition(".")[0].isidentifier():
            raise ValueError(f"metric: expected a name such as region_error, got {self.name!r}; give another")
        for key in ("title", "unit"):
            if not isinstance(text := getattr(self, key), str) or not text.strip():
                raise ValueError(f"metric {self.name}: expected a {key}, got {text!r}; give one")
        checks.choice(f"metric {self.name}: better", self.better, ("high", "low"))
        checks.choice(f"metric {self.name}: when", self.when, ("epoch", "end"))
        checks.flag(f"metric {self.name}: by_class", self.by_class)

    @property
    def lower(self) -> bool:
        """Less is better."""
        return self.better == "low"

    @property
    def sign(self) -> int:
        """What makes more of it better: 1, or -1."""
        return -1 if self.lower else 1

    @property
    def scale(self) -> int:
        """What a value is multiplied by where it is shown."""
        return 100 if self.unit == SHARE else 1

    @property
    def symbol(self) -> str:
        """What stands behind a value."""
        return {SHARE: "%", PIXELS: "px", NUMBER: ""}.get(self.unit, self.unit)

    @property
    def differences(self) -> str:
        """What differences are counted in."""
        return {SHARE: "points", NUMBER: "units"}.get(self.unit, self.unit)

    @property
    def rope(self) -> float:
        """The difference that does not matter, where no other is asked for."""
        return _ROPES.get(self.unit, 0.0)

    def number(self, value: float) -> str:
        """Format a value, or a difference of values, without its unit: 1.8 for a share of 0.018."""
        digits = 1 if self.unit == SHARE else 2
        return f"{round(self.scale * value, digits) + 0:.{digits}f}"  # not -0.0

    def shown(self, value: object) -> str:
        """Format a value with its unit; a dash for what is not defined."""
        if not checks.is_number(value):
            return "-"
        return f"{self.number(float(value))} {self.symbol}".rstrip()


def described(metrics: Iterable[Metric]) -> dict[str, Any]:
    """Return the catalogue that ``metrics.json`` holds: the names are its keys."""
    return {metric.name: {key: value for key, value in asdict(metric).items() if key != "name"} for metric in metrics}


def catalogue_of(data: Mapping[str, Any]) -> dict[str, Metric]:
    """Read the catalogue of a ``metrics.json``; `KNOWN` where an older version wrote none.

    Raises:
        ValueError: it is none.
    """
    if (found := data.get(KEY)) is None:
        return KNOWN
    try:
        return {name: Metric(name, **about) for name, about in found.items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"expected a catalogue of metrics, got another thing ({error}); it was edited") from None


def of_images(name: str, catalogue: Mapping[str, Metric]) -> Metric | None:
    """Describe the mean over images of the values that are called so; None if nothing is known of them.

    A tolerance behind it, as in ``boundary_f1@3``, leaves the metric what it is.
    """
    found = catalogue.get(f"{name}_i") or catalogue.get(name)
    if found is None and (base := catalogue.get(name.partition("@")[0])) is not None:
        return Metric(name, name, base.better, base.unit, base.when)
    return None if found is None else Metric(name, found.title, found.better, found.unit, found.when)


def direction(monitor: str, catalogue: Mapping[str, Metric]) -> Literal["max", "min"]:
    """Say whether the highest or the lowest value of a monitored score is the best; max of one that is not known."""
    found = catalogue.get(monitor.partition(".")[0])
    return "min" if found is not None and found.lower else "max"


def check_monitor(
    monitor: str, mode: str, catalogue: Mapping[str, Metric], classes: Sequence[str] | None = None
) -> None:
    """Refuse a score that the validations of a run do not compute.

    Args:
        catalogue: what the run computes.
        classes: names, once they are known.

    Raises:
        ValueError: it is none of them, or the mode is not its direction.
    """
    known = [metric for metric in catalogue.values() if metric.when == "epoch"]
    single, by_class = ([m.name for m in known if m.by_class is each] for each in (False, True))
    name, _, of = monitor.partition(".")
    if name not in (by_class if of else single):
        more = f", or {' or '.join(f'{each}.NAME' for each in by_class)} of a class" if by_class else ""
        raise ValueError(
            f"fit.monitor: expected one of {', '.join(single)}{more}, got '{monitor}'; choose a score that is computed"
        )
    if of and classes is not None and of not in classes:
        raise ValueError(f"fit.monitor: expected a class among {', '.join(classes)}, got '{of}'; choose one")
    if mode != (best := direction(monitor, catalogue)):
        raise ValueError(f"fit.mode: expected {best} with fit.monitor={monitor}, got {mode}; give {best}")


LOSS = (Metric("loss", "loss", "low", NUMBER),)
PIXEL_COUNTS = (
    Metric("miou", "mIoU"),
    Metric("mdice", "mean Dice"),
    Metric("accuracy", "pixel accuracy"),
    Metric("iou", "IoU", by_class=True),
    Metric("dice", "Dice", by_class=True),
    Metric("miou_i", "mIoU by image"),
    Metric("miou_c", "mIoU by class"),
)
CALIBRATION = (
    Metric("ece", "calibration error over all pixels", "low"),
    Metric("ece_i", "calibration error by image", "low"),
)
TEMPERED = (
    Metric("ece_tempered", "calibration error at the fitted temperature, over all pixels", "low"),
    Metric("ece_tempered_i", "calibration error at the fitted temperature, by image", "low"),
)
BOUNDARIES = (
    Metric("boundary_iou", "boundary IoU"),
    Metric("boundary_iou_i", "boundary IoU by image"),
    Metric("boundary_iou_c", "boundary IoU by class"),
    Metric("boundary_f1", "boundary F1"),
)
SURFACE = (Metric("nsd", "surface Dice"), Metric("hd95", "95th percentile of the Hausdorff distance", "low", PIXELS))
COMPONENTS = (
    Metric("size_iou", "IoU of components, by size", when="end", by_class=True),
    Metric("size_recall", "recall of components, by size", when="end", by_class=True),
)
ERRORS = (
    Metric("error_missed", "pixels of missed components", "low", when="end"),
    Metric("error_boundary", "pixels that are wrong at boundaries", "low", when="end"),
    Metric("error_extent", "pixels that are wrong in extent", "low", when="end"),
)
BOXES = (
    Metric("ap", "AP of boxes"),
    Metric("ap50", "AP of boxes at IoU 0.5"),
    Metric("ap_by_class", "AP of boxes by class", by_class=True),
)
DISAGREEMENT = (Metric("disagreement", "disagreement of the members", "low"),)

KNOWN = {
    metric.name: metric
    for metrics in (
        LOSS,
        PIXEL_COUNTS,
        CALIBRATION,
        TEMPERED,
        BOUNDARIES,
        SURFACE,
        COMPONENTS,
        ERRORS,
        BOXES,
        DISAGREEMENT,
    )
    for metric in metrics
}
"""The catalogue of our own metrics, by name."""
