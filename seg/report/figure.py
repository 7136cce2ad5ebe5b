"""Figures of a report: how they are saved, and what a level is called and looks like in all of them.

Names of levels, classes and values are data: nothing in them is taken for a formula, a hidden label or a control.
"""

import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg.files import whole

_LONGEST, _END = 32, 16  # letters of a name in a figure, and how many of them are its last ones
_COLORS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "gray", "olive", "cyan")
_LINES = ("-", "--", ":", "-.", (0, (8, 3)), (0, (4, 1, 1, 1, 1, 1)))
_MARKERS = "osD^vP"  # as many as lines: dots without a line are told apart, too
_ROWS = 40  # of a legend, before it has another column
_MARGIN = 0.15  # inches between legend and edge
_WIDER = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Hiragino Sans GB",
          "Microsoft YaHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS")  # fmt: skip
"""Fonts, some of which some machines have, with letters that matplotlib's own lacks."""


@dataclass(frozen=True)
class Style:
    """What one level looks like in every figure of a report.

    Attributes:
        label: its name, as a figure shows it.
        color, line, marker: as matplotlib takes them.
    """

    label: str
    color: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each name: the same for the same names, in whatever order they come."""
    styles = {}
    for place, (name, label) in enumerate(sorted(labels(names).items())):
        again, color = divmod(place, len(_COLORS))
        style = again % len(_LINES)
        styles[name] = Style(label, f"tab:{_COLORS[color]}", _LINES[style], _MARKERS[style])
    return styles


def labels(names: Iterable[str]) -> dict[str, str]:
    """Return what figures show of each name, in the order of the names; those that look alike are numbered."""
    names = list(names)
    shown: dict[str, str] = {}
    for name in sorted(set(names)):
        label, again = short(name), 2
        while label in shown.values():
            label, again = f"{short(name, _LONGEST - 4)} ({again})", again + 1
        shown[name] = label
    return {name: shown[name] for name in names}


def short(name: str, longest: int = _LONGEST) -> str:
    """Return one line of at most so many letters: of a longer name its beginning and its end, where names differ."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(name.split()))
    return line if len(line) <= longest else f"{line[: longest - _END - 1]}…{line[-_END:]}"


def as_numbers(names: Iterable[str]) -> list[float] | None:
    """Read names as numbers, of which there are three or more; None if one of them is none."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return None
    return numbers if len(numbers) > 2 and all(map(math.isfinite, numbers)) else None


def scale_numbers(axes: Any, numbers: Sequence[float]) -> None:
    """Give an x axis its ticks at these numbers, and a logarithmic scale where they span a decade."""
    sizes = [abs(number) for number in numbers if number]
    if sizes and max(sizes) >= 10 * min(sizes):
        symmetric = {"linthresh": min(sizes)} if min(numbers) <= 0 else {}
        axes.set_xscale("symlog" if symmetric else "log", **symmetric)
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers], rotation=40, ha="right")
    axes.set_xticks([], minor=True)


def beside(axes: Any, x: Sequence[float], places: Sequence[float], shift: float) -> list[float]:
    """Return places along the x axis that are moved by a share of the mean distance between all places."""
    scale = axes.xaxis.get_transform()
    low, high = scale.transform([min(places), max(places)])
    moved: list[float] = (
        scale.inverted().transform(scale.transform(x) + shift * (high - low) / (len(places) - 1)).tolist()
    )
    return moved


def add_legend(axes: Any, drawn: Mapping[str, Any], styles: Mapping[str, Style]) -> None:
    """Put a legend beside the axes, where it hides nothing; `saved_figure` makes room for it.

    Args:
        drawn: name of a level -> its line, dots or bars.
    """
    columns = -(-len(drawn) // _ROWS)
    places = list(map(str, range(len(drawn))))
    legend = axes.figure.legend(list(drawn.values()), places, loc="outside right upper", fontsize=8, ncols=columns)
    # matplotlib hides what is labelled with a "_" in front; it does not look at the text of a label that is there
    for text, name in zip(legend.get_texts(), drawn, strict=True):
        text.set_text(styles[name].label)


@contextmanager
def saved_figure(
    folder: Path, name: str, size: tuple[float, float], *, columns: int = 0, endings: Sequence[str] = ("png", "svg")
) -> Iterator[Any]:
    """Yield the axes of a new figure, which is written to ``<name>.png`` and so on when the block ends.

    Args:
        size: inches; what stands beside the axes is added.
        columns: yield an array of axes (2, columns) instead.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _plain_text():
        figure = Figure(figsize=size, dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots(2, columns, squeeze=False) if columns else figure.subplots()
        _make_room(figure)
        # Laid out once for all files. What is kept is widened by a label that the layout does not count, such as a long
        # one of an axis.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        kept = figure.get_tightbbox().padded(0.08)
        for ending in endings:
            with whole(folder / f"{name}.{ending}") as temporary:
                undated = {"Date": None} if ending == "svg" else None
                figure.savefig(temporary, format=ending, dpi="figure", bbox_inches=kept, metadata=undated)


@contextmanager
def _plain_text() -> Iterator[None]:
    """Draw text letter by letter, whatever the user's settings; a letter that no font has is a box, and no warning."""
    import matplotlib
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    fonts = ["DejaVu Sans", *(font for font in _WIDER if font in installed)]
    plain = matplotlib.rc_context(
        # with a fixed salt, and without a date, the same figure is the same file whenever it is drawn
        {"text.parse_math": False, "text.usetex": False, "font.family": fonts, "svg.hashsalt": "seg"}
    )
    with plain, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from|Matplotlib currently does not support", UserWarning)
        yield


def _make_room(figure: Any) -> None:
    """Enlarge the figure by its legends, which take nothing from the axes."""
    for legend in figure.legends:
        extent = legend.get_window_extent(figure.canvas.get_renderer())
        width, height = figure.get_size_inches()
        figure.set_size_inches(
            width + extent.width / figure.dpi + _MARGIN, max(height, extent.height / figure.dpi + 2 * _MARGIN)
        )


def files_of(folder: Path) -> list[Path]:
    """List the files that the figures of a report may have, and the pictures of images that are there."""
    pictures = (path for path in folder.glob("image-*.png") if path.stem[6:].isdecimal())
    return [*(folder / f"{name}.{ending}" for name in _FIGURES for ending in ("png", "svg")), *pictures]


def remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove the figures of an earlier report in a folder.

    Args:
        kept: PNG files of the figures that there are now.
    """
    for path in files_of(folder):
        if path.with_suffix(".png").name not in kept:
            path.unlink(missing_ok=True)


# "critical" is a picture of older versions, which goes with the others
_FIGURES = (
    *("forest", "axis", "seeds", "slices", "classes", "curves", "worst", "tolerances", "reliability", "errors", "cost"),
    "critical",
)
