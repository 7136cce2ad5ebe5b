"""The finder of suspects: thresholds of the classes first, then the regions of each image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.audit.suspects.probabilities import Probabilities
from seg.data.pairs import Pair
from seg.files import checks
from seg.images import read_mask
from seg.labels import IGNORE, LabelMap

TOLERANCE, LEAST = 2, 16

_EQUAL = 1e-6  # of probabilities
_STEP = 1 / 512  # half of the steps that they are kept in: 0 may have been as much

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Suspect:
    """A region whose label models do not believe.

    Attributes:
        name: of the image.
        label, suggested: classes.
        box: left, top, right and bottom, the last two outside, in pixels.
        area: pixels.
        score: by which suspects are ranked: the logarithm of how many times likelier than the label the models hold the
            suggested class, as a mean over the pixels that are not at the label's border, and over as many further
            ones, of which nothing is known, as a region has at least: few pixels are never sure. At most 6.2.
        seed: x and y of one of its pixels, from which `Suspects.region` finds the others.
    """

    name: str
    label: str
    suggested: str
    box: tuple[int, int, int, int]
    area: int
    score: float
    seed: tuple[int, int]


@dataclass(frozen=True)
class Suspects:
    """What `find_suspects` found.

    Attributes:
        found: the most suspect first.
        pairs: those that were looked at, by name.
        thresholds: of each class, the mean probability where it is labelled.
    """

    found: tuple[Suspect, ...]
    pairs: Mapping[str, Pair]
    thresholds: NDArray[np.float64]
    probabilities: Probabilities
    labels: LabelMap

    def look(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return an image's mask, and what `suggestion` says of it."""
        mask = read_mask(self.pairs[name].mask, self.labels.classes)
        shares = self.probabilities.read(name, self.labels.names, mask.shape)
        return mask, suggestion(mask, shares, self.thresholds)[0]

    def region(self, suspect: Suspect, mask: NDArray[np.uint8], suggested: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the pixels (H, W) of a suspect, of what `look` returned of its image."""
        x, y = suspect.seed
        same = (mask == mask[y, x]) & (suggested == suggested[y, x])
        parts = cv2.connectedComponents(same.astype(np.uint8))[1]
        return np.asarray(parts == parts[y, x])


def find_suspects(
    pairs: Sequence[Pair],
    probabilities: Probabilities,
    labels: LabelMap,
    *,
    tolerance: int = TOLERANCE,
    least: int = LEAST,
    progress: Progress = lambda done, total: None,
) -> Suspects:
    """Find the regions where labels and models disagree.

    Args:
        pairs: images and masks; those without probabilities are left out.
        probabilities: of models that were not trained on the image.
        tolerance: pixels around the border of a label within which a region is merely hard.
        least: pixels of a region.
        progress: called with (done, total) images; each is looked at twice.

    Raises:
        ValueError: an option, or a file that does not fit.
    """
    checks.whole("tolerance", tolerance, 0, 100)
    checks.whole("least", least, 1)
    known = [pair for pair in pairs if pair.name in probabilities.files]
    if not known:
        raise ValueError(
            f"suspects: expected probabilities of these images, got none for {len(pairs)} of {len(pairs)}, such as "
            f"'{pairs[0].name}'; give runs that were trained on them, with fit.probabilities=uint8"
        )
    thresholds = _thresholds(known, probabilities, labels, progress)
    found = []
    for done, pair in enumerate(known, start=1):
        mask = read_mask(pair.mask, labels.classes)
        shares = probabilities.read(pair.name, labels.names, mask.shape)
        for label, suggested, box, area, score, seed in _regions(mask, shares, thresholds, tolerance, least):
            found.append(Suspect(pair.name, labels.names[label], labels.names[suggested], box, area, score, seed))
        progress(len(known) + done, 2 * len(known))
    found.sort(key=lambda suspect: (-suspect.score, suspect.name, suspect.box))
    return Suspects(tuple(found), {pair.name: pair for pair in known}, thresholds, probabilities, labels)


def suggestion(
    mask: NDArray[np.uint8], shares: NDArray[np.float32], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what every model takes each pixel for, and how surely.

    Args:
        mask: (H, W).
        shares: (models, C, H, W).
        thresholds: (C,).

    Returns:
        classes (H, W), -1 where the label is believed, missing, or models do not agree; and the logarithm of how many
        times likelier than the label each is held (H, W), by the model that doubts it most.
    """
    lowest = shares.min(0).astype(np.float64)
    sure = np.where(lowest >= thresholds[:, None, None] - _EQUAL, lowest, -1.0)
    best, believed = sure.argmax(0), sure.max(0)
    label = np.where(mask == IGNORE, 0, mask).astype(np.int64)
    doubted = np.take_along_axis(shares.max(0).astype(np.float64), label[None], 0)[0]
    wrong = (mask != IGNORE) & (best != label) & (believed > doubted)
    times = np.log((np.maximum(believed, 0.0) + _STEP) / (doubted + _STEP))
    return np.where(wrong, best, -1), np.where(wrong, times, 0.0)


def _thresholds(
    pairs: Sequence[Pair], probabilities: Probabilities, labels: LabelMap, progress: Progress
) -> NDArray[np.float64]:
    """Return the mean probability of each class where it is labelled; above 1 for one that is nowhere labelled."""
    sums, pixels = np.zeros(labels.classes), np.zeros(labels.classes)
    for done, pair in enumerate(pairs, start=1):
        mask = read_mask(pair.mask, labels.classes)
        shares = probabilities.read(pair.name, labels.names, mask.shape).mean(0)
        for index in np.unique(mask[mask != IGNORE]).tolist():
            here = mask == index
            sums[index] += shares[index][here].sum(dtype=np.float64)
            pixels[index] += np.count_nonzero(here)
        progress(done, 2 * len(pairs))
    means: NDArray[np.float64] = np.divide(sums, pixels, out=np.full(labels.classes, 2.0), where=pixels > 0)
    return means


Region = tuple[int, int, tuple[int, int, int, int], int, float, tuple[int, int]]


def _regions(
    mask: NDArray[np.uint8], shares: NDArray[np.float32], thresholds: NDArray[np.float64], tolerance: int, least: int
) -> Iterator[Region]:
    """Yield label, suggested class, box, area, score and a pixel of each region of an image."""
    suggested, times = suggestion(mask, shares, thresholds)
    inside = ~_at_border(mask, tolerance)
    codes = np.where(suggested >= 0, mask.astype(np.int64) * 256 + suggested, -1)
    for code in np.unique(codes[codes >= 0]).tolist():
        number, parts, boxes, _ = cv2.connectedComponentsWithStats((codes == code).astype(np.uint8))
        pixels = np.bincount(parts[inside], minlength=number)
        scores = np.bincount(parts[inside], times[inside], number) / (pixels + least)
        large = (pixels > 0) & (boxes[:, cv2.CC_STAT_AREA] >= least)
        for part in np.flatnonzero(large[1:]) + 1:  # 0 is what has another code
            left, top, width, height, area = boxes[part].tolist()
            x = left + int(np.argmax(parts[top, left : left + width] == part))
            yield code // 256, code % 256, (left, top, left + width, top + height), area, float(scores[part]), (x, top)


def _at_border(mask: NDArray[np.uint8], tolerance: int) -> NDArray[np.bool_]:
    """Tell which pixels have another label, or none, within so many rows and columns."""
    around = np.ones((2 * tolerance + 1, 2 * tolerance + 1), np.uint8)
    return np.asarray(cv2.dilate(mask, around) != cv2.erode(mask, around))
