"""What is asked of a bulk run, whose options have to go together: the function that does it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from seg.convert.annotations import AnnotationReader
from seg.convert.folder import convert_folder, recolor_folder
from seg.convert.labelme import ShapeReader
from seg.convert.reader import ANNOTATIONS, LabelReader
from seg.convert.summary import Summary
from seg.convert.tiles import Cut, ImageTiles
from seg.files import checks
from seg.labels import LabelMap

_VOID = {"void", "unlabelled", "unlabeled", "ignore", "ignored"}  # no background, which often is a class


def work(
    *,
    inverse: bool = False,
    write: str | None = None,
    size: Sequence[int] | None = None,
    tile: int | None = None,
    overlap: int = 0,
    images: str | None = None,
    images_destination: str | None = None,
    image_template: str = "{}",
    template: str = "{}",
    exif: str = "apply",
    instances_destination: str | None = None,
    **options: Any,
) -> Callable[..., Summary]:
    """Return `convert_folder`, `recolor_folder` or `write_folder` with all options but folders and label map.

    Args:
        inverse: colour masks.
        write: a form of annotation to write masks in, see `write_folder`.
        size, tile, overlap: see `seg.convert.Cut`.
        images, images_destination, image_template, template, exif: see `seg.convert.ImageTiles`.
        instances_destination: ``instances`` of `convert_folder`.
        options: its others.

    Raises:
        ValueError: options that do not go together.
    """
    checks.flag("inverse", inverse)
    checks.flag("overwrite", options["overwrite"])
    if write is not None:
        only = {"inverse": (inverse, False), "size": (size, None), "tile": (tile, None), "overlap": (overlap, 0),
                "images_destination": (images_destination, None), "template": (template, "{}"), "exif": (exif, "apply"),
                "instances_destination": (instances_destination, None)}  # fmt: skip
        return _writing(only, write=write, images=images, image_template=image_template, **options)
    for name, default in (("shapes", None), ("tolerance", 0.0), ("instances", None)):
        checks.idle(name, options.pop(name), default, "write")
    if options["read"] == "yolo" and not inverse:
        options |= {"sizes_of": images, "image_template": image_template}
        images = images and images_destination and images  # they are cut only if that is asked for
    elif bool(images) != bool(images_destination):
        raise ValueError("expected images and images_destination together, got one of them; give both, or neither")
    if not images:
        if "sizes_of" not in options:
            checks.idle("image_template", image_template, "{}", "images")
        checks.idle("template", template, "{}", "images")
        checks.idle("exif", exif, "apply", "images")
    checks.choice("exif", exif, ("apply", "ignore"))
    cut = Cut(size, tile, overlap) if any((size, tile, overlap)) else None  # type: ignore[arg-type]
    if inverse:
        if options["background"] is not None:
            raise ValueError(
                "expected inverse=true without background, got both; leave it out: whole masks are coloured"
            )
        read = tuple(options[key] for key in ("unknown", "read", "transparent", "names", "max_distance"))
        idle = (cut, images, instances_destination, options["class_template"], options["order"])
        if any(idle) or read != ("error", "auto", "keep", "path", None):
            raise ValueError(
                "expected inverse=true without tile, size, images, instances_destination, unknown, read, names, "
                "class_template, order, transparent and max_distance, got some of them; leave them out: whole masks "
                "are coloured"
            )
        return partial(recolor_folder, **{key: options[key] for key in ("pattern", "threads", "overwrite")})
    if images and images_destination:
        if cut is None:
            raise ValueError(
                "expected tile or size with images, got neither; without them the images would stay what they are"
            )
        options["images"] = ImageTiles(
            cut, images, images_destination, image_template=image_template, template=template, exif=exif
        )
    return partial(convert_folder, cut=cut, instances=instances_destination, **options)


def _writing(only: dict[str, tuple[Any, Any]], **options: Any) -> Callable[..., Summary]:
    """Return `write_folder` with its options.

    Args:
        only: options that it does not have, each with its default.
        options: others of `convert_folder`, too, which must be at their defaults.

    Raises:
        ValueError: an option that it does not have, or a form that there is not.
    """
    from seg.convert.writing import check_options, write_folder

    defaults: dict[str, Any] = {
        "unknown": "error",
        "max_distance": None,
        "read": "auto",
        "transparent": "keep",
        "names": "path",
    }
    defaults |= {"class_template": None, "order": None, "max_pixels": 1 << 28}
    only |= {name: (options.pop(name), default) for name, default in defaults.items()}
    if given := [name for name, (got, default) in only.items() if got != default]:
        raise ValueError(f"expected write={options['write']} without {', '.join(given)}, got both; leave them out")
    check_options(**{key: options[key] for key in ("write", "shapes", "tolerance", "image_template", "instances")})
    return partial(write_folder, **options)


def suffixes_of(read: str) -> tuple[str, ...]:
    """Return the suffixes, or names, of the files that are read so."""
    annotated = {"labelme": ShapeReader.suffixes, "cityscapes_polygons": AnnotationReader.suffixes, "yolo": (".txt",)}
    return annotated.get(read, LabelReader.suffixes)


def ignoring_values(labels: LabelMap, values: Any, read: str) -> LabelMap:
    """Return the label map with numbers in files of one channel that become 255.

    Raises:
        ValueError: no list, or files are not read by their numbers.
    """
    if not isinstance(values, list):
        raise ValueError(f"ignore_values: expected a list, got {values!r}; give such as [-1, 255]")
    if not values:
        return labels
    if read in ANNOTATIONS:
        raise ValueError(f"ignore_values: expected only with images, got {values!r} with read={read}; leave it out")
    if read != "index" and not any(label.values for label in labels.labels if not label.ignore):
        raise ValueError(
            "ignore_values: expected values in the label map, or read=index, got colours alone, by which images are "
            "read; add values to the label map, or ignore a class by its name (ignore=[...])"
        )
    return labels.ignoring_values(values)


def void_classes(labels: LabelMap, ignored: Sequence[str]) -> str:
    """Say which classes are called as if they were none, and what makes their pixels 255; empty without any.

    Args:
        ignored: names that are ignored by request.
    """
    names = [name for name in labels.names if name.strip(" _-").lower() in _VOID]
    if not names:
        return ""
    what = " and ".join(f"'{name}'" for name in names) + (" become classes" if len(names) > 1 else " becomes a class")
    listed = ",".join([*ignored, *names])
    return f"{what} like any other; ignore=[{listed}] makes such pixels 255, which training and scores leave out"


def parse_shard(text: Any) -> tuple[int, int] | None:
    """Return (i, n) of ``i/n``, where i counts from 1, or from 0; None of None.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    index, _, count = str(text).partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) <= int(count) != 0):
        raise ValueError(f"shard: expected I/N with 1 <= I <= N, or I counted from 0, got '{text}'; give such as 1/8")
    return int(index) or int(count), int(count)  # 0/N is N/N: both ways of counting give every part once


def no_files_of(shard: tuple[int, int]) -> str:
    """Say that a shard (i, n) has no files."""
    return (
        f"shard {shard[0]}/{shard[1]} has none of the files, which are shared out by their names; it is complete, and "
        "the merge, the same command without shard, takes it so"
    )
