"""Images and masks are paired by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from seg.data.pairs.folders import PRODUCTS, was_predicted
from seg.data.pairs.lists import listed_files
from seg.data.pairs.names import list_files, one_each, shared_name
from seg.data.pairs.several import Folders, Part, as_list, parts_of
from seg.data.pairs.templates import proposal


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the name both share (relative path without suffix).

    Attributes:
        instances: file with the number of the object at each pixel; None without one.
    """

    name: str
    image: Path
    mask: Path
    instances: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.image, self.mask) if self.instances is None else (self.image, self.mask, self.instances)


def pair(
    images: Folders,
    masks: Folders,
    *,
    image_template: str = "{}",
    template: str = "{}",
    only: Folders | None = None,
    prefix: str | None = "",
    part: str = "",
) -> list[Pair]:
    """Pair every image with its mask by name, sorted by name.

    Args:
        images, masks: folders, mirrored where nested; they may be one folder. Of each as many as of the other: names
            then begin with what differs between the paths (``d1/a`` and ``d2/a`` from ``d1/images``, ``d2/images``).
        image_template, template: file name of image and mask, ``{}`` for the shared name.
        only: a list file, see `seg.data.pairs.lists.listed_files`, or one for each folder; without it, all files must
            pair up.
        prefix, part: what messages put before the names of the options: ``data.``, and ``train.`` of the list; None
            where there are no such options.

    Raises:
        ValueError: a file without partner, an empty folder, or a listed name that does not exist.
    """
    pairs: list[Pair] = []
    for one in parts_of(images, masks, only):
        image_files, mask_files = map(one_each, _list_part(one, image_template, template))
        remedy = partial(_remedy, one, prefix, part)
        _check_partners("image", image_files, "mask", mask_files, one.masks, template, remedy)
        _check_partners("mask", mask_files, "image", image_files, one.images, image_template, remedy)
        pairs += [Pair(one.prefix + name, image_files[name], mask_files[name]) for name in sorted(image_files)]
    return sorted(pairs, key=lambda p: p.name)


def with_instances(
    pairs: Sequence[Pair],
    masks: Folders,
    instances: Folders,
    *,
    template: str = "{}",
    instance_template: str = "{}",
    prefix: str = "",
) -> list[Pair]:
    """Return the pairs with the files that hold the numbers of their objects, which have the names of the masks.

    Args:
        pairs: whose masks lie in ``masks``.
        masks, instances: folders; of each as many as of the other.
        template, instance_template: file name of a mask and of its instances, ``{}`` for the shared name.
        prefix: what messages put before the name of an option, such as ``data.``.

    Raises:
        ValueError: a mask without such a file, or the masks themselves.
    """
    first, second = as_list(masks), as_list(instances)
    if len(first) != len(second):
        raise ValueError(
            f"instances: expected a folder for each of {len(first)} folders of masks, got {len(second)}; give as many, "
            "in the same order"
        )
    files = [one_each(list_files(folder, instance_template)) for folder in second]
    complete = []
    for p in pairs:
        number = next(number for number, folder in enumerate(first) if p.mask.is_relative_to(folder))
        name = shared_name(p.mask.relative_to(first[number]).as_posix(), template) or ""
        path = files[number].get(name)
        if path is None:
            raise ValueError(
                f"instances: expected a file like '{instance_template}' in '{second[number]}' for each mask, got none "
                f"for '{p.mask}'; add it, or set the template ({prefix}instance_template=)"
            )
        if path.resolve() == p.mask.resolve():
            raise ValueError(
                f"instances: expected other files than the masks, got '{path}' as both; give the folder that holds the "
                "numbers of the objects"
            )
        complete.append(replace(p, instances=path))
    return complete


def list_both(
    images: Folders,
    masks: Folders,
    *,
    image_template: str = "{}",
    template: str = "{}",
    only: Folders | None = None,
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """List image files and mask files by name, whether or not they pair up; the arguments are those of `pair`."""
    both: tuple[dict[str, list[Path]], dict[str, list[Path]]] = {}, {}
    for part in parts_of(images, masks, only):
        for files, listed in zip(both, _list_part(part, image_template, template), strict=True):
            files.update({part.prefix + name: paths for name, paths in listed.items()})
    return both


def _list_part(part: Part, image_template: str, template: str) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    mask_files = list_files(part.masks, template)
    if was_predicted(part.masks):
        mask_files = {name: paths for name, paths in mask_files.items() if not name.startswith(PRODUCTS)}
    image_files = list_files(part.images, image_template)
    if template != image_template:  # one folder may hold both: masks are not images
        taken = {path for paths in mask_files.values() for path in paths}
        image_files = {name: paths for name, paths in image_files.items() if not taken & set(paths)}
    if part.listed is not None:
        return listed_files(part.listed, image_files, mask_files, (part.images, part.masks))
    return image_files, mask_files


def _check_partners(
    kind: str,
    files: dict[str, Path],
    other: str,
    others: dict[str, Path],
    folder: Path,
    template: str,
    remedy: Callable[[str], str],
) -> None:
    alone = [path for name, path in files.items() if name not in others]
    if alone:
        raise ValueError(
            f"expected {other} files like '{template}' in '{folder}' for each {kind}, got none for {len(alone)} of "
            f"{len(files)}, the first '{alone[0]}'; {remedy('template' if other == 'mask' else 'image_template')}"
        )


def _remedy(where: Part, prefix: str | None, part: str, option: str) -> str:
    """Say what to do about a file without partner, with the names of the options."""
    if prefix is None:
        return "add it, or call both alike"
    found = proposal(where.images, where.masks, prefix=prefix)
    usual = f"set the template ({prefix}{option}=), or name the wanted files in a list ({prefix}{part}list=FILE)"
    return f"give {found}; or add it, {usual}" if found else f"add it, {usual}"
