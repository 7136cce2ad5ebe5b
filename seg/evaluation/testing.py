"""Judging a run on a test set, once: again only when the run or the set has changed since."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seg import runs
from seg.evaluation.files import evaluate_into
from seg.evaluation.subjects import Pairing, of_checkpoint
from seg.metrics.wanted import Wanted


def check_set(test: Path) -> None:
    """Refuse what is no test set."""
    if missing := [name for name in ("images", "masks") if not (test / name).is_dir()]:
        raise ValueError(
            f"sweep.test: expected folders images and masks in '{test}', got no {' and no '.join(missing)}"
        )


def last_change(test: Path) -> float:
    """Return when a file in ``images`` or ``masks`` of a test set was last written, added or removed, in seconds."""
    stats = [path.stat() for kind in ("images", "masks") for path in (test / kind, *(test / kind).rglob("*"))]
    return max(max(stat.st_mtime, stat.st_ctime) for stat in stats)


def is_tested(folder: Path, test: Path, changed: float) -> bool:
    """Tell whether the run in a folder was judged on this test set since both of them last changed.

    Args:
        changed: see `last_change`.
    """
    path = folder / runs.TEST / runs.EVALUATION
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        same = all(Path(data[kind]).resolve() == (test / kind).resolve() for kind in ("images", "masks"))
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return same and path.stat().st_mtime >= max(changed, (folder / runs.LAST).stat().st_mtime)


def judge(
    folder: Path,
    test: Path,
    wanted: Sequence[Wanted],
    *,
    infer: Callable[..., Any] | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Evaluate the last weights of a run as it was validated, and write its folder ``test``.

    Args:
        infer: see `seg.inference.members.load`.
        trust: modules that the checkpoint may name besides ours.

    Raises:
        ValueError: images and masks that do not pair up, or do not fit the model.
    """
    data = runs.read(folder).config["data"]
    templates = {key: data[key] for key in ("image_template", "template")}
    where = Pairing(str(test / "images"), str(test / "masks"), **templates)
    subject = of_checkpoint(folder / runs.LAST, where, infer=infer, trust=list(trust), workers=2)
    # whatever is in a folder of the run, the run wrote it
    evaluate_into(folder / runs.TEST, subject, wanted, where, record=folder, save_masks=True, overwrite=True)
