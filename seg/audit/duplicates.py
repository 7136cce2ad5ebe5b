"""Duplicate images, exact and near, within a split and across splits."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from seg.audit.records import Example, Finding, Look, as_findings, percent_text, text_of

NEAR = 0.97
"""Least correlation of two 16 x 16 gray thumbnails that counts as the same picture; `near_duplicates` says why."""
_FLAT = 2.0  # gray levels: a thumbnail with less standard deviation shows nothing recognisable


def check_duplicates(looks: dict[str, list[Look]]) -> Iterator[Finding]:
    groups: dict[bytes, list[tuple[str, Look]]] = defaultdict(list)
    for split, members in looks.items():
        for look in members:
            if not look.image_error:
                groups[look.image_hash].append((split, look))
    several = [group for group in groups.values() if len(group) > 1]
    for split in looks:
        inner = [[look for name, look in group if name == split] for group in several]
        equal = [group for group in inner if len(group) > 1 and len({look.pair_hash for look in group}) == 1]
        text = f"redundant copies of a pair of image and mask: {sum(map(len, equal)) - len(equal)}"
        copies = [Example(tuple(text_of(look.image) for look in group)) for group in equal]
        yield from as_findings(
            "duplicate",
            "warning",
            split,
            copies,
            text,
            "keep one of each, because copies weigh more in training and scores",
        )
    read = [[look for _, look in group if not look.mask_error] for group in several]
    torn = [group for group in read if len({look.pair_hash for look in group}) > 1]
    examples = [Example(tuple(text_of(f) for look in group for f in (look.image, look.mask))) for group in torn]
    text = f"images that occur several times with different masks: {len(torn)}"
    yield from as_findings("contradiction", "warning", ", ".join(looks), examples, text, "decide which mask is right")
    for first, second in combinations(looks, 2):
        yield from _check_leak(first, second, looks, several)
    if len(looks) == 1:
        [(split, members)] = looks.items()
        distinct = list({look.image_hash: look for look in members if not look.image_error}.values())
        near = _pairs_of(near_duplicates(distinct, distinct))
        text = f"images nearly equal to another one: {len(near)} of {len(members)}"
        advice = "split by video or scene: a random split (data.val_share) would put them on both sides"
        yield from as_findings("near-copy", "note", split, near, text, advice)


def _check_leak(
    first: str, second: str, looks: dict[str, list[Look]], several: list[list[tuple[str, Look]]]
) -> Iterator[Finding]:
    examples, known = [], set()
    for group in several:
        mine = [look for split, look in group if split == first]
        for look in (look for split, look in group if split == second and mine):
            same = any(other.pair_hash == look.pair_hash for other in mine)
            examples.append(
                Example((text_of(mine[0].image), text_of(look.image)), f"{'same' if same else 'another'} mask")
            )
            known.add(look.image)
    of = f"of {len(looks[second])}"
    text = f"images of {second} that are also in {first}, pixel for pixel: {len(examples)} {of}"
    advice = f"remove them from one of the two: scores on {second} would reward memory"
    yield from as_findings("leak", "error", f"{first}, {second}", examples, text, advice)
    rest = [look for look in looks[second] if look.image not in known]
    near = _pairs_of(near_duplicates(looks[first], rest))
    text = f"images of {second} nearly equal to one of {first}: {len(near)} {of}"
    advice = "look at them; keep frames of one video, and crops and copies of one picture, in one split"
    yield from as_findings("near-leak", "warning", f"{first}, {second}", near, text, advice)


def _pairs_of(found: Iterable[tuple[Look, Look, float]]) -> list[Example]:
    return [
        Example((text_of(a.image), text_of(b.image)), f"{percent_text(likeness)} alike") for a, b, likeness in found
    ]


def near_duplicates(
    first: Sequence[Look], second: Sequence[Look], threshold: float = NEAR
) -> Iterator[tuple[Look, Look, float]]:
    """Each look of ``second`` that resembles one of ``first`` (another one, if both are one list): yields the nearest
    look of ``first``, the look, and their likeness, up to 1.

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


def unit_thumbnails(looks: Sequence[Look]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Thumbnails with mean 0 and length 1, (N, 256), and the positions of their looks."""
    shown = [i for i, look in enumerate(looks) if look.thumbnail is not None]
    pictures = np.array([looks[i].thumbnail for i in shown], np.float32).reshape(len(shown), 256)
    pictures -= pictures.mean(1, keepdims=True)
    deviation = pictures.std(1)
    clear = deviation >= _FLAT
    unit = pictures[clear] / (deviation[clear, None] * np.float32(16))
    return unit.astype(np.float32), np.array(shown, np.int64)[clear]
