"""The same levels on parts of the images, such as those at night: which one is better where.

    sliced = compare_slices({"dice": ..., "focal": ...}, read_slices("images.csv", images), metric="miou")

A slice is compared as if its images were all that there are. Its verdicts hold together with those of all other
slices: what `seg.compare.statistics` says of pairs is adjusted for the pairs of every slice at once, after Shaffer
(hypotheses hang together within a slice alone), or, with a reference, after Holm.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg.compare.findings import Comparison
from seg.compare.looks import Looks
from seg.compare.multiplicity import holm_steps, shaffer_steps
from seg.compare.pairs import adjust_for_multiplicity
from seg.compare.scores import LevelScores, check_levels, group_numbers, image_scores
from seg.compare.statistics import compare
from seg.data.attributes import Slice, Slices
from seg.metrics.catalogue import Metric

_DRAWS = 100  # of ranks, which nobody is shown


@dataclass(frozen=True)
class Sliced:
    """The comparisons of all slices.

    Attributes:
        compared: of each slice, in order, with verdicts that hold together over all of them.
        notes: what a reader must know: columns and slices that are left out, images that are in none.
        tests: pairs that are judged together.
        reference: level that the others are compared with; None: all pairs are judged.
    """

    compared: tuple[tuple[Slice, Comparison], ...]
    notes: tuple[str, ...]
    tests: int
    reference: str | None

    @property
    def by_attribute(self) -> dict[str, list[tuple[Slice, Comparison]]]:
        """The slices of each attribute."""
        found: dict[str, list[tuple[Slice, Comparison]]] = {}
        for part, compared in self.compared:
            found.setdefault(part.attribute, []).append((part, compared))
        return found


def compare_slices(
    samples: Mapping[str, LevelScores],
    slices: Slices,
    *,
    metric: str | Metric = "miou",
    groups: Sequence[Hashable] | None = None,
    rope: float | None = None,
    reference: str | None = None,
    looks: Looks | None = None,
) -> Sliced:
    """Compare levels on each slice; see `seg.compare.statistics.compare`.

    A slice with fewer than two images, or groups of images, that have a score is left out with a note.

    Raises:
        ValueError: the levels cannot be compared, or no slice is left.
    """
    name = metric.name if isinstance(metric, Metric) else metric
    check_levels(samples, name, groups)
    kept, notes = [], list(slices.notes)
    for part in slices.slices:
        if (units := _units(samples, part, name, groups)) > 1:
            kept.append(part)
        else:
            what = "groups of images" if groups is not None else "images"
            notes.append(f"{part.name} is left out: expected two {what} with a score at least, got {units}")
    if not kept:
        raise ValueError(
            f"attributes: expected a slice of two images or more, got none ({'; '.join(notes)}); take another column"
        )
    others = len(samples) - 1
    each = others if reference is not None else len(samples) * others // 2
    tests = len(kept) * each
    compared = [
        compare(
            {level: _part(sample, part) for level, sample in samples.items()},
            metric=metric,
            groups=None if groups is None else [groups[place] for place in part.images],
            rope=rope,
            reference=reference,
            looks=looks,
            draws=_DRAWS,
            among=max(tests, 1),
        )
        for part in kept
    ]
    steps = holm_steps(tests) if reference is not None else shaffer_steps(len(samples), len(kept))
    return Sliced(tuple(zip(kept, _together(compared, steps), strict=True)), tuple(notes), tests, reference)


def _units(samples: Mapping[str, LevelScores], part: Slice, metric: str, groups: Sequence[Hashable] | None) -> int:
    """Count the images, or groups, of a slice that have a score: the same for all levels."""
    sample = _part(next(iter(samples.values())), part)
    own = None if groups is None else [groups[place] for place in part.images]
    return int((~np.isnan(image_scores(sample, metric, group_numbers(own, len(part.images))))).sum())


def _part(sample: LevelScores, part: Slice) -> LevelScores:
    """Return the runs on the images of a slice."""
    places = list(part.images)
    values = {metric: value[:, places] for metric, value in sample.values.items()}
    return LevelScores(sample.seeds, sample.counts[:, places], values, sample.classes)


def _together(compared: Sequence[Comparison], steps: Sequence[int]) -> Iterator[Comparison]:
    """Adjust the pairs of all comparisons for one another."""
    first = compared[0]
    pairs = [pair for each in compared for pair in each.pairs]
    share = 1.0 if first.looks is None else first.looks.share(first.looks.most)
    adjusted = adjust_for_multiplicity(pairs, steps, first.measure.sign, first.rope, share) if pairs else iter(())
    for each in compared:
        yield replace(each, pairs=tuple(next(adjusted) for _ in each.pairs))
