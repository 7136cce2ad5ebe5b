"""Bulk runs: the files that have to be converted, the threads that do it, and what is recorded of each file."""

import csv
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from functools import partial
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from seg import __version__
from seg.convert.reader import Stamp
from seg.convert.sources import Source
from seg.convert.summary import Summary, Tally
from seg.convert.tiles import Outputs
from seg.files import checks, whole
from seg.files.manifest import Manifest, Record
from seg.files.memo import usable_cores


class Job(NamedTuple):
    """One source file and the mask to write; the C++ helper reads these first two fields. With a `record` there is
    nothing left to do."""

    path: Path | None
    mask: Path | None
    file: str
    record: Record | None = None
    named: str = ""
    """Relative path of the mask, where it does not follow from `file`."""


def list_jobs(
    sources: Iterable[Source],
    outputs: Outputs,
    manifest: Manifest,
    shard: tuple[int, int] | None,
    *,
    overwrite: bool = False,
) -> Iterator[Job]:
    """Yield the jobs of a run, for all sources or those of a shard; unchanged ones come with their record."""
    for path, name, mask_name, reason in sources:
        manifest.claim(name, unlisted=not mask_name)
        # By the mask's name, not by position: a file added later moves no other file to another shard.
        if shard and _part(mask_name, shard[1]) != shard[0] - 1:
            continue
        mask = outputs.target / mask_name
        if reason:
            if mask_name:
                outputs.remove(mask)
            yield Job(None, None, name, {"file": name, "status": "failed", "reason": reason})
        elif not overwrite and (record := manifest.unchanged(name, path, partial(outputs.extent, mask))):
            yield Job(None, None, name, record)
        else:
            usual = PurePosixPath(name).with_suffix(".png").as_posix() == mask_name
            yield Job(path, mask, name, named="" if usual else mask_name)


def _part(name: str, parts: int) -> int:
    """Return the part of a mask, by a hash that mixes well: by their CRC, eight numbered names fell into one of two."""
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest()) % parts


Task = Record | Callable[[], Record]


def converted(job: Job, stamp: Stamp, counts: dict[int, int], made: tuple[int, int], **about: Any) -> Record:
    """Return the record of a source that was converted.

    Args:
        made: bytes and time of what was written.
        about: what else is to be told, without what is empty or 0.
    """
    written = {"mask_size": made[0], "mask_mtime_ns": made[1]}
    more = {key: value for key, value in {**about, "mask": job.named}.items() if value}
    return {
        **{"file": job.file, **stamp._asdict(), "status": "converted", **written, **more},
        "counts": {str(value): pixels for value, pixels in counts.items()},
    }


def failed(job: Job, reason: str | Exception) -> Record:
    """Return the record of a source that failed."""
    text = "not enough memory for this image" if isinstance(reason, MemoryError) else str(reason)
    return {"file": job.file, "status": "failed", "reason": text}


def in_order(tasks: Iterator[Task], threads: int) -> Iterator[Record]:
    """Yield the records in the order of their tasks; those that still have to be made are made on threads."""
    waiting: deque[Record | Future[Record]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        with closing(tasks):  # type: ignore[type-var]  # a generator
            for task in tasks:
                waiting.append(pool.submit(task) if callable(task) else task)
                while waiting and (_is_made(waiting[0]) or len(waiting) > 8 * threads):
                    yield _made(waiting.popleft())
        while waiting:
            yield _made(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _is_made(record: Record | Future[Record]) -> bool:
    return not isinstance(record, Future) or record.done()


def _made(record: Record | Future[Record]) -> Record:
    return record.result() if isinstance(record, Future) else record


def write_counts(path: Path, records: Iterator[Record], manifest: Manifest, tally: Tally) -> None:
    """Write ``counts.csv`` and the totals of all records, and append those that are new to the manifest."""
    with (
        whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as counts,
        closing(records),  # type: ignore[type-var]  # a generator
    ):
        rows = csv.writer(counts, lineterminator="\n")
        rows.writerow(("file", "class", "pixels"))
        try:
            for record in records:
                new = "key" not in record  # the manifest adds the key: a record that has it was read from there
                if new:
                    manifest.append(record)
                rows.writerows((record["file"], *row) for row in tally.add(record, new))
        except KeyboardInterrupt:
            tally.tell()  # how far it came
            raise


def write_about(path: Path, summary: Summary, **about: Any) -> None:
    """Write the totals of a run, ``manifest.json``; in ASCII, because a file name need not be valid UTF-8."""
    with whole(path) as temporary:
        text = json.dumps({"version": __version__, **about, **asdict(summary)}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def threads_of(threads: int) -> int:
    """Check the option; 0 = all cores that this process may use."""
    return checks.whole("threads", threads, 0, 1024, remedy="give 0 for all cores") or usable_cores()


def shard_name(shard: tuple[int, int] | None) -> str:
    """Return the part that marks a shard in file names, such as ``.1-of-4``; empty without a shard."""
    if shard is None:
        return ""
    if len(shard) != 2 or not all(isinstance(n, int) for n in shard) or not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard: expected (i, n) with 1 <= i <= n, got {shard!r}; give (1, 4) for the first of four")
    return f".{shard[0]}-of-{shard[1]}"
