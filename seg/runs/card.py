"""The model card of a complete run: ``README.md`` in its folder, made of what the run knows, and nothing else."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment
from numpy.typing import NDArray

from seg import runs
from seg.images import Reading
from seg.labels import LabelMap
from seg.metrics.catalogue import Metric
from seg.metrics.scores import POLICY, majority_scores
from seg.report.tables import percent

_GROUPS = (
    *("model", "regularizer", "loss", "task", "weighting"),
    *("optimizer", "scheduler", "rates", "augment", "average", "inference"),
)
_LIBRARIES = ("seg", "python", "torch", "torchvision", "segmentation_models_pytorch", "numpy", "cv2")
_USUAL = {"_target_": "seg.losses.weighting.Fixed"}
"""The default weighting, which the card does not mention."""


@dataclass(frozen=True)
class Card:
    """The contents of a model card.

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

    def text(self) -> str:
        """Write Markdown, with front matter that the Hugging Face hub reads."""
        template = (Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8")
        environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
        return environment.from_string(template).render(
            config=self.config,
            environment=self.record.environment,
            front_matter=_front_matter(self.config),
            labels=self.labels,
            reading=self.reading,
            checkpoint=runs.BEST if (self.record.folder / runs.BEST).exists() else runs.LAST,
            done=self.done,
            pairs=self.pairs,
            policy=POLICY,
            split=_split(self.config),
            table=_table,
            validated=sum("val_miou" in line for line in self.record.lines),
            training=list(self._training()),
            command=shlex.join(["seg-train", *self.record.environment["command"][1:]]),
            **self._reading(),
            **self._data(),
            **self._scores(),
        )

    def _reading(self) -> dict[str, Any]:
        model, (mean, std) = self.config["model"], self.normalization
        parts = [model.get("architecture"), model.get("encoder_name")]
        limits = self.reading.range
        return {
            "kind": " with the encoder ".join(str(part) for part in parts if part) or str(model["_target_"]),
            "bands": "RGB" if self.reading.bands is None else f"bands {list(self.reading.bands)} of the file, from 0",
            "limits": "all of 8 or 16 bits" if limits is None else str([list(limit) for limit in limits]),
            "mean": ", ".join(f"{value:.4g}" for value in mean),
            "std": ", ".join(f"{value:.4g}" for value in std),
        }

    def _data(self) -> dict[str, Any]:
        """Return the rows of the tables of data, and the classes that caveats are about."""
        data, names, counts = self.config["data"], self.labels.names, (self.train, self.val)
        parts = [
            (
                part,
                number,
                *(_folders(data[part][kind] or data["train"][kind]) for kind in ("images", "masks")),
                _percent(1 - int(labelled.sum()) / max(pixels, 1)),
            )
            for part, number, pixels, labelled in zip(("train", "val"), self.pairs, self.pixels, counts, strict=True)
        ]
        colours = {label.name: label for label in self.labels.labels}
        train, val = (labelled / max(labelled.sum(), 1) for labelled in counts)
        ious = (self.best or {}).get("val_iou", self.done["last"]["iou"])
        return {
            "parts": parts,
            "classes": [
                (index, name, _source(colours[name]), _percent(train[index]), _percent(val[index]))
                for index, name in enumerate(names)
            ],
            "ignored": [label.name for label in self.labels.labels if label.ignore],
            "unseen": [name for name, pixels in zip(names, self.train, strict=True) if not pixels],
            "unjudged": [name for name, pixels in zip(names, self.val, strict=True) if not pixels],
            "missed": [n for n, pixels in zip(names, self.val, strict=True) if pixels and not ious.get(n)],
        }

    def _scores(self) -> dict[str, Any]:
        """Return the rows of the tables of scores."""
        last, best, names = self.done["last"], self.best, self.labels.names
        nothing = np.zeros_like(self.val)
        baseline = majority_scores(np.stack([nothing, nothing, self.val], 1), self.majority)
        after = f"best.pt, epoch {best['epoch'] + 1}" if best else "best.pt"
        simple = {"miou": baseline.miou, "mdice": baseline.mdice, "accuracy": baseline.accuracy}
        of_best = (best or {}).get("val_iou", {})
        scored = [(key, metric) for key, metric in self.metrics.items() if not metric.by_class]
        values = {key: ((best or {}).get(f"val_{key}"), last.get(key), simple.get(key)) for key, _ in scored}
        return {
            "columns": [after, f"last.pt, epoch {self.done['epochs']}", f"always '{names[self.majority]}'"],
            "scores": [
                (f"{metric.title}{', lower is better' * metric.lower}", *map(metric.shown, values[key]))
                for key, metric in scored
            ],
            "by_class": [
                (name, _percent(of_best.get(name)), _percent(last["iou"].get(name)), _percent(baseline.iou[index]))
                for index, name in enumerate(names)
            ],
        }

    def _training(self) -> Iterator[tuple[str, str]]:
        config, environment, fit = self.config, self.record.environment, self.config["fit"]
        yield from ((group, shown(config[group])) for group in _GROUPS if config.get(group) not in (None, {}, _USUAL))
        yield "length", f"{self.done['epochs']} epochs" + (", ended early" if self.done["stopped_early"] else "")
        yield "batch", f"{config['loader']['batch']} images a batch, {fit.get('accumulate', 1)} batches a step"
        yield "sampler", str(config["loader"].get("sampler") or "each image once an epoch")
        yield "started from", str(config.get("init") or config["model"].get("encoder_weights") or "random weights")
        yield "precision", str(environment.get("precision", config["device"]["precision"]))
        yield "seed", str(config["seed"])
        yield "training time", f"{self.record.seconds:.0f} s, without validation"
        yield "hardware", _hardware(environment)
        yield "versions", ", ".join(f"{key} {environment[key]}" for key in _LIBRARIES if key in environment)
        yield "commit", _commit(environment.get("git"))
        if self.done.get("skipped_steps"):
            yield "steps left out", f"{self.done['skipped_steps']}, because the loss was not finite"


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
    return str(yaml.safe_dump(known, sort_keys=False, allow_unicode=True))


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    first, *cells = ([" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in (header, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, ["---"] * len(header), *cells))


def _percent(value: Any) -> str:
    return "-" if value is None else percent(float(value))


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
    if data.get("folds") is not None:
        dealt = f"dealt by seed {data['split_seed']} with an eye on rare classes"
        return f"Validated on fold {data['fold']} of {data['folds']} (counted from 0), {dealt}; {scenes}."
    return f"Validated on a share of {data['val_share']} of the pairs, chosen by seed {data['split_seed']}; {scenes}."


def _source(label: Any) -> str:
    colours = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in label.colors)
    return "; ".join(part for part in (colours, ", ".join(map(str, label.values))) if part)


def _hardware(environment: Mapping[str, Any]) -> str:
    gpus = ", ".join(environment["gpus"])
    return f"{environment['cpu_count']} CPU cores{'; in the machine: ' + gpus if gpus else ', no GPU'}"


def _commit(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return "none: it was not started in a git repository"
    return f"{git['commit']} of the folder it was started in{', with changes' if git['changed'] else ''}"
