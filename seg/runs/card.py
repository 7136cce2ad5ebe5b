"""The model card of a complete run: ``README.md`` in its folder, made of what the run knows, and nothing else."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from seg import runs
from seg.images import Reading
from seg.labels import LabelMap
from seg.metrics.catalogue import Metric
from seg.metrics.scores import POLICY, majority_scores
from seg.report.tables import percent

NOT_STATED = "Not stated."

_GROUPS = (
    *("model", "regularizer", "loss", "task", "weighting"),
    *("optimizer", "scheduler", "rates", "augment", "average", "inference"),
)
_USUAL = {"_target_": "seg.losses.weighting.Fixed"}
"""The default weighting, which the card does not mention."""


@dataclass(frozen=True)
class Card:
    """What a model card tells.

    Attributes:
        record: of the run folder, whose ``done`` may still be missing.
        done: what ``done.json`` will hold.
        labels: the label map.
        pairs, pixels: of training and validation: number of pairs, and pixels with those that are ignored.
        train, val: (C,) labelled pixels of each class; ``val`` in the last validation.
        majority: the class that the baseline predicts.
        normalization: mean and deviation of each channel, of images scaled to 0..1.
        reading: how images are read.
        metrics: the catalogue of its scores.
    """

    record: runs.RunRecord
    done: Mapping[str, Any]
    labels: LabelMap
    pairs: tuple[int, int]
    pixels: tuple[int, int]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    majority: int
    normalization: tuple[Sequence[float], Sequence[float]]
    reading: Reading
    metrics: Mapping[str, Metric]

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the run."""
        return self.record.config

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The line of the epoch that ``best.pt`` is of; None where it is not known."""
        epoch = self.done["best"]["epoch"]
        return next((line for line in self.record.lines if line["epoch"] == epoch and "val_miou" in line), None)

    @property
    def checkpoint(self) -> str:
        """The file to use."""
        return runs.BEST if (self.record.folder / runs.BEST).exists() else runs.LAST

    def text(self) -> str:
        """Markdown, with front matter that the Hugging Face hub reads."""
        sections = (self._head(), self._use(), self._data(), self._scores(), self._training(), self._rest())
        return _front_matter(self.config) + "\n".join(line for section in sections for line in section)

    def _head(self) -> Iterator[str]:
        model = self.config["model"]
        parts = [model.get("architecture"), model.get("encoder_name")]
        kind = " with the encoder ".join(str(part) for part in parts if part) or str(model["_target_"])
        yield f"# {self.config['name']}\n"
        yield f"Semantic segmentation with {self.labels.classes} classes: {kind}, trained by seg-toolkit"
        yield f"{self.record.environment['seg']}. Written by `seg-train` from what the run knows; what it cannot know"
        yield f'says "{NOT_STATED.lower().rstrip(".")}". A run that is extended writes this file anew.\n'
        if self.config.get("smoke"):
            yield "**A smoke test: two steps on few images. The scores mean nothing.**\n"

    def _use(self) -> Iterator[str]:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in self.normalization)
        bands = "RGB" if self.reading.bands is None else f"bands {list(self.reading.bands)} of the file, from 0"
        limits = "all of 8 or 16 bits" if self.reading.range is None else str([list(r) for r in self.reading.range])
        yield "## Use\n"
        yield f"```bash\nseg-predict checkpoint={self.checkpoint} images=PHOTOS destination=PREDICTED\n```"
        yield "```python\nimport seg\n"
        yield f"# (H, W, {self.reading.channels}) uint8 -> (H, W) uint8, the values below"
        yield f'mask = seg.load("{self.checkpoint}").predict(image)\n```'
        yield f"The checkpoint knows how to read and normalise images: {bands}; values from black to white: {limits};"
        yield f"mean {mean} and deviation {std} of images scaled to 0..1.\n"

    def _data(self) -> Iterator[str]:
        data = self.config["data"]
        yield "## Data\n"
        rows = []
        for part, number, pixels, labelled in zip(
            ("train", "val"), self.pairs, self.pixels, (self.train.sum(), self.val.sum()), strict=True
        ):
            folders = [_folders(data[part][kind] or data["train"][kind]) for kind in ("images", "masks")]
            rows.append((part, number, *folders, _percent(1 - int(labelled) / max(pixels, 1))))
        yield from _table(("part", "pairs", "images", "masks", "pixels ignored %"), rows)
        yield _split(self.config)
        yield "\nLabel map, and shares of the labelled pixels:\n"
        colours = {label.name: label for label in self.labels.labels}
        train, val = (counts / max(counts.sum(), 1) for counts in (self.train, self.val))
        yield from _table(
            ("value in masks", "class", "colour or value", "train %", "val %"),
            [
                (index, name, _source(colours[name]), _percent(train[index]), _percent(val[index]))
                for index, name in enumerate(self.labels.names)
            ],
        )
        ignored = [label.name for label in self.labels.labels if label.ignore]
        yield f"255 is ignored{': ' + ', '.join(ignored) if ignored else ''}."
        yield "Licence and origin of the data: not stated.\n"

    def _scores(self) -> Iterator[str]:
        last, best = self.done["last"], self.best
        counts = np.stack([np.zeros_like(self.val), np.zeros_like(self.val), self.val], 1)
        baseline = majority_scores(counts, self.majority)
        name = self.labels.names[self.majority]
        after = f"best.pt, epoch {best['epoch'] + 1}" if best else "best.pt"
        columns = (after, f"last.pt, epoch {self.done['epochs']}", f"always '{name}'")
        simple = {"miou": baseline.miou, "mdice": baseline.mdice, "accuracy": baseline.accuracy}
        yield f"## Scores\n\nOn the {self.pairs[1]} validation images:\n"
        yield from _table(
            ("", *columns),
            [
                (
                    f"{metric.title}{', lower is better' * metric.lower}",
                    *(metric.shown(value) for value in (_value(best, f"val_{key}"), last.get(key), simple.get(key))),
                )
                for key, metric in self.metrics.items()
                if not metric.by_class
            ],
        )
        yield "IoU of each class (D):\n"
        of_best = (best or {}).get("val_iou", {})
        yield from _table(
            ("%", *columns),
            [
                (name, _percent(of_best.get(name)), _percent(last["iou"].get(name)), _percent(baseline.iou[index]))
                for index, name in enumerate(self.labels.names)
            ],
        )
        yield f"By image: I; by class: C; other means over classes: D. {POLICY}.\n"
        yield from self._caveats()

    def _caveats(self) -> Iterator[str]:
        """Say what the scores do not say."""
        validated = sum("val_miou" in line for line in self.record.lines)
        yield (
            f"- `best.pt` is the best of {validated} validations by {self.done['best']['monitor']}, chosen on the very "
            "images that it is scored on here: on new ones expect less."
        )
        if self.config["fit"].get("overfit"):
            yield "- **Validated on training images (`fit.overfit`): the scores say nothing of others.**"
        yield f"- One run, seed {self.config['seed']}: how much scores vary from seed to seed was not measured."
        yield "- No test images were looked at."
        names = self.labels.names
        if unseen := [name for name, pixels in zip(names, self.train, strict=True) if not pixels]:
            yield f"- Without a training pixel: {', '.join(unseen)}. The model cannot know them."
        if unjudged := [name for name, pixels in zip(names, self.val, strict=True) if not pixels]:
            yield f"- Without a validation pixel, and so not judged: {', '.join(unjudged)}."
        found = (self.best or {}).get("val_iou", self.done["last"]["iou"])
        if missed := [name for name, pixels in zip(names, self.val, strict=True) if pixels and not found.get(name)]:
            yield f"- In the validation images, but never found (IoU 0): {', '.join(missed)}."
        yield ""

    def _training(self) -> Iterator[str]:
        config, environment, fit = self.config, self.record.environment, self.config["fit"]
        rows = [(group, shown(config[group])) for group in _GROUPS if config.get(group) not in (None, {}, _USUAL)]
        batch = f"{config['loader']['batch']} images a batch, {fit.get('accumulate', 1)} batches a step"
        rows += [
            ("length", f"{self.done['epochs']} epochs" + (", ended early" if self.done["stopped_early"] else "")),
            ("batch", batch),
            ("sampler", str(config["loader"].get("sampler") or "each image once an epoch")),
            ("started from", str(config.get("init") or config["model"].get("encoder_weights") or "random weights")),
            ("precision", str(environment.get("precision", config["device"]["precision"]))),
            ("seed", str(config["seed"])),
            ("training time", f"{self.record.seconds:.0f} s, without validation"),
            ("hardware", _hardware(environment)),
            ("versions", ", ".join(f"{key} {environment[key]}" for key in _versions(environment))),
            ("commit", _commit(environment.get("git"))),
        ]
        if self.done.get("skipped_steps"):
            rows.append(("steps left out", f"{self.done['skipped_steps']}, because the loss was not finite"))
        yield "## Training\n"
        yield from _table(("", ""), rows)
        yield f"Command of the last start (`{runs.CONFIG}` has every option):\n"
        yield f"```bash\n{shlex.join(['seg-train', *environment['command'][1:]])}\n```\n"

    def _rest(self) -> Iterator[str]:
        yield f"## Intended use\n\n{NOT_STATED}\n"
        yield "## Limits\n"
        yield "Only the scores above, and the caveats below them, are known. How the model does on images of another"
        yield "origin, camera, season or size, and who could be harmed by its mistakes: not stated.\n"
        yield f"## Licence\n\n{self.config.get('license') or NOT_STATED}"
        if self.config["model"].get("encoder_weights") or self.config.get("init"):
            yield "\nIt was started from other weights, whose licence was not looked into."
        yield ""


def check_license(value: Any) -> None:
    """Refuse what is no name of a licence."""
    if value is not None and (not isinstance(value, str) or not value.strip() or "\n" in value):
        raise ValueError(f"license: expected the name of a licence, or null, got {value!r}; give such as mit")


def shown(node: Any) -> str:
    """Show a part of a configuration in one line: ``CrossEntropy(label_smoothing=0.1)``."""
    if isinstance(node, Mapping):
        inner = ", ".join(f"{key}={shown(value)}" for key, value in node.items() if not str(key).startswith("_"))
        name = str(node.get("_target_", "")).rpartition(".")[2]
        return f"({inner})" if name.endswith("Options") else f"{name}({inner})"
    if isinstance(node, list):
        return f"[{', '.join(map(shown, node))}]"
    return "null" if node is None else str(node)


def _front_matter(config: Mapping[str, Any]) -> str:
    data = {
        "license": config.get("license"),
        "library_name": "seg-toolkit",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation"],
    }
    known = {key: value for key, value in data.items() if value is not None}
    return f"---\n{yaml.safe_dump(known, sort_keys=False, allow_unicode=True)}---\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _percent(value: Any) -> str:
    return "-" if value is None else percent(float(value))


def _value(line: Mapping[str, Any] | None, key: str) -> Any:
    return None if line is None else line.get(key)


def _folders(folders: Any) -> str:
    return ", ".join(map(str, folders)) if isinstance(folders, list) else str(folders)


def _split(config: Mapping[str, Any]) -> str:
    data = config["data"]
    if config["fit"].get("overfit"):
        return f"Validated on the {config['fit']['overfit']} training images themselves."
    if data["val"]["images"] is not None:
        return "Validated on images of folders of their own."
    if data["val"]["list"] is not None:
        return f"Validated on the images that `{data['val']['list']}` lists."
    scenes = f"scenes, `{data['group']}`, kept whole" if data.get("group") else "tiles of one image kept together"
    return f"Validated on a share of {data['val_share']} of the pairs, chosen by seed {data['split_seed']}; {scenes}."


def _source(label: Any) -> str:
    colours = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in label.colors)
    return "; ".join(part for part in (colours, ", ".join(map(str, label.values))) if part)


def _hardware(environment: Mapping[str, Any]) -> str:
    gpus = ", ".join(environment["gpus"])
    return f"{environment['cpu_count']} CPU cores{'; in the machine: ' + gpus if gpus else ', no GPU'}"


def _versions(environment: Mapping[str, Any]) -> list[str]:
    return [key for key in ("seg", "python", "torch", "torchvision", "segmentation_models_pytorch", "numpy", "cv2")
            if key in environment]  # fmt: skip


def _commit(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return "none: it was not started in a git repository"
    return f"{git['commit']} of the folder it was started in{', with changes' if git['changed'] else ''}"
