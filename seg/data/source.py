"""What the ``data`` group names: pairs of images and masks, checked and split."""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from numpy.typing import NDArray

from seg import runs
from seg.commands._reading import reading_of
from seg.commands.cli import instantiate
from seg.convert.weights import class_weights
from seg.data import checked as checking
from seg.data.checked import Checked
from seg.data.pairs import Folders, Pair, as_list, pair, scenes_of, split, torn_scenes, with_instances
from seg.data.pairs.folders import check_apart
from seg.files import make_folder, write_json
from seg.images import Reading, read_values
from seg.images.oddities import oddities, percentiles, text_of
from seg.images.reading import PERCENTILES
from seg.inference import trained
from seg.labels import LabelMap
from seg.report.console import console
from seg.report.progress import bulk_progress
from seg.training.device import told_by_first

log = logging.getLogger(__name__)


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
    files: dict[str, list[runs.PairFiles]]
    reading: Reading
    moments: NDArray[Any] | None

    @property
    def majority(self) -> int:
        """The most frequent class of the training masks."""
        return int(self.train_counts.sum(0).argmax())


def with_weights(loss: Any, data: Data) -> Any:
    """The configuration of a loss with every named rule (``weight: median_frequency``) made a class vector.

    Raises:
        ValueError: an unknown rule.
    """
    if isinstance(loss, list):
        return [with_weights(item, data) for item in loss]
    if not isinstance(loss, dict):
        return loss
    resolved = {key: with_weights(value, data) for key, value in loss.items()}
    if isinstance(resolved.get("weight"), str):
        counts = data.train_counts
        within = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0).tolist()
        rule = resolved["weight"]
        resolved["weight"] = class_weights(
            counts.sum(0).tolist(), rule, images=within if rule == "median_frequency" else None
        )
    return resolved


Choose = Callable[[list[Pair], list[Pair]], tuple[list[Pair], list[Pair]]]
"""(training, validation) pairs -> those of them that a run takes."""


def load_data(data: dict[str, Any], labels: str | None, folder: Path, fabric: Fabric, choose: Choose) -> Data:
    """What the ``data`` group names, looked at by the first process, which tells the others.

    Args:
        folder: of the run, which may be one that goes on with the same data.

    Raises:
        ValueError: whatever is wrong with it.
    """
    return told_by_first(fabric, lambda: _read_data(data, labels, folder, choose))


def check(pairs: Sequence[Pair], classes: int, reading: Reading, part: str) -> Checked:
    """`seg.data.checked.check` with a display of how far it is; what is odd about the images of this part is said."""
    with bulk_progress("checking", "pairs", console) as tell:
        checked = checking.check(pairs, classes, reading=reading, progress=lambda done, total: tell(done, total=total))
    for odd in oddities(checked.seen, reading):
        log.warning(f"{part}: {odd.text}, such as '{pairs[odd.images[0]].image}'; {odd.advice}")
    return checked


def measured(reading: Reading, images: Sequence[Path]) -> Reading:
    """The reading with the percentiles of these training images, where it asks for them.

    Raises:
        ValueError: images that cannot be read.
    """
    if reading.range != PERCENTILES:
        return reading
    found = percentiles(images, reading, read_values)
    print(f"data.range=percentiles: {text_of(found)} of {len(images)} training images", file=sys.stderr)
    return reading.with_range(found)


def _kept(reading: Reading, folder: Path) -> Reading:
    """The reading with the percentiles that a run in this folder goes on with, where it asks for them."""
    last = folder / runs.LAST
    if reading.range != PERCENTILES or not last.exists():
        return reading
    try:
        return trained.reading_of(last, trained.read(last))
    except ValueError:  # said when the run goes on from it
        return reading


def check_classes(checked: Checked, labels: LabelMap, part: str, *, learn: bool = False) -> None:
    """Say which classes have no pixel, because a mean over the others looks better than it is.

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
        log.warning(
            f"no {part} pixel is {' or '.join(repr(name) for name in absent)}: scores are means over the other "
            f"{labels.classes - len(absent)} of {labels.classes} classes"
        )


def pair_up(data: dict[str, Any]) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs, by name alone.

    Raises:
        ValueError: files that do not pair up, or the same in both parts.
    """
    training, validation = data["train"], data["val"]
    if (validation["images"] is None) != (validation["masks"] is None):
        raise ValueError("data.val: expected images and masks together, got one of them; give both, or neither")
    numbered = training.get("instances") is not None and validation["images"] is not None
    if (validation.get("instances") is not None) != numbered:
        raise ValueError(
            "data.val.instances: expected it together with data.train.instances and data.val.images, got it "
            f"{'without them' if not numbered else 'missing'}; give all, or leave it out"
        )
    paired = partial(_paired, data)
    train_pairs = paired(training, training["list"])
    if validation["images"] is not None:
        val_pairs = paired(validation, validation["list"])
    elif validation["list"] is not None:
        val_pairs = paired(training, validation["list"])
    else:
        scenes = scenes_of([p.name for p in train_pairs], data["group"])
        if (number := len(set(scenes))) < len(scenes):
            log.info(f"splitting {len(scenes)} pairs by scene: {number} scenes")
        train_pairs, val_pairs = split(train_pairs, data["val_share"], data["split_seed"], scenes)
    _warn_of_torn_scenes(train_pairs, val_pairs, data["group"])
    both = {p.image.resolve() for p in train_pairs} & {p.image.resolve() for p in val_pairs}
    if both:
        raise ValueError(
            f"expected different images for training and validation, got {len(both)} in both, such as '{min(both)}'; "
            "take them out of one of the two"
        )
    return train_pairs, val_pairs


def _paired(data: dict[str, Any], part: dict[str, Any], listed: Folders | None) -> list[Pair]:
    """The pairs of a part that are listed, with the numbers of their objects where it has them."""
    templates = {"image_template": data["image_template"], "template": data["template"]}
    pairs = pair(part["images"], part["masks"], **templates, only=listed)
    if (instances := part.get("instances")) is None:  # a group of the user's own need not name it
        return pairs
    templates = {"template": data["template"], "instance_template": data.get("instance_template", "{}")}
    return with_instances(pairs, part["masks"], instances, **templates)


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


def file_sizes(train: list[Pair], val: list[Pair]) -> dict[str, list[runs.PairFiles]]:
    """What a run folder keeps of its pairs."""

    def sizes(pairs: list[Pair]) -> list[runs.PairFiles]:
        return [(p.name, p.image.stat().st_size, sum(f.stat().st_size for f in p.files[1:])) for p in pairs]

    return {"train": sizes(train), "val": sizes(val)}


def _read_data(data: dict[str, Any], labels: str | None, folder: Path, choose: Choose) -> Data:
    """Pair, split and check the images and masks.

    Raises:
        ValueError: whatever is wrong with them, or the label map is missing.
    """
    training, validation = data["train"], data["val"]
    train_pairs, val_pairs = choose(*pair_up(data))
    kinds = ("images", "masks", "instances")
    read = [part[kind] for part in (training, validation) for kind in kinds if part.get(kind) is not None]
    check_apart(folder, [path for folders in read for path in as_list(folders)], "runs")
    files = file_sizes(train_pairs, val_pairs)
    runs.check_pairs(folder, files)
    label_map = load_labels(labels, training["masks"])
    if validation["masks"] is not None:
        check_labels(label_map, validation["masks"], "data.train.masks")
    reading = measured(_kept(reading_of(data), folder), [p.image for p in train_pairs])
    log.info(f"checking {len(train_pairs)} training and {len(val_pairs)} validation pairs")
    train_checked = check(train_pairs, label_map.classes, reading, "training")
    val_checked = check(val_pairs, label_map.classes, reading, "validation")
    check_classes(train_checked, label_map, "training", learn=True)
    check_classes(val_checked, label_map, "validation")
    return Data(
        label_map,
        train_pairs,
        val_pairs,
        train_checked.counts,
        train_checked.sizes,
        val_checked.sizes,
        files,
        reading,
        train_checked.moments,
    )


def load_labels(labels: str | None, masks: Folders) -> LabelMap:
    """The named label map, else the ``labels.yaml`` beside the masks, of the first folder where there are several."""
    beside = as_list(masks)[0] / "labels.yaml"
    if labels is None and not beside.is_file():
        raise ValueError(
            f"expected a labels.yaml in '{beside.parent}', which seg-preprocess writes, got none; give labels=FILE"
        )
    label_map = LabelMap.load(beside if labels is None else labels)
    check_labels(label_map, masks, f"'{beside}'" if labels is None else f"labels={labels}")
    return label_map


def check_labels(label_map: LabelMap, masks: Folders, source: str) -> None:
    """Make sure that the masks mean what the label map says, where a ``labels.yaml`` beside them tells.

    Raises:
        ValueError: the masks were made with other classes.
    """
    for folder in as_list(masks):
        if not (folder / "labels.yaml").is_file():
            continue
        names = LabelMap.load(folder / "labels.yaml").names
        if names != label_map.names:
            raise ValueError(
                f"expected the classes of {source}, {', '.join(label_map.names)}, got masks in '{folder}' that were "
                f"made with {', '.join(names)} (labels.yaml there); convert all masks with one label map"
            )


def render(config: dict[str, Any]) -> None:
    """Render and convert the embedded dataset where that is not done yet.

    Raises:
        ValueError: another rendering lies at the destination.
    """
    from seg.convert import convert_folder
    from seg.synthetic import LABELS

    destination = make_folder(config["destination"], "data.render.destination")
    mark = destination / "render.json"
    if mark.exists() and json.loads(mark.read_text()) != config:
        raise ValueError(
            f"expected a rendering with these options in '{destination}', got one with others; give another "
            "data.render.destination"
        )
    if not mark.exists():
        print(f"rendering the embedded dataset into {destination}", file=sys.stderr)  # stdout may be asked for JSON
        instantiate(config)
        write_json(mark, config)
    for part in ("train", "val"):
        summary = convert_folder(destination / part / "labels", destination / part / "masks", LABELS)
        if summary.failed:
            raise RuntimeError(f"converting {destination / part / 'labels'}: {summary.failures[0]}")
