"""What to label next of a folder that is predicted: ``rank.csv``, see `seg.inference.ranking`."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg.data.pairs.images import images_of
from seg.files import checks, write_csv
from seg.inference.disagreement import Disagreement
from seg.inference.features import encoder_of
from seg.inference.image import features_of
from seg.inference.ranking import Features, Floats, Ranked, ranked
from seg.inference.trained import Trained
from seg.report.console import console
from seg.report.progress import track
from seg.report.tables import table

log = logging.getLogger(__name__)

RANK = "rank.csv"
MEASURES = {Disagreement.name: "disagreement of the members", "confidence": "1 - confidence"}
"""What an image's uncertainty is, by the score that it follows from."""

_SHOWN = 10
_COLUMNS = ("rank", "image", "score", "uncertainty", "measure", "novelty", "nearest", "nearest_rank")


@dataclass(frozen=True)
class Ranking:
    """How the images of a folder are ranked.

    Args:
        number: of images that are chosen one after the other; the others follow by the same score, given these.
        labelled: folder or list of images that are labelled already, from which the first ones are to differ.

    Raises:
        ValueError: another value.
    """

    number: int = 100
    labelled: str | None = None

    @classmethod
    def of(cls, rank: bool, number: int, labelled: str | None) -> "Ranking | None":
        """Return what is asked for; None unless ``rank``."""
        checks.flag("rank", rank)
        return cls(number, labelled) if rank else None

    def __post_init__(self) -> None:
        checks.whole("number", self.number, 1)
        if self.labelled is not None:
            checks.text("labelled", self.labelled)


@dataclass(frozen=True)
class Known:
    """Images that are labelled already: their names, and features (M, F)."""

    names: Sequence[str]
    features: Features


def read_known(trained: Trained, ranking: Ranking, image_template: str) -> Known | None:
    """Show the model the images that are labelled already; None where they are not told.

    Raises:
        ValueError: no such folder or list, or an image that cannot be read.
    """
    if ranking.labelled is None:
        return None
    source = Path(ranking.labelled)
    try:
        images = images_of(source, image_template if source.is_dir() else "{}")
    except ValueError as error:
        raise ValueError(f"labelled: {str(error).removeprefix('images: ')}") from None
    shown = track(images.values(), "reading", len(images), unit="labelled images")
    return Known(list(images), np.stack([features_of(trained, path) for path in shown]))


def check_ranked(trained: Trained, images: Mapping[str, Path]) -> None:
    """Refuse to rank one image, or what a model without an encoder predicts.

    Raises:
        ValueError: what was expected.
    """
    encoder_of(trained)
    if len(images) < 2:
        raise ValueError(
            f"rank: expected several images, of which one comes before the others, got '{next(iter(images.values()))}' "
            "alone; give a folder or a list of them, or leave rank out"
        )


def write_ranking(
    destination: Path,
    scores: Mapping[str, Mapping[str, float]],
    files: Sequence[Path],
    ranking: Ranking | None,
    known: Known | None,
) -> list[tuple[object, ...]]:
    """Write ``rank.csv``; without a ranking, remove that of an earlier call.

    Args:
        scores: of each image, see `seg.inference.outputs.ProductWriter.scores`.
        files: of their features.
        known: images that are labelled already.

    Returns:
        Rows of the images that were chosen: rank, image, score, uncertainty, what that is, novelty, the nearest image
        before it, and its rank, which is empty for one that is labelled.
    """
    if ranking is None or not scores:
        if (destination / "features").is_dir():  # else it is not ours
            (destination / RANK).unlink(missing_ok=True)
        return []
    names = list(scores)
    kind = Disagreement.name if Disagreement.name in scores[names[0]] else "confidence"
    found = np.array([scores[name][kind] for name in names])
    uncertainty = found if kind == Disagreement.name else 1 - found
    features = np.empty((len(names), len(first := np.load(files[0]))), first.dtype)
    for row, file in zip(features, files, strict=True):
        row[:] = np.load(file)
    order = ranked(uncertainty, features, None if known is None else known.features, number=ranking.number)
    rows = list(_rows(order, names, uncertainty, MEASURES[kind], [] if known is None else known.names))
    write_csv(destination / RANK, _COLUMNS, rows)
    if alike := sum(each.novelty == 0 for each in order):
        log.info(f"rank: {alike} of {len(order)} images look exactly like another one before; they come last")
    return rows[: ranking.number]


def print_first(rows: Sequence[Sequence[object]], destination: str | os.PathLike[str]) -> None:
    """Print the first rows of `write_ranking`, if there are any, and what their numbers are."""
    if not rows:
        return
    shown = table("label these next", "image", ("uncertainty", "novelty", "nearest before it"))
    for _, image, _, uncertainty, _, novelty, nearest, rank in rows[:_SHOWN]:
        numbers = (f"{float(str(value)):.3f}" if value else "" for value in (uncertainty, novelty))
        shown.add_row(str(image), *numbers, f"{nearest}{' (labelled)' if nearest and not rank else ''}")
    console.print(shown)
    log.info(
        f"all of them in {Path(destination, RANK)}; uncertainty: {rows[0][4]}; novelty: distance to the nearest image "
        "before it, or labelled, 1 = as far as two images lie apart"
    )


def _rows(
    order: Sequence[Ranked], names: Sequence[str], uncertainty: Floats, measure: str, known: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    ranks = {each.image: rank for rank, each in enumerate(order, start=1)}
    every = [*names, *known]
    for rank, each in enumerate(order, start=1):
        near = every[each.nearest] if each.nearest >= 0 else ""
        novelty = "" if np.isnan(each.novelty) else f"{each.novelty:.6g}"
        numbers = f"{each.score:.6g}", f"{uncertainty[each.image]:.6g}"
        yield rank, names[each.image], *numbers, measure, novelty, near, ranks.get(each.nearest, "")
