"""Splits that tear what belongs together: a scene by the names of its tiles, a video by the numbers of its frames."""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from seg.audit.duplicates import unit_thumbnails
from seg.audit.records import Finding, Measurements, as_findings, example_of, percent_text
from seg.data.pairs import torn_scenes

_ALIKE = 0.8  # least likeness of neighbours: frames of CamVid that are 1 s apart have a median of 0.88
_OTHERS = (
    0.9  # share of the other pictures that must be less alike: numbers that mean nothing reach it in 1 of 10 cases
)
_FEWEST = 4  # and half of the pictures with a neighbour: so many are no coincidence
_SAMPLE = 500  # of the others

_LAST_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL)


def check_neighbours(pairs: dict[str, list[Measurements]], group: str | None = None) -> Iterator[Finding]:
    """Report scenes and sequences that have pairs in two splits.

    Args:
        group: what tells a pair's scene, see `seg.data.pairs.scenes_of`.
    """
    for first, second in combinations(pairs, 2):
        yield from _check_scenes(first, second, pairs, group)
        yield from _check_frames(first, second, pairs)


def _check_scenes(
    first: str, second: str, pairs: dict[str, list[Measurements]], group: str | None
) -> Iterator[Finding]:
    torn = torn_scenes([pair.name for pair in pairs[first]], [pair.name for pair in pairs[second]], group)
    examples = [
        example_of(
            pairs[first][here[0]].image,
            pairs[second][there[0]].image,
            detail=f"'{scene}': {len(here)} in {first}, {len(there)} in {second}",
        )
        for scene, (here, there) in torn.items()
    ]
    text = f"scenes with pairs in {first} and in {second}: {len(torn)}"
    advice = f"keep each scene in one part: the model has seen the surroundings of the images in {second}"
    yield from as_findings("torn-scene", "warning", f"{first}, {second}", examples, text, advice)


def _check_frames(first: str, second: str, pairs: dict[str, list[Measurements]]) -> Iterator[Finding]:
    """Report pictures whose neighbour by number is in the other split and looks more alike than most others there.

    Numbers alone tell nothing: those of a video count frames, those of a collection its pictures.
    """
    here, of_here = unit_thumbnails(pairs[first])
    there, of_there = unit_thumbnails(pairs[second])
    neighbours = _by_number([pairs[first][i].name for i in of_here], [pairs[second][i].name for i in of_there])
    sample = here[np.random.Generator(np.random.PCG64(0)).permutation(len(here))[:_SAMPLE]]
    examples = []
    for mine, theirs in neighbours:
        likeness = float(here[mine] @ there[theirs])
        if likeness >= _ALIKE and (sample @ there[theirs] < likeness).mean() >= _OTHERS:
            files = pairs[first][of_here[mine]].image, pairs[second][of_there[theirs]].image
            examples.append(example_of(*files, detail=f"{percent_text(likeness)} alike"))
    if len(examples) < max(_FEWEST, len(neighbours) / 2):
        return
    text = f"images of {second} that look like their neighbour by number in {first}: {len(examples)} of "
    text += f"{len(neighbours)} that have one"
    advice = "keep frames of one video, and tiles of one scene, in one part (data.group says what belongs together)"
    yield from as_findings("torn-sequence", "warning", f"{first}, {second}", examples, text, advice)


def _by_number(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of each name of ``second`` and of its neighbour in ``first``: of the names that differ from
    it by their last number alone, the one with the nearest number.
    """
    series: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for i, name in enumerate(first):
        if match := _LAST_NUMBER.fullmatch(name):
            series[match[1], match[3]].append((int(match[2]), i))
    for numbers in series.values():
        numbers.sort()
    nearest_pairs = []
    for i, name in enumerate(second):
        if (match := _LAST_NUMBER.fullmatch(name)) and (numbers := series.get((match[1], match[3]), [])):
            at, number = bisect(numbers, (int(match[2]), 0)), int(match[2])
            nearest = min(numbers[max(at - 1, 0) : at + 1], key=lambda entry: abs(entry[0] - number))
            nearest_pairs.append((nearest[1], i))
    return nearest_pairs
