"""How many steps a run with ``fit.minutes`` makes: those that it fixed itself, or another one of its sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seg.runs.identity import LENGTHS, MACHINE, owns, package, settings, tuned_keys
from seg.runs.records import CONFIG, EPOCHS, LAST, read_config, read_lines


def fixed_steps(folder: Path, config: Mapping[str, Any], free: Sequence[str] | None = None) -> int | None:
    """Return the steps that were fixed for the ``fit.minutes`` of a run: by itself, else by another one of its sweep.

    Args:
        folder: of the run.
        free: groups and keys in which the runs of its sweep may differ; None = it belongs to none.
    """
    free = [*map(package, free or ()), *tuned_keys(config)]
    others = sorted(folder.parent.glob(f"*/{CONFIG}")) if free else []
    for path in (folder / CONFIG, *others):
        if path.is_file():
            before, ours = read_config(path), path.parent == folder
            alike = [_kept(settings(each), () if ours else free) for each in (before, config)]
            same = alike[0] == alike[1] or (not ours and _is_of_one_sweep(before, config))
            if same and isinstance(steps := before["fit"].get("steps"), int):
                return steps
    return None


def sweep_of(words: Sequence[str], swept: Sequence[str]) -> list[str]:
    """Return what the runs of a sweep share: what it varies, and what else its command line says of the training.

    Settings would not tell: a recipe, or a key that others refer to, changes some that the sweep does not name.

    Args:
        words: of one of its runs.
        swept: groups and keys that it varies.
    """
    keys = {word: word.lstrip("+~").partition("=")[0] for word in words}
    apart = ("seed", *swept, *MACHINE)
    return [*sorted(swept), *sorted(word for word in words if not any(owns(node, keys[word]) for node in apart))]


def _is_of_one_sweep(before: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether two runs are of one sweep, see `sweep_of`, and have as many minutes."""
    ours, theirs = ((each.get("sweep") or {}).get("of") for each in (config, before))
    return ours is not None and ours == theirs and before["fit"].get("minutes") == config["fit"]["minutes"]


def _kept(values: Mapping[str, Any], free: Sequence[str]) -> dict[str, Any]:
    return {
        key: value
        for key, value in values.items()
        if key in LENGTHS or not any(owns(node, key) for node in free)  # of another length, others fix no steps
    }


class Before(NamedTuple):
    """A run with ``fit.minutes`` that is made longer: epochs that are done, and the steps and minutes that it had."""

    epochs: int = 0
    steps: int = 0
    minutes: float = 0.0

    def spent(self, epoch: int) -> tuple[int, float]:
        """Return the steps that are done, whole epochs of ``epoch``, and the minutes of its own that those took."""
        planned = -(-self.steps // epoch)
        done = min(self.epochs, planned)
        return done * epoch, self.minutes * done / max(planned, 1)


def extended(folder: Path, config: Mapping[str, Any]) -> Before:
    """Return the run in a folder that ``extend`` makes longer; an empty one where there is no such run."""
    if config.get("extend") and (folder / CONFIG).is_file() and (folder / LAST).exists():
        fit = read_config(folder / CONFIG).get("fit", {})
        if fit.get("minutes") is not None and fit.get("steps") is not None:
            return Before(len(list(read_lines(folder / EPOCHS))), fit["steps"], fit["minutes"])
    return Before()
