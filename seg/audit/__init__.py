"""Is this dataset fit to train on?

    from seg.audit import Split, audit
    result = audit([Split("train", "train/images", "train/masks"), Split("val", ...)], LabelMap.load("labels.yaml"))
    for finding in result.findings: print(finding.severity, finding.text)

Every file is decoded once, in threads. Images are read as in training, 8-bit grayscale PNG masks too; all other masks
are read as ``seg-preprocess`` reads label images.
"""

from collections.abc import Callable, Sequence

from seg.audit.checks import (
    check_binary,
    check_classes,
    check_files,
    check_images,
    check_label_map,
    check_masks,
    is_binary,
    totals_of,
)
from seg.audit.duplicates import check_duplicates
from seg.audit.files import holds_indices, measure, pair_files
from seg.audit.neighbours import check_neighbours
from seg.audit.overlaps import check_overlaps
from seg.audit.records import (
    SEVERITIES,
    Audit,
    Example,
    Finding,
    Measurements,
    Split,
    Totals,
)

__all__ = [
    "SEVERITIES",
    "Audit",
    "Example",
    "Finding",
    "Split",
    "Totals",
]

from seg.files import checks
from seg.images import RGB, Reading, read_values
from seg.images.oddities import percentiles
from seg.images.reading import PERCENTILES
from seg.labels import LabelMap


def check_options(read: str, threads: int) -> None:
    """Refuse options of `audit` that need no data to be known as wrong.

    Raises:
        ValueError: what was expected.
    """
    checks.choice("read", read, ("auto", "mask", "label"))
    checks.whole("threads", threads, 0, 1024, remedy="give 0 for all cores")


def audit(
    splits: Sequence[Split],
    labels: LabelMap,
    *,
    read: str = "auto",
    reading: Reading = RGB,
    group: str | None = None,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Check every file of every split for what would break or spoil a training.

    Args:
        splits: the first is the one to train on.
        read: what 8-bit grayscale PNG files hold: ``mask`` (class indices, 255 = ignore), ``label`` (values or gray
            colours of the label map, as ``seg-preprocess`` reads them), ``auto`` (``label`` if the map lists values
            that differ from the indices and no ``labels.yaml`` is beside the files).
        reading: how images are read; percentiles are those of the first split.
        group: a regular expression that finds a pair's scene in its name, see `seg.data.pairs.scenes_of`.
        threads: 0 = all cores that this process may use.
        progress: called with (done, total) after each pair.

    Raises:
        ValueError: no split, two splits of one name, a missing or empty folder, a wrong template or option.
    """
    names = [split.name for split in splits]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"splits: expected one or more of different names, got {names}; rename or add one")
    check_options(read, threads)
    findings: list[Finding] = []
    paired: list[list[Measurements]] = []
    for split in splits:
        findings += () if read == "label" else check_label_map(split, labels)  # label images were made with none
        pairs, problems = pair_files(split)
        findings += problems
        paired.append(pairs)
    if reading.range == PERCENTILES:
        reading = reading.with_range(percentiles([pair.image for pair in paired[0]], reading, read_values))
    done: list[list[Measurements]] = []
    for split, pairs in zip(splits, paired, strict=True):
        by_index = read == "mask" or (read == "auto" and holds_indices(split, labels))
        tell = _after(sum(map(len, done)), sum(map(len, paired)), progress)
        done.append(measure(pairs, labels, by_index=by_index, reading=reading, threads=threads, progress=tell))
    totals = tuple(totals_of(split, pairs, labels) for split, pairs in zip(splits, done, strict=True))
    trusted = [not is_binary(pairs) for pairs in done]
    for name, pairs, sound in zip(names, done, trusted, strict=True):
        findings += check_files(name, pairs)
        findings += check_images(name, pairs, reading)
        findings += check_masks(name, pairs, labels) if sound else check_binary(name, pairs, labels)
    if all(trusted):
        findings += check_classes(totals, labels)
    pairs_of = dict(zip(names, done, strict=True))
    findings += check_duplicates(pairs_of)
    findings += check_overlaps(pairs_of, reading, group, threads)
    findings += check_neighbours(pairs_of, group)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Audit(labels, tuple(splits), totals, tuple(findings), tuple(map(tuple, done)), reading)


def _after(before: int, total: int, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None] | None:
    """Report progress of a split as a part of the whole."""
    return progress and (lambda done, _: progress(before + done, total))
