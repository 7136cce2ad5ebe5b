"""Open, hold, write and finish a run folder."""

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from seg.files import finite, held, make_folder, naming, open_to_append, whole, write_csv, write_json
from seg.runs.records import (
    CARD,
    COLUMNS,
    CONFIG,
    DONE,
    ENVIRONMENT,
    EPOCHS,
    EVALUATION,
    LAST,
    LOG,
    METRIC_COLUMNS,
    PAIR_COLUMNS,
    PAIRS,
    TESTED,
    read_lines,
    read_pairs,
)


@contextmanager
def opened(
    folder: Path,
    config: dict[str, Any],
    environment: dict[str, Any],
    pairs: Mapping[str, Sequence["PairFiles"]] | None = None,
) -> Iterator[None]:
    """Make the folder with its configuration, environment and pairs, and hold it: no other process may train in it.

    Raises:
        ValueError: it cannot be written to, or another process holds it.
    """
    make_folder(folder, "runs")
    with held(
        folder, "runs: expected a folder that no other process trains in", "wait for it, or give another name=..."
    ):
        with whole(folder / CONFIG) as temporary:
            temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        write_json(folder / ENVIRONMENT, environment)
        for name in (DONE, CARD, EVALUATION):  # of a run that is extended
            (folder / name).unlink(missing_ok=True)
        if pairs is not None:
            write_csv(folder / PAIRS, PAIR_COLUMNS, _pair_rows(pairs))
        with _logged(folder / LOG):
            yield


class _Log(logging.FileHandler):
    """Adds what is logged to a file; each process that has trained the run adds its part."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on: where a disk is full, what matters fails with a message of its own."""


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    with naming(path):
        os.close(open_to_append(path))
    handler, logger = _Log(path), logging.getLogger("seg")
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:  # interrupted as well: where the run stands then is worth most
        reason = " ".join(str(error).split()) or type(error).__name__
        handler.handle(logging.LogRecord(__name__, logging.ERROR, "", 0, reason, None, None))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def _pair_rows(pairs: Mapping[str, Sequence["PairFiles"]]) -> Iterator[tuple[str | int, ...]]:
    return ((part, *files) for part, listed in pairs.items() for files in listed)


PairFiles = tuple[str, int, int] | tuple[str, int, int, str, str]
"""Name of a pair, bytes of its image and mask, and checksums of their pixels, unless an older version began the run."""


def check_pairs(folder: Path, parts: Mapping[str, Sequence[PairFiles]]) -> None:
    """Check that a run goes on with the files that it was begun with.

    Args:
        parts: with checksums, or without, as long as nothing is decoded.

    Raises:
        ValueError: pairs were added, removed or changed; the message says how many, and names one.
    """
    if not ((folder / PAIRS).is_file() and (folder / LAST).exists()):
        return  # nothing was trained yet, or by a version that did not keep them
    before = {row[:2]: row[2:] for row in read_pairs(folder / PAIRS)}
    now: dict[tuple[str, ...], list[str]] = {}
    for part, pairs in parts.items():
        now |= {(part, name): list(map(str, known)) for name, *known in pairs}
    differences: dict[str, list[tuple[str, ...]]] = {
        "new": sorted(now.keys() - before.keys()),
        "missing": sorted(before.keys() - now.keys()),
        "changed": sorted(key for key in now.keys() & before.keys() if not _alike(now[key], before[key])),
    }
    shown = [f"{len(keys)} {how}, such as '{keys[0][1]}' of {keys[0][0]}" for how, keys in differences.items() if keys]
    if shown:
        raise ValueError(
            f"data: expected the {len(before)} pairs that '{folder}' was begun with, got {'; '.join(shown)}; bring "
            "them back, or give another name=... (init= keeps the weights)"
        )


def _alike(known: Sequence[str], before: Sequence[str]) -> bool:
    """Tell whether two rows agree in what both hold."""
    return all(a == b for a, b in zip(known, before, strict=False))


def append_line(folder: Path, line: dict[str, Any]) -> None:
    """Add an epoch to ``metrics.jsonl``."""
    with naming(folder / EPOCHS), os.fdopen(open_to_append(folder / EPOCHS), "a", encoding="utf-8") as file:
        file.write(_json_line(line))


def _json_line(line: dict[str, Any]) -> str:
    return json.dumps(finite(line), ensure_ascii=False) + "\n"


def cut_lines(folder: Path, epoch: int) -> list[int]:
    """Drop the lines of ``metrics.jsonl`` from ``epoch`` on, and a torn last line: they will be written again.

    Returns:
        Epochs before ``epoch`` whose lines are not there.
    """
    kept = [line for line in read_lines(folder / EPOCHS) if line["epoch"] < epoch]
    if (folder / EPOCHS).exists():
        with whole(folder / EPOCHS) as temporary:
            temporary.write_text("".join(map(_json_line, kept)), encoding="utf-8")
    return sorted(set(range(epoch)) - {line["epoch"] for line in kept})


RECORD = (CONFIG, ENVIRONMENT, EPOCHS, PAIRS)
"""What `copy_record` copies."""


def copy_record(run: Path | None, folder: Path, judged: Sequence[PairFiles] = ()) -> None:
    """Copy the record of a run beside its evaluation, so that `seg.compare` knows which run was evaluated.

    Files that an earlier call copied from another run are removed.

    Args:
        run: its folder; None, or a folder that holds no run, if it is not known.
        judged: the pairs of the evaluation, which are added to those of the run.
    """
    for name in RECORD:
        if run is not None and (run / CONFIG).is_file() and (run / name).is_file():
            with whole(folder / name) as temporary:
                temporary.write_bytes((run / name).read_bytes())
        else:
            (folder / name).unlink(missing_ok=True)
    if judged:
        before = read_pairs(folder / PAIRS)
        write_csv(folder / PAIRS, PAIR_COLUMNS, [*before, *_pair_rows({TESTED: judged})])


def mark_complete(folder: Path, done: dict[str, Any]) -> None:
    """Mark a run as complete."""
    write_json(folder / DONE, done)


def write_per_image(
    path: str | os.PathLike[str], images: Sequence[str], classes: Sequence[str], counts: NDArray[np.int64]
) -> None:
    """Write the file that `read_per_image` reads; ``counts (images, classes, 3)``."""
    write_csv(
        path,
        COLUMNS,
        (
            (image, name, *numbers)
            for image, table in zip(images, counts.tolist(), strict=True)
            for name, numbers in zip(classes, table, strict=True)
        ),
    )


def write_per_image_metrics(
    path: str | os.PathLike[str], images: Sequence[str], columns: Iterable[tuple[str, str, NDArray[np.float64]]]
) -> None:
    """Write the file that `read_per_image_metrics` reads.

    Args:
        columns: metric, class or "", and a value of each image; NaN is left out.
    """
    write_csv(
        path,
        METRIC_COLUMNS,
        (
            (image, metric, name, f"{value:.6g}")
            for metric, name, values in columns
            for image, value in zip(images, values.tolist(), strict=True)
            if math.isfinite(value)
        ),
    )
