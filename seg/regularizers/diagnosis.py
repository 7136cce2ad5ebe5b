"""Which regularizers shift the variances of batch normalisations: as numbers, sentences, a table and a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from seg.files import whole, write_csv, write_json
from seg.regularizers.describe import describe
from seg.regularizers.variance import before_norms, variance_shift
from seg.report import tables

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]

_ON_BRANCHES = ("(StochasticDepth)", "(DropPath)", "(drop connect)")
"""What belongs on branches, where all but the last stand before normalisations."""


@dataclass(frozen=True)
class Diagnosis:
    """What regularizers do to the statistics of batch normalisation.

    Attributes:
        regularizers: a line each, see `seg.regularizers.describe`.
        images: number of images that were measured with.
        threshold: the factor beyond which a shift is named.
        norms: a row for each batch normalisation: ratios of variances, the regularizer before it, and whether it is
            named.
        offenders: each regularizer before a normalisation whose variance it shifts, the worst first.
    """

    regularizers: list[str]
    images: int
    threshold: float
    norms: list[Row]
    offenders: list[Row]

    @property
    def verdict(self) -> list[str]:
        """Sentences: what each offender shifts, and what would shift less."""
        count, named = len(self.norms), sum(row["named"] for row in self.norms)
        if not named:
            return [f"no variance of {count} batch normalisations is shifted by more than {self.threshold}x"]
        return [
            f"{row['regularizer']} stands before batch normalisation: variance at {row['norm']} shifted "
            f"{row['factor']:.2f}x (remembered / real {row['shift']:.2f}, control {row['control']:.2f}), "
            f"{row['norms']} of {count} shifted; "
            + ("a lower rate" if row["regularizer"].endswith(_ON_BRANCHES) else "the site 'decoder'")
            + " would shift less"
            for row in self.offenders
        ] or [f"{named} of {count} batch normalisations are shifted, and no regularizer stands before them"]

    def table(self) -> "Table":
        """Return the ratios of all normalisations, those that are named in bold."""
        keys = [key for key in ("shift", "control", "factor", "stored") if key in self.norms[0]]
        title = f"remembered / real variance of batch normalisations, bold: factor beyond {self.threshold}"
        table = tables.table(title, "batch normalisation", keys)
        table.columns[0].overflow = "fold"
        table.add_column("regularizer before it", overflow="fold")
        for row in self.norms:
            style = "bold" if row["named"] else ""
            table.add_row(row["norm"], *(f"{row[key]:.3f}" for key in keys), row["after"], style=style)
        return table

    def write(self, folder: Path) -> None:
        """Write ``diagnose.csv``, ``diagnose.png`` and ``diagnose.json``."""
        columns = list(self.norms[0])
        write_csv(folder / "diagnose.csv", columns, ([row[key] for key in columns] for row in self.norms))
        _plot(folder / "diagnose.png", self.norms, self.offenders)
        write_json(folder / "diagnose.json", vars(self))


def diagnose(
    model: nn.Module, batches: Sequence[Tensor], *, threshold: float = 1.2, with_stored: bool = False
) -> Diagnosis:
    """Measure how regularizers shift the variances, see `seg.regularizers.variance_shift`.

    Args:
        batches: normalised images.
        threshold: name what is shifted by more than this factor, up or down.
        with_stored: compare the running variances that the model has now, too.

    Raises:
        ValueError: see `seg.regularizers.variance_shift`.
    """
    shift = variance_shift(model, batches)
    control = variance_shift(model, batches, regularized=False)
    stored = variance_shift(model, batches, estimate=False) if with_stored else {}
    before = before_norms(model)
    rows: list[Row] = []
    for name in shift:
        row = {"norm": name, "shift": shift[name], "control": control[name], "factor": shift[name] / control[name]}
        more = {"stored": stored[name]} if with_stored else {}
        rows.append({**row, **more, "after": before.get(name, ""), "named": _distance(row) > threshold})
    return Diagnosis(describe(model).splitlines(), sum(map(len, batches)), threshold, rows, _offenders(rows))


def _distance(row: Row) -> float:
    """Return the factor by which regularizers move the ratio of variances, up or down."""
    factor = float(row["factor"])
    return max(factor, 1 / factor)


def _offenders(rows: Sequence[Row]) -> list[Row]:
    behind: dict[str, list[Row]] = {}
    for row in rows:
        if row["named"] and row["after"]:
            behind.setdefault(row["after"], []).append(row)
    offenders = []
    for regularizer, shifted in behind.items():
        worst = max(shifted, key=_distance)
        place = {key: worst[key] for key in ("norm", "shift", "control", "factor")}
        offenders.append({"regularizer": regularizer, **place, "norms": len(shifted)})
    return sorted(offenders, key=_distance, reverse=True)


def _plot(path: Path, rows: Sequence[Row], offenders: Sequence[Row]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(1, color="0.7", linewidth=1)
    for key, label in (("stored", "as stored"), ("control", "control: without noise"), ("shift", "with regularizers")):
        if key in rows[0]:
            axes.plot(range(1, len(rows) + 1), [row[key] for row in rows], marker=".", label=label)
    for worst in offenders[:1]:
        place = [row["norm"] for row in rows].index(worst["norm"]) + 1
        axes.plot(place, worst["shift"], "o", color="black", fillstyle="none", markersize=12)
        axes.set_title(f"circled: {worst['norm']} behind {worst['regularizer']}", fontsize="medium")
    axes.set(xlabel="batch normalisation, in order", ylabel="remembered / real variance", yscale="log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.legend()
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
