"""Where the data of a training lie, and what is in them: pairs of images and masks, split and checked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seg.data import checked as checking
from seg.data.cache import CACHES
from seg.data.checked import Checked
from seg.data.folds import check_fold, part
from seg.data.pairs import Folders, Pair, as_list, pair, scenes_of, split, torn_scenes, with_instances
from seg.data.pairs.folders import list_names
from seg.files import SUFFIXES, checks
from seg.images import Reading, is_mask, read_values
from seg.images.oddities import oddities, percentiles, text_of
from seg.images.reading import PERCENTILES
from seg.labels import LabelMap
from seg.report.console import console
from seg.report.progress import bulk_progress

log = logging.getLogger(__name__)

_LOOKED_AT = 3  # files of a folder without labels.yaml

PairFiles = tuple[str, int, int] | tuple[str, int, int, str, str]
"""Name of a pair, bytes of its image and of its other files; of decoded ones also checksums of the pixels of both."""


@dataclass(frozen=True)
class Part:
    """Folders of one part of the data.

    Args:
        images, masks: a folder each, or as many as of the other.
        instances: folders that hold the number of the object at each pixel.
        list: file of names, one a line, or one for each folder: only these pairs.
    """

    images: Folders | None = None
    masks: Folders | None = None
    instances: Folders | None = None
    list: Folders | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that is read."""
        named = (self.images, self.masks, self.instances)
        return tuple(folder for folders in named if folders is not None for folder in as_list(folders))


@dataclass(frozen=True)
class Source:
    """Where the pairs of a training come from, and how their images are read: the group ``data``.

    Args:
        train: folders of the training pairs.
        val: folders of the validation pairs; without any, a list, or a share of the training pairs.
        test: what ``seg-audit`` looks at besides.
        image_template, template, instance_template: file name of an image, of a mask and of the numbers of objects,
            with ``{}`` for the name that they share.
        bands, range, exif: see `seg.images.Reading`.
        val_share: of the training pairs.
        group: regular expression whose first group, or match, names the scene of a pair, which stays whole.
        split_seed: of the share, or of the folds.
        folds, fold: instead of a share: so many parts, see `seg.data.folds`, of which one is for validation.
        cache: one of `seg.data.cache.CACHES`, or None.
        render: what makes the folders first; called without arguments.

    Raises:
        ValueError: another value.
    """

    train: Part
    val: Part = field(default_factory=Part)
    test: Part = field(default_factory=Part)
    image_template: str = "{}"
    template: str = "{}"
    instance_template: str = "{}"
    bands: Sequence[int] | None = None
    range: Any = None
    exif: str = "apply"
    val_share: float = 0.2
    group: str | None = None
    split_seed: int = 0
    folds: int | None = None
    fold: int | None = None
    cache: str | None = None
    render: Any = None

    def __post_init__(self) -> None:
        checks.choice("data.cache", self.cache, (None, *CACHES))
        check_fold(self.folds, self.fold)
        if self.folds is not None and (own := self.val.images or self.val.masks or self.val.list) is not None:
            raise ValueError(
                f"data.folds: expected no validation set of its own, got '{own}'; leave out data.val, or data.folds "
                "(with data=synthetic give data.val.images=null data.val.masks=null)"
            )
        for name in ("image_template", "template", "instance_template"):
            checks.text(f"data.{name}", getattr(self, name))
        if self.render is not None and not callable(self.render):
            raise ValueError(
                f"data.render: expected null, or the options of data=synthetic, got {self.render!r}; leave it out, or "
                "give data=synthetic"
            )
        _ = self.reading

    @property
    def reading(self) -> Reading:
        """How images are read; percentiles are still to measure."""
        return Reading.of(self.bands, self.range, self.exif, prefix="data.")

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that a training reads."""
        return (*self.train.folders, *self.val.folders)

    def pairs(self) -> tuple[list[Pair], list[Pair]]:
        """Pair images and masks by name alone; return training and validation pairs.

        Raises:
            ValueError: files that do not pair up, or the same in both parts.
        """
        self._check_parts()
        train = self._paired(self.train, self.train.list, "train.")
        if self.val.images is not None:
            val = self._paired(self.val, self.val.list, "val.")
        elif self.val.list is not None:
            val = self._paired(self.train, self.val.list, "val.")
        elif self.folds is not None and self.fold is not None:
            train, val = part(train, self.folds, self.fold, group=self.group, seed=self.split_seed)
        else:
            scenes = scenes_of([p.name for p in train], self.group)
            if (number := len(set(scenes))) < len(scenes):
                log.info(f"splitting {len(scenes)} pairs by scene: {number} scenes")
            train, val = split(train, self.val_share, self.split_seed, scenes)
        _warn_of_torn_scenes(train, val, self.group)
        both = {p.image.resolve() for p in train} & {p.image.resolve() for p in val}
        if both:
            raise ValueError(
                f"expected different images for training and validation, got {len(both)} in both, such as "
                f"'{min(both)}'; take them out of one of the two"
            )
        return train, val

    def take(self, *, overfit: int | None = None, few: tuple[int, int] | None = None) -> tuple[list[Pair], list[Pair]]:
        """Choose the pairs of a run: all, unless few are asked for.

        Args:
            overfit: so many training pairs, which are the validation pairs too.
            few: at most so many training and validation pairs, from all over the lists.

        Raises:
            ValueError: see `pairs`, or there are not as many.
        """
        train, val = self.pairs()
        if overfit is not None:
            if overfit > len(train):
                raise ValueError(
                    f"fit.overfit: expected at most the {len(train)} training pairs, got {overfit}; lower it"
                )
            return train[:overfit], train[:overfit]
        if few is not None:
            return _spread(train, few[0]), _spread(val, few[1])
        return train, val

    def _check_parts(self) -> None:
        if self.train.instances is None:
            checks.idle("data.instance_template", self.instance_template, "{}", "data.train.instances")
        if self.train.images is None or self.train.masks is None:
            raise ValueError(
                "data.train: expected images and masks, got none; give data.train.images=... data.train.masks=..."
            )
        if (self.val.images is None) != (self.val.masks is None):
            raise ValueError("data.val: expected images and masks together, got one of them; give both, or neither")
        numbered = self.train.instances is not None and self.val.images is not None
        if (self.val.instances is not None) != numbered:
            raise ValueError(
                "data.val.instances: expected it together with data.train.instances and data.val.images, got it "
                f"{'without them' if not numbered else 'missing'}; give all, or leave it out"
            )

    def _paired(self, part: Part, listed: Folders | None, name: str) -> list[Pair]:
        """Pair the files of a part that are listed, with the numbers of their objects where it has them."""
        assert part.images is not None
        assert part.masks is not None
        templates = {"image_template": self.image_template, "template": self.template}
        pairs = pair(part.images, part.masks, **templates, only=listed, prefix="data.", part=name)
        if part.instances is None:
            return pairs
        templates = {"template": self.template, "instance_template": self.instance_template}
        return with_instances(pairs, part.masks, part.instances, **templates, prefix="data.")

    def load_labels(self, labels: str | None) -> LabelMap:
        """Load the named label map, else that beside the masks, and hold the masks of both parts against it.

        Raises:
            ValueError: it is missing, or the masks were made with other classes.
        """
        assert self.train.masks is not None
        label_map = load_labels(labels, self.train.masks)
        if self.val.masks is not None:
            check_labels(label_map, self.val.masks, "data.train.masks")
        warn_of_values(label_map, self.train.masks, self.val.masks)
        return label_map

    def known_names(self, labels: str | None) -> tuple[str, ...] | None:
        """Return the names of the classes; None where no label map is there yet, or it is refused, as reading will."""
        rendered = getattr(self.render, "labels", None)
        return known_names(labels, self.train.masks) or (rendered and rendered.names)

    def read(
        self, pairs: tuple[Sequence[Pair], Sequence[Pair]], labels: LabelMap, reading: Reading | None = None
    ) -> "Data":
        """Decode and check every pair.

        Args:
            pairs: training and validation pairs, see `take`.
            labels: of the masks.
            reading: with percentiles that were measured before; None = measured here, where they are asked for.

        Raises:
            ValueError: whatever is wrong with the files.
        """
        train, val = map(list, pairs)
        # the percentiles of folds are those of all of them, or the models could not predict one image together
        shown = train if self.folds is None else sorted([*train, *val], key=lambda p: p.name)
        reading = measured(self.reading if reading is None else reading, [p.image for p in shown])
        log.info(f"checking {len(train)} training and {len(val)} validation pairs")
        train_checked = check(train, labels.classes, reading, "training")
        val_checked = check(val, labels.classes, reading, "validation")
        check_classes(train_checked, labels, "training", learn=True)
        check_classes(val_checked, labels, "validation")
        files = {"train": files_of(train, train_checked), "val": files_of(val, val_checked)}
        return Data(
            labels,
            train,
            val,
            train_checked.counts,
            train_checked.sizes,
            val_checked.sizes,
            files,
            reading,
            train_checked.moments,
        )


@dataclass(frozen=True)
class Data:
    """Checked pairs of both splits, how their images are read, and what the training part's pixels say.

    Attributes:
        moments: of the channels of the training images, see `seg.data.checked.Checked`.
    """

    labels: LabelMap
    train: list[Pair]
    val: list[Pair]
    train_counts: NDArray[Any]
    train_sizes: list[tuple[int, int]]
    val_sizes: list[tuple[int, int]]
    files: dict[str, list[PairFiles]]
    reading: Reading
    moments: NDArray[Any] | None

    @property
    def majority(self) -> int:
        """The most frequent class of the training masks."""
        return int(self.train_counts.sum(0).argmax())


def check(pairs: Sequence[Pair], classes: int, reading: Reading, part: str) -> Checked:
    """Call `seg.data.checked.check` with a progress bar, and warn of what is odd about the images of this part."""
    with bulk_progress("checking", "pairs", console) as tell:
        checked = checking.check(pairs, classes, reading=reading, progress=lambda done, total: tell(done, total=total))
    for odd in oddities(checked.facts, reading):
        log.warning(f"{part}: {odd.text}, such as '{pairs[odd.images[0]].image}'; {odd.advice}")
    return checked


def measured(reading: Reading, images: Sequence[Path]) -> Reading:
    """Return the reading with the percentiles of these training images, where it asks for them.

    Raises:
        ValueError: images that cannot be read.
    """
    if reading.range != PERCENTILES:
        return reading
    limits = percentiles(images, reading, read_values)
    log.info(f"data.range=percentiles: {text_of(limits)} of {len(images)} training images")
    return reading.with_range(limits)


def check_classes(checked: Checked, labels: LabelMap, part: str, *, learn: bool = False) -> None:
    """Warn of classes that have no pixel.

    Args:
        learn: a model is to be trained on it.

    Raises:
        ValueError: there is one class at most to learn.
    """
    pixels = checked.counts.sum(0)
    absent = [name for name, count in zip(labels.names, pixels, strict=True) if not count]
    ignored = sum(height * width for height, width in checked.sizes) - int(pixels.sum())
    if learn and len(absent) >= labels.classes - 1:
        (only,) = set(labels.names) - set(absent)
        hint = (
            f"; {ignored:,} pixels are 255, which is ignored: if they mean a class, convert the masks with a label map "
            "that gives it the value 255"
            if ignored
            else "; convert the labels with another label map"
        )
        raise ValueError(
            f"masks: expected pixels of two classes or more in the {part} masks, got '{only}' alone of "
            f"{', '.join(labels.names)}{hint}"
        )
    if absent:
        means = (
            "it cannot be learnt"
            if learn
            else "its IoU is 0 in the mean over classes as soon as one pixel is predicted so, and left out before"
        )
        log.warning(f"no {part} pixel is {' or '.join(repr(name) for name in absent)}: {means}")


def _warn_of_torn_scenes(train: list[Pair], val: list[Pair], group: str | None) -> None:
    """Say that pairs of one scene are in both parts.

    Raises:
        ValueError: the group is wrong.
    """
    if torn := torn_scenes([p.name for p in train], [p.name for p in val], group):
        scene, (here, there) = next(iter(torn.items()))
        log.warning(
            f"scenes with pairs in both parts: {len(torn)}, such as '{scene}' with {len(here)} for training and "
            f"{len(there)} for validation: scores will reward memory; keep each scene "
            "in one part, data.group says what a scene is"
        )


def file_sizes(pairs: Sequence[Pair]) -> list[tuple[str, int, int]]:
    """List what is known of pairs before they are decoded."""
    return [(p.name, p.image.stat().st_size, sum(f.stat().st_size for f in p.files[1:])) for p in pairs]


def files_of(pairs: Sequence[Pair], checked: Checked) -> list[PairFiles]:
    """List what a run folder keeps of its pairs."""
    return [(*sizes, *sums) for sizes, sums in zip(file_sizes(pairs), checked.checksums, strict=True)]


def _spread(pairs: list[Pair], number: int) -> list[Pair]:
    """Choose at most so many, from all over the list."""
    return [pairs[i * len(pairs) // number] for i in range(number)] if len(pairs) > number else pairs


def known_names(labels: str | None, masks: Folders | None) -> tuple[str, ...] | None:
    """Return the names of the classes, see `load_labels`; None where it refuses, which is said later."""
    try:
        return None if masks is None else load_labels(labels, masks).names
    except (ValueError, OSError):
        return None


def named_labels(labels: str | None, masks: Folders, ignore: Sequence[str] = ()) -> LabelMap:
    """Load the named label map, else the ``labels.yaml`` beside the masks, in the first of several folders."""
    beside = as_list(masks)[0] / "labels.yaml"
    if labels is None and not beside.is_file():
        raise ValueError(
            f"expected a labels.yaml in '{beside.parent}', which seg-preprocess writes, got none; give labels=FILE"
        )
    return LabelMap.load(beside if labels is None else labels, ignore=ignore)


def check_converted(masks: Path) -> None:
    """Refuse a folder of label images whose conversion was forgotten: its label map alone would not help.

    Raises:
        ValueError: there is no ``labels.yaml``, and the first files are no masks.
    """
    if (masks / "labels.yaml").is_file() or not masks.is_dir():
        return
    names = (name for name in list_names(masks) if Path(name).suffix.lower() in SUFFIXES)
    first = [masks / name for name in islice(names, _LOOKED_AT)]
    if first and not any(map(is_mask, first)):
        raise ValueError(
            f"expected a labels.yaml in '{masks}', which seg-preprocess writes, got none, and label images such as "
            f"'{first[0]}', which are no masks (8-bit grayscale PNG); convert them first (seg-preprocess "
            f"source={masks} destination=DIR labels=FILE), and give that folder as masks"
        )


def load_labels(labels: str | None, masks: Folders) -> LabelMap:
    """Load the label map as `named_labels` does, and hold the masks against it.

    Raises:
        ValueError: it is missing, or the masks were made with other classes, or are none.
    """
    if labels is None:
        check_converted(as_list(masks)[0])
    label_map = named_labels(labels, masks)
    beside = as_list(masks)[0] / "labels.yaml"
    check_labels(label_map, masks, f"'{beside}'" if labels is None else f"labels={labels}")
    return label_map


def check_labels(label_map: LabelMap, masks: Folders, source: str) -> None:
    """Check that the masks mean what the label map says, where a ``labels.yaml`` beside them tells, and are complete.

    Raises:
        ValueError: the masks were made with other classes, or by shards that were not merged.
    """
    for folder in as_list(masks):
        if not (folder / "labels.yaml").is_file():
            continue
        _check_merged(folder)
        names = LabelMap.load(folder / "labels.yaml").names
        if names != label_map.names:
            raise ValueError(
                f"expected the classes of {source}, {', '.join(label_map.names)}, got masks in '{folder}' that were "
                f"made with {', '.join(names)} (labels.yaml there); convert all masks with one label map"
            )


def warn_of_values(labels: LabelMap, *masks: Folders | None) -> None:
    """Warn of masks that may hold values of the label map, because nobody converted them: they are taken as indices."""
    other = next(((value, index) for value, index in labels.values if value != index), None)
    folders = [folder for some in masks if some is not None for folder in as_list(some)]
    if other and (bare := [folder for folder in folders if not (folder / "labels.yaml").is_file()]):
        value, index = other
        log.warning(
            f"'{bare[0]}' has no labels.yaml: its numbers are taken as indices, 0 for '{labels.names[0]}', though the "
            f"label map has values, {value} for '{labels.name_of(index)}'; if the files hold these, convert them first "
            "(seg-preprocess read=index)"
        )


def _check_merged(folder: Path) -> None:
    """Refuse masks of shards whose totals were not merged, because a shard may be missing."""
    shards, merged = sorted(folder.glob("manifest.*-of-*.json")), folder / "manifest.json"
    newest = max((path.stat().st_mtime_ns for path in shards), default=0)
    if shards and (not merged.is_file() or merged.stat().st_mtime_ns < newest):
        raise ValueError(
            f"masks: expected shards that were merged, got '{folder}' with {', '.join(path.name for path in shards)} "
            "newer than manifest.json, or without it; give the same seg-preprocess command once more, without shard"
        )
