"""The splits that an audit looks at: one, or those of a training, of which a part may be a share of another."""

from seg.audit.records import Split
from seg.data.folds import part
from seg.data.pairs import Folders, pair, scenes_of, split
from seg.data.source import Part, Source

_PARTS = ("train", "val", "test")


def one_split(images: Folders | None, masks: Folders | None, **templates: str) -> list[Split]:
    """Return the one split of these folders.

    Raises:
        ValueError: one of the two is missing.
    """
    return [Split("data", *_folders(Part(images, masks), ""), **templates)]


def splits_of(source: Source, **templates: str) -> list[Split]:
    """Return the splits of a training: those that are given, or the share that ``seg-train`` would validate on.

    Args:
        templates: ``image_template`` and ``template``.

    Raises:
        ValueError: no part is given, or half of one.
    """
    named = {part: getattr(source, part) for part in _PARTS if is_given(getattr(source, part))}
    if not named:
        raise ValueError("missing on the command line: images=... masks=... (or data.train.images=... and so on)")
    folders = {name: _folders(part, f"data.{name}.", source.train) for name, part in named.items()}
    if [*named] != ["train"]:
        return [Split(name, *folders[name], **templates, listed=part.list) for name, part in named.items()]
    listed = source.train.list
    pairs = pair(*folders["train"], **templates, only=listed, prefix="data.", part="train.")
    if source.folds is not None and source.fold is not None:
        both = part(pairs, source.folds, source.fold, group=source.group, seed=source.split_seed)
    else:
        scenes = scenes_of([p.name for p in pairs], source.group)
        both = split(pairs, source.val_share, source.split_seed, scenes)
    shares = zip(("train", "val"), both, strict=True)
    return [
        Split(name, *folders["train"], **templates, only=[p.name for p in share], listed=listed)
        for name, share in shares
    ]


def is_given(part: Part) -> bool:
    """Tell whether anything is said of a part."""
    return any((part.images, part.masks, part.instances, part.list))


def _folders(part: Part, prefix: str, default: Part | None = None) -> tuple[Folders, Folders]:
    """Return folders of images and masks; a part that has a list alone shares those of ``default``."""
    if default and part.list and not part.images and not part.masks:
        part = default
    for key in ("images", "masks"):
        if getattr(part, key) is None:
            raise ValueError(f"missing on the command line: {prefix}{key}=...; a split needs images and masks")
    assert part.images is not None
    assert part.masks is not None
    return part.images, part.masks
