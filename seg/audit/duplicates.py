"""Duplicate images, exact and near, within a split and across splits."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from seg.audit.records import Example, Finding, Measurements, as_findings, example_of, percent_text

NEAR = 0.97
"""Least correlation of two 16 x 16 gray thumbnails that counts as the same picture; `near_duplicates` says why."""
_FLAT = 2.0  # gray levels: a thumbnail with less standard deviation shows nothing recognisable


def check_duplicates(pairs: dict[str, list[Measurements]]) -> Iterator[Finding]:
    """Report equal and nearly equal images, within a split and across splits."""
    groups: dict[bytes, list[tuple[str, Measurements]]] = defaultdict(list)
    for split, members in pairs.items():
        for pair in members:
            if not pair.image_error:
                groups[pair.image_hash].append((split, pair))
    several = [group for group in groups.values() if len(group) > 1]
    for split in pairs:
        inner = [[pair for name, pair in group if name == split] for group in several]
        equal = [group for group in inner if len(group) > 1 and len({pair.pair_hash for pair in group}) == 1]
        text = f"redundant copies of a pair of image and mask: {sum(map(len, equal)) - len(equal)}"
        copies = [example_of(*(pair.image for pair in group)) for group in equal]
        advice = "keep one of each, because copies weigh more in training and scores"
        yield from as_findings("duplicate", "warning", split, copies, text, advice)
    read = [[pair for _, pair in group if not pair.mask_error] for group in several]
    torn = [group for group in read if len({pair.pair_hash for pair in group}) > 1]
    examples = [example_of(*(file for pair in group for file in (pair.image, pair.mask))) for group in torn]
    text = f"images that occur several times with different masks: {len(torn)}"
    yield from as_findings("contradiction", "warning", ", ".join(pairs), examples, text, "decide which mask is right")
    for first, second in combinations(pairs, 2):
        yield from _check_leak(first, second, pairs, several)
    if len(pairs) == 1:
        [(split, members)] = pairs.items()
        distinct = list({pair.image_hash: pair for pair in members if not pair.image_error}.values())
        near = _examples_of(near_duplicates(distinct, distinct))
        text = "images nearly equal to another one"
        advice = "split by video or scene: a random split (data.val_share) would put them on both sides"
        yield from as_findings("near-copy", "note", split, near, text, advice, len(members))


def _check_leak(
    first: str, second: str, pairs: dict[str, list[Measurements]], several: list[list[tuple[str, Measurements]]]
) -> Iterator[Finding]:
    examples, known = [], set()
    for group in several:
        mine = [pair for split, pair in group if split == first]
        for pair in (pair for split, pair in group if split == second and mine):
            same = any(other.pair_hash == pair.pair_hash for other in mine)
            examples.append(example_of(mine[0].image, pair.image, detail=f"{'same' if same else 'another'} mask"))
            known.add(pair.image)
    both, total = f"{first}, {second}", len(pairs[second])
    text = f"images of {second} that are also in {first}, pixel for pixel"
    advice = f"remove them from one of the two: scores on {second} would reward memory"
    yield from as_findings("leak", "error", both, examples, text, advice, total)
    rest = [pair for pair in pairs[second] if pair.image not in known]
    near = _examples_of(near_duplicates(pairs[first], rest))
    text = f"images of {second} nearly equal to one of {first}"
    advice = "look at them; keep frames of one video, and crops and copies of one picture, in one split"
    yield from as_findings("near-leak", "warning", both, near, text, advice, total)


def _examples_of(near: Iterable[tuple[Measurements, Measurements, float]]) -> list[Example]:
    return [example_of(a.image, b.image, detail=f"{percent_text(likeness)} alike") for a, b, likeness in near]


def near_duplicates(
    first: Sequence[Measurements], second: Sequence[Measurements], threshold: float = NEAR
) -> Iterator[tuple[Measurements, Measurements, float]]:
    """Yield each pair of ``second`` that resembles one of ``first`` (another one, if both are one list): the nearest
    pair of ``first``, the pair, and their likeness, up to 1.

    Likeness is the correlation of 16 x 16 gray thumbnails, blind to brightness, contrast, size and compression; one
    matrix product compares a chunk with everything (50 000 x 10 000 images: 0.3 TFLOP). The default threshold: frames
    of different drives of CamVid reach 0.93, different satellite tiles 0.71; frames 1/15 s apart have a median of
    0.997, 1/4 s 0.97, 1 s 0.88; copies of street scenes (JPEG of quality 30, half the size, brighter, other gamma, 2 %
    cropped) have at least 0.99, of satellite tiles mostly more than 0.97. Not seen: flipped and rotated copies, larger
    crops, and pictures with hardly any contrast, such as open water. A camera that never moves gives false alarms.
    """
    a, b = unit_thumbnails(first), unit_thumbnails(second)
    if not len(a[0]) or not len(b[0]):
        return
    for start in range(0, len(b[0]), 256):
        likeness = b[0][start : start + 256] @ a[0].T
        if first is second:
            likeness[np.arange(len(likeness)), start + np.arange(len(likeness))] = -1
        best = likeness.argmax(1)
        for row in np.flatnonzero(likeness.max(1) >= threshold):
            yield first[a[1][best[row]]], second[b[1][start + row]], float(likeness[row, best[row]])


def unit_thumbnails(pairs: Sequence[Measurements]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return thumbnails with mean 0 and length 1, (N, 256), and the positions of their pairs."""
    shown = [i for i, pair in enumerate(pairs) if pair.thumbnail is not None]
    pictures = np.array([pairs[i].thumbnail for i in shown], np.float32).reshape(len(shown), 256)
    pictures -= pictures.mean(1, keepdims=True)
    deviation = pictures.std(1)
    clear = deviation >= _FLAT
    unit = pictures[clear] / (deviation[clear, None] * np.float32(16))
    return unit.astype(np.float32), np.array(shown, np.int64)[clear]
