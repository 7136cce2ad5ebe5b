"""Templates of file names under which images and masks pair up, found in their names."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from seg.data.pairs.names import list_files, shared_name

_LEAST = 3  # pairs: of fewer, any two names are alike but for something
_NEARLY_ALL = 0.9
_LOOKED_AT = 5  # images whose masks are sought
_TRIED = 8  # templates that are tried on all files

Templates = tuple[str, str]
"""Of the file names of images and of masks."""


def fitting_templates(images: Path, masks: Path) -> list[tuple[Templates, int, int]]:
    """Return the templates under which (nearly) all images of a folder have a mask of their own in another folder,
    for names that differ by what is in front or behind: how many have one, and how many images there are.

    Several fit where an image has masks of several kinds.
    """
    try:
        names, mask_names = [*list_files(images)], [*list_files(masks)]
    except ValueError:
        return []
    if images.resolve() == masks.resolve():
        return []
    step = max(len(names) // _LOOKED_AT, 1)
    found = Counter(pattern for name in names[::step][:_LOOKED_AT] for pattern in _patterns(name, mask_names))
    counted = [(pattern, _pairs(pattern, names, mask_names)) for pattern, _ in found.most_common(_TRIED)]
    fits = [(pattern, pairs) for pattern, pairs in counted if pairs >= max(_LEAST, _NEARLY_ALL * len(names))]
    return [(pattern, pairs, len(names)) for pattern, pairs in fits]


def proposal(
    images: Path, masks: Path, options: tuple[str, str] = ("image_template", "template"), prefix: str = ""
) -> str:
    """Return what options to give, in the words of a message, where files have other names than the default templates
    ask for; empty where no template would do.

    Args:
        options: of the templates of both.
        prefix: of their names, such as ``data.``.
    """
    texts = []
    for pattern, pairs, of in fitting_templates(images, masks):
        both = zip(options, pattern, strict=True)
        given = " ".join(f"{prefix}{option}={template}" for option, template in both if template != "{}")
        texts.append(f"{given} (pairs {pairs} of {of})")
    return " or ".join(texts)


def _patterns(image: str, masks: Sequence[str]) -> Iterator[Templates]:
    """Yield the templates that make an image and the masks whose names are most like its own share a name."""
    folder, base = os.path.split(image)
    longest, patterns = 1, set[Templates]()
    for mask in masks:
        within, other = os.path.split(mask)
        if within != folder:
            continue
        for turned in (False, True):  # with a common beginning, with a common end
            first, second = (base[::-1], other[::-1]) if turned else (base, other)
            common = _beginning(first, second)
            if len(common) < len(first) and len(common) < len(second):
                common = common.rstrip("_-. ") or common  # which separate the name from what follows
            if len(common) > longest:
                longest, patterns = len(common), set()
            if len(common) == longest:
                rests = first[longest:], second[longest:]
                before, after = (f"{rest[::-1]}{{}}" if turned else f"{{}}{rest}" for rest in rests)
                patterns.add((before, after))
    yield from sorted(patterns - {("{}", "{}")})


def _beginning(first: str, second: str) -> str:
    """Return what two texts begin with."""
    return first[: next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(second))]


def _pairs(pattern: Templates, images: Sequence[str], masks: Sequence[str]) -> int:
    """Count the names that images and masks share under these templates."""
    both = zip(pattern, (images, masks), strict=True)  # a suffix, whichever: what follows a dot in a name is none
    first, second = ({shared_name(f"{name}.png", template) for name in names} - {None} for template, names in both)
    return len(first & second)
