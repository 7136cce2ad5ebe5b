"""Levels that were trained on other data: before and after labels were corrected, or added.

The axis is where the data lie, such as ``data.train.masks``. What is in them tells what was changed, and whether the
levels can be compared: they must be judged by the same masks, and by images that none of them was trained on.
"""

from collections.abc import Iterator, Mapping, Sequence

from seg import runs
from seg.compare.conditions import by_level, level_of, shown_names
from seg.compare.evidence import Content, Entry

KEYS = ("data.train.masks", "data.train.images", "data.train.list")

Pixels = Mapping[str, tuple[str, ...]]


def axis_of_training(entries: Sequence[Entry]) -> str | None:
    """Return the setting that names the training data, where runs that agree in all else were trained on others.

    None where it names the same for all, or where the data are the same.
    """
    contents = {frozenset(_known(entry.trained_on).items()) for entry in entries}
    for key in KEYS if len(contents) > 1 else ():
        try:
            if len({level_of(entry, key) for entry in entries}) > 1:
                return key
        except ValueError:  # a run that has no such setting
            continue
    return None


def changes(levels: Mapping[str, Sequence[Entry]], axis: str | None) -> Iterator[str]:
    """Say what the levels of such an axis differ in, each from the first, and what that makes of a comparison."""
    if not _of_training(axis) or len(levels) < 2:
        return
    (first, some), *others = levels.items()
    for name, entries in others:
        before, after = _alike(some[0].trained_on, entries[0].trained_on)
        if before and after:
            yield _change(first, before, name, after)
            if len(before) != len(after) and entries[0].steps is None:
                yield (
                    f"in as many epochs {name} had {len(after) / len(before):.2f} times as many steps as {first}; "
                    "fit.steps=N gives all as many"
                )
    for name, entries in levels.items():
        if entries[0].folds:  # each image by the model that was not trained on it
            continue
        known = {images for images, *_ in entries[0].trained_on.pixels.values()}
        judged = entries[0].judged_on.pixels
        if seen := sorted(image for image, (pixels, *_) in judged.items() if pixels in known):
            yield (
                f"{name} was trained on {len(seen)} of the {len(judged)} images that it is judged on "
                f"({shown_names(seen)}): it knows their labels; take them out of one of the two"
            )


def judged_otherwise(entries: Sequence[Entry], axis: str | None) -> Iterator[str]:
    """Say of levels of such an axis that were judged by other masks than the first, on which images they compare."""
    levels = by_level([entry for entry in entries if _has(entry, axis)], axis) if _of_training(axis) else {}
    (first, some), *others = levels.items() if len(levels) > 1 else [("", [])]
    for name, members in others:
        before, after = _alike(some[0].judged_on, members[0].judged_on)
        shared = sorted(before.keys() & after.keys())
        if other := [image for image in shared if before[image] != after[image]]:
            alike = len(shared) - len(other)
            may = f"they do on the other {alike}" if alike else "there is no image on which they do"
            yield (
                f"{name} was judged by other masks than {first} ({shown_names(other)}): scores on these do not "
                f"compare; {may}. Judge all runs by the same masks, by seg-evaluate with last.pt of each, and compare "
                "these evaluations"
            )


def _of_training(axis: str | None) -> bool:
    return axis is not None and runs.owns("data.train", axis)


def _has(entry: Entry, axis: str | None) -> bool:
    try:
        level_of(entry, axis)
    except ValueError:
        return False
    return True


def _known(content: Content) -> Pixels:
    return content.pixels or content.sizes


def _alike(a: Content, b: Content) -> tuple[Pixels, Pixels]:
    """Return the checksums of both, or the sizes of files where one does not tell more."""
    return (a.pixels, b.pixels) if a.pixels and b.pixels else (a.sizes, b.sizes)


def _change(first: str, before: Pixels, name: str, after: Pixels) -> str:
    shared = before.keys() & after.keys()
    masks = sorted(image for image in shared if before[image][1:] != after[image][1:])
    images = sorted(image for image in shared if before[image][0] != after[image][0])
    parts = [
        f"{text} ({shown_names(some)})"
        for text, some in (
            ("images more", sorted(after.keys() - before.keys())),
            ("images less", sorted(before.keys() - after.keys())),
            ("other masks", masks),
            ("images of the same name with other pixels", images),
        )
        if some
    ]
    if not parts:
        return f"{name} was trained on the same images and masks as {first}: only the names of the folders differ"
    return f"against {first}, with {len(before)} training images, {name} has {', '.join(parts)}"
