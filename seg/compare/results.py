"""``results.csv``, a row a run, and ``statistics.json``: for scripts and spreadsheets."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seg.compare import together
from seg.compare.findings import BOTH, Comparison, LevelResult, PairResult
from seg.compare.study import Study
from seg.files import checks, write_csv, write_json

SCORES = ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_f1", "ece")
COLUMNS = ("run", "level", "seed", "images", *SCORES, "seconds")
"""The first ones; scores of all images, shares in 0..1. A score that a run does not have is left empty."""

_SCATTER = ("scatter", "scatters_more", "variance")
_INTERVAL = ("interval", "interval_kind", "interval_new_seeds")
LEVEL = ("level", "seeds", "images", "mean", *_INTERVAL, "rank", "rank_interval", "rank_shares", *_SCATTER)
PAIR = (
    *("a", "b", "seeds", "difference", *_INTERVAL, "wins", "ties", "losses", "p_holm", "effect"),
    *("p_better", "p_equivalent", "p_worse", "p_kind", "verdict", "p_verdict", "more_seeds", "more_images", "variance"),
)
"""Keys of ``statistics.json``: fields of `LevelResult` and of `PairResult`."""


def write_results(path: Path, study: Study) -> None:
    """Write ``results.csv``.

    Raises:
        OSError: it cannot be written.
    """
    further = _further(study)
    write_csv(path, (*COLUMNS, *further), _rows(study, further))


def _further(study: Study) -> list[str]:
    """Name all other scores of the runs that are one number each, by the catalogue."""
    single = [name for name, metric in study.catalogue.items() if not metric.by_class and name not in COLUMNS]
    return [name for name in single if any(_text(entry.scores.get(name)) for entry in study.entries)]


def _rows(study: Study, further: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for level in study.levels:
        for entry in level.entries:
            values = [entry.scores.get(key) for key in SCORES]
            named = (study.named(entry), level.name, str(entry.seed), str(len(entry.images)))
            more = [entry.scores.get(key) for key in further]
            yield (*named, *map(_text, [*values, entry.training_time, *more]))


def _text(value: object) -> str:
    return f"{value:.6f}" if checks.is_number(value) else ""


def write_statistics(path: Path, study: Study, result: Comparison) -> None:
    """Write ``statistics.json``: numbers in the units of the metric, differences of a minus b.

    Raises:
        OSError: it cannot be written.
    """
    write_json(
        path,
        {
            "metric": result.metric,
            "axis": study.axis,
            "rope": result.rope,
            "draws": result.draws,
            "seed": result.seed,
            "reference": result.reference,
            "looks": None if result.looks is None else {"first": result.looks.first, "most": result.looks.most},
            "levels": [_plain(level, LEVEL) for level in result.levels],
            "pairs": [_plain(pair, PAIR) for pair in result.pairs],
            "winner": {
                "level": result.levels[result.ranks.winner].level,
                "false_claim": result.ranks.false_claim if result.rank_kind == BOTH else None,
                "kendall_tau": result.ranks.tau,
                "kendall_tau_interval": result.ranks.tau_interval,
            },
            "together": together.as_data(together.gains(study, result)),
            "excluded": [{"run": run, "reason": reason} for run, reason in study.excluded],
            "warnings": study.warnings,
        },
    )


def _plain(estimate: LevelResult | PairResult, keys: Iterable[str]) -> dict[str, Any]:
    """Return fields as plain data; ``interval_new_seeds`` is the wide interval, None for one seed."""
    parts = estimate.variance
    variance = {"seeds": parts.seeds, "images": parts.images, "both": parts.remainder}
    renamed = {"interval_new_seeds": estimate.wide, "variance": variance}
    return {key: renamed[key] if key in renamed else getattr(estimate, key) for key in keys}
