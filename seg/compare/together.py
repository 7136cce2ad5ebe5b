"""The seeds together: what a level gains when its runs predict as one, the mean of their probabilities.

An ensemble of these very seeds is one model. What other seeds would gain together it does not show, so that the
interval is about new images alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg.compare.answer import between, numbered
from seg.compare.ensembles import Ensemble
from seg.compare.findings import Comparison
from seg.compare.scores import LevelScores, is_counted, scored
from seg.compare.study import Level, Study
from seg.compare.variance import Interval, variance_parts
from seg.report.document import Block, Heading, Table, Text


@dataclass(frozen=True)
class Gain:
    """What the seeds of a level score together.

    Attributes:
        level: its name.
        seeds: of the members.
        folder: of the evaluation, seen from the root of the study.
        alone: mean of the scores of these seeds.
        score: of all of them as one model.
        gain: ``score`` minus ``alone``, in units of the metric.
        interval: 95 %, of these very runs on new images.
    """

    level: str
    seeds: tuple[int, ...]
    folder: str
    alone: float
    score: float
    gain: float
    interval: Interval


def gains(study: Study, result: Comparison) -> list[Gain]:
    """Return the gain of each level of which an ensemble was evaluated, in the order of the ranks."""
    levels = {level.name: level for level in study.levels}
    ensembles = {one.level: one for one in study.ensembles}
    order = [level.level for level in result.by_rank if level.level in ensembles]
    found = (_gain(study, levels[name], ensembles[name], result) for name in order)
    return [gain for gain in found if gain is not None]


def _gain(study: Study, level: Level, ensemble: Ensemble, result: Comparison) -> Gain | None:
    """Return the gain of a level; None where the metric is not known of the same images."""
    name, sample = result.metric, level.sample()
    values = {metric: of_images[None] for metric, of_images in ensemble.values.items()}
    if not is_counted(name) and not (
        name in values and np.array_equal(np.isnan(values[name][0]), np.isnan(sample.values[name][0]))
    ):
        return None
    together = scored(LevelScores((0,), ensemble.counts[None], values, sample.classes), name, result.groups)
    scores, without = scored(sample, name, result.groups).of_seeds(ensemble.seeds)
    alone, score = float(scores.mean()), float(together.scores[0])
    gain = np.array([score - alone])
    parts = variance_parts(gain, together.without - without.mean(1, keepdims=True))
    interval = parts.interval(score - alone, new_seeds=False)
    folder = ensemble.folder.relative_to(study.root).as_posix()
    return Gain(level.name, ensemble.seeds, folder, alone, score, score - alone, interval)


def as_data(found: list[Gain]) -> list[dict[str, Any]]:
    """Return what ``statistics.json`` holds."""
    return [vars(gain) for gain in found]


def section(study: Study, result: Comparison) -> Iterator[Block]:
    """Yield the rows of the report, a level each; nothing where no ensemble was evaluated."""
    if not (found := gains(study, result)):
        return
    metric = result.measure
    yield Heading("The seeds together")
    yield Text(
        "The runs of a level as one model, which predicts the mean of their probabilities, beside the mean of the same "
        "runs alone. One ensemble does not show what other seeds would gain: the interval is about these very runs on "
        "new images, of each level for itself. It costs as many predictions as it has runs."
    )
    rows = [
        (
            one.level,
            f"{len(one.seeds)} ({numbered(one.seeds)})",
            metric.number(one.alone),
            metric.number(one.score),
            metric.number(one.gain),
            between(one.interval, metric),
        )
        for one in found
    ]
    unit = f"{metric.title} {metric.symbol}".rstrip()
    header = ("level", "seeds", f"{unit}, each alone", "the seeds together", "gain", "95 %, these very runs")
    yield Table(header, rows, numbers=range(1, len(header)))
