"""Splits by scene: tiles of one picture, or frames of one place, belong to one part."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar

from seg.files import checks

_TILE = re.compile(r"(?P<scene>(?:.*/)?(?P<stem>[^/]+))/(?P=stem)(?:_(?:\d{5}|[1-9]\d{5,})){2}")
_PLACED = re.compile(r"(?P<scene>.+)[_-](?P<y>\d{1,9})[_-](?P<x>\d{1,9})")

T = TypeVar("T")


def scenes_of(names: Sequence[str], group: str | None = None) -> list[str]:
    """Return the scene of each pair.

    Args:
        names: of the pairs.
        group: a regular expression; what its first group, or the whole of it, finds in a name is the scene. None: the
            tiles ``a/b/b_00000_00512`` that ``seg-preprocess tile=`` makes are of the scene ``a/b``, and everything
            else is a scene of its own.

    Raises:
        ValueError: no regular expression, or a name that it finds nothing in.
    """
    if group is None:
        return [match["scene"] if (match := _TILE.fullmatch(name)) else name for name in names]
    try:
        pattern = re.compile(group)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"data.group: expected a regular expression, such as '^(.*)_', got '{group}' ({error}); correct it"
        ) from None
    matches = [pattern.search(name) for name in names]
    matched = [match and match[min(pattern.groups, 1)] for match in matches]
    without = [name for name, scene in zip(names, matched, strict=True) if not scene]
    if without:
        raise ValueError(
            f"data.group: expected '{group}' to find a scene in every name, got none in {len(without)} of "
            f"{len(names)}, the first '{without[0]}'; correct it"
        )
    return [str(scene) for scene in matched]


def torn_scenes(
    first: Sequence[str], second: Sequence[str], group: str | None = None
) -> dict[str, tuple[list[int], list[int]]]:
    """Find scenes that have pairs in both parts, and the positions of these pairs.

    Args:
        first, second: names of the pairs of each part.
        group: as for `scenes_of`. None: tiles alone tell, ``a_<y>_<x>`` as well, where y and x look like pixels. Left
            out is a scene that has one and the same tile in both parts: it is two pictures of one name, or there are
            copies, which only their pixels tell.

    Raises:
        ValueError: as `scenes_of`.
    """
    names = [*first, *second]
    scenes = scenes_of(names, group)
    if group is None:
        beside = _by_place([name for name, scene in zip(names, scenes, strict=True) if name == scene])
        scenes = [beside.get(name, scene) for name, scene in zip(names, scenes, strict=True)]
    members: dict[str, tuple[list[int], list[int]]] = {scene: ([], []) for scene in scenes}
    for i, scene in enumerate(scenes):
        here, there = members[scene]
        there.append(i - len(first)) if i >= len(first) else here.append(i)
    both = set(first) & set(second) if group is None else set()
    twice = {scene for name, scene in zip(names, scenes, strict=True) if name in both}
    return {scene: parts for scene, parts in members.items() if all(parts) and scene not in twice}


def _by_place(names: Sequence[str]) -> dict[str, str]:
    """Return the scene of each tile that lies beside those of other scenes, in one folder.

    Their numbers are taken for pixels where they begin with 0 and go on in steps of at least 16: others count cases,
    frames or seconds.
    """
    placed: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for name in names:
        if match := _PLACED.fullmatch(name):
            placed[match["scene"]].append((name, int(match["y"]), int(match["x"])))
    return {
        name: scene
        for scene, tiles in placed.items()
        if all(
            min(numbers) == 0 and min({*numbers} - {0}, default=16) >= 16 for numbers in [*zip(*tiles, strict=True)][1:]
        )
        for name, _, _ in tiles
    }


def split(
    members: Sequence[T], share: float, seed: int, scenes: Sequence[str] | None = None
) -> tuple[list[T], list[T]]:
    """Split by a seed into training and validation; depends on the scenes, their sizes and the seed alone.

    Args:
        share: of the members that are for validation, between 0 and 1; as near to it as whole scenes allow, and each
            part gets at least one.
        scenes: of each member, all of which come into one part; None: each is one.

    Raises:
        ValueError: a share outside 0..1, or fewer than two scenes.
    """
    checks.share("data.val_share", share, "the scenes", least=False, most=False)
    names = list(scenes) if scenes is not None else [str(i) for i in range(len(members))]
    sizes = Counter(names)
    if len(members) < 2:
        raise ValueError(f"split: expected at least two pairs, got {len(members)}; add images, or name both parts")
    if len(sizes) < 2:
        raise ValueError(
            f"split: expected pairs of at least two scenes, got {len(members)} of one, '{names[0]}'; add another "
            "scene, name both parts (data.val), or say by data.group what a scene is"
        )
    import numpy as np  # the conversion, which lists files as pairing does, works without it

    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(sizes))
    listed = list(sizes)
    validation = _drawn([(listed[i], sizes[listed[i]]) for i in order.tolist()], round(share * len(members)))
    return (
        [member for member, name in zip(members, names, strict=True) if name not in validation],
        [member for member, name in zip(members, names, strict=True) if name in validation],
    )


def _drawn(sizes: list[tuple[str, int]], wanted: int) -> set[str]:
    """Choose scenes, in this order, that together come nearest to the wanted number; at least one, and not all."""
    drawn: list[str] = []
    count = 0
    for name, size in sizes:
        if count + size / 2 <= wanted and len(drawn) < len(sizes) - 1:
            drawn.append(name)
            count += size
    return set(drawn) or {min(sizes, key=lambda scene: scene[1])[0]}
