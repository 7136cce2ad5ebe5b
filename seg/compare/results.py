"""``results.csv``, a row a run, and ``statistics.json``: for scripts and spreadsheets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seg.compare.findings import BOTH, Compared, LevelResult, PairResult
from seg.compare.study import Study
from seg.compare.variance import VarianceParts
from seg.files import checks, write_csv, write_json

SCORES = ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_f1", "ece")
COLUMNS = ("run", "level", "seed", "images", *SCORES, "seconds")
"""The first ones; scores of all images, shares in 0..1. A score that a run does not have is left empty."""


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
            yield (*named, *map(_text, [*values, entry.seconds, *more]))


def _text(value: object) -> str:
    return f"{value:.6f}" if checks.is_number(value) else ""


def write_statistics(path: Path, study: Study, found: Compared) -> None:
    """Write ``statistics.json``: numbers in the units of the metric, differences of a minus b.

    Raises:
        OSError: it cannot be written.
    """
    write_json(
        path,
        {
            "metric": found.metric,
            "axis": study.axis,
            "rope": found.rope,
            "draws": found.draws,
            "seed": found.seed,
            "levels": [_level(level) for level in found.levels],
            "pairs": [_pair(pair) for pair in found.pairs],
            "winner": {
                "level": found.levels[found.ranks.winner].level,
                "false_claim": found.ranks.false_claim if found.rank_kind == BOTH else None,
                "kendall_tau": found.ranks.tau,
                "kendall_tau_interval": list(found.ranks.tau_interval),
            },
            "excluded": [{"run": run, "reason": reason} for run, reason in study.excluded],
            "warnings": list(study.warnings),
        },
    )


def _level(level: LevelResult) -> dict[str, Any]:
    return {
        "level": level.level,
        "seeds": list(level.seeds),
        "images": level.images,
        "mean": level.mean,
        "interval": list(level.interval),
        "interval_kind": level.interval_kind,
        "interval_new_seeds": level.wide and list(level.wide),
        "rank": level.rank,
        "rank_interval": list(level.rank_interval),
        "rank_shares": list(level.rank_shares),
        "variance": _variance(level.variance),
    }


def _pair(pair: PairResult) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "seeds": list(pair.seeds),
        "difference": pair.difference,
        "interval": list(pair.interval),
        "interval_kind": pair.interval_kind,
        "interval_new_seeds": pair.wide and list(pair.wide),
        "wins": pair.wins,
        "ties": pair.ties,
        "losses": pair.losses,
        "p_holm": pair.p_holm,
        "effect": pair.effect,
        "p_better": pair.p_better,
        "p_equivalent": pair.p_equivalent,
        "p_worse": pair.p_worse,
        "p_kind": pair.p_kind,
        "verdict": pair.verdict,
        "p_verdict": pair.p_verdict,
        "more_seeds": pair.more_seeds,
        "more_images": pair.more_images,
        "variance": _variance(pair.variance),
    }


def _variance(parts: VarianceParts) -> dict[str, Any]:
    return {"seeds": parts.seeds, "images": parts.images, "both": parts.remainder}
