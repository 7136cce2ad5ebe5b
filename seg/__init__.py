"""Semantic segmentation from RGB label maps to a trained, trustworthy model.

The rooms are the API; each loads on first use, so that ``import seg`` pulls in neither torch nor cv2. In the order in
which data flow::

    labels        what colours and numbers mean: LabelMap, its forms, palettes
    images        one image file: header, decoding, reading, oddities
    convert       label files -> masks in bulk, and back; class weights from their counts
    data          pairs (found, paired, split), checked, dataset, batches, sampling, cache; augmented copies
    audit         is it fit to train on?
    synthetic     the embedded dataset
    transforms    augmentation of image and mask together
    losses        one file per loss; sums, pixels, regions, processes: the kit for a new one; weighting of several
    regularizers  DropBlock ...; attach; diagnosis of the variance shift
    models        building, pretrained weights, heads, checkpoint, restoring
    tasks         the objective: where model and loss meet; boxes
    training      options, state, loop, optimizers, averaging; a run: start, preflight, resume, recorder, trackers
    metrics       one file per metric; scores; the catalogue
    evaluation    metrics over a set; its files, tables, plots
    inference     the trained model: load, predict; windows, views, folders, export
    runs          the run folder; its card
    compare       runs -> levels -> statistics -> findings -> words
    report        pages, documents, figures, tables, progress
    commands      the commands, each thin; sweep, tune; cli (the wrapper around Hydra)
    files         written whole, held, remembered, manifest, checks, errors, notebook

``seg.load(path)`` gives a trained model.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.inference.trained import Trained

__version__: str

_ROOMS = (
    "audit",
    "compare",
    "convert",
    "data",
    "evaluation",
    "images",
    "inference",
    "labels",
    "losses",
    "metrics",
    "models",
    "regularizers",
    "report",
    "runs",
    "synthetic",
    "tasks",
    "training",
    "transforms",
)


def load(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], device: str = "auto", *, trust: Sequence[str] = ()
) -> "Trained":
    """Load a trained model from a checkpoint or an exported file; see `seg.inference.trained.load`.

    Several, ``["a/best.pt", "b/best.pt"]`` or ``"runs/dice-*"``, predict the mean of their probabilities; see
    `seg.inference.members.files_of` for what may be named.

    >>> import seg
    >>> model = seg.load("runs/first/best.pt")  # prints as what it is: model, classes, images, score
    >>> mask = model.predict(image)  # (H, W, 3) uint8, red first, of any size -> (H, W) uint8
    >>> mask.shape == image.shape[:2]
    True
    """
    loaded: Trained = import_module("seg.inference.members").load(path, device, trust=trust)
    return loaded


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"seg.{name}")
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # here: most of the time of `import seg`

        try:
            return version("seg-toolkit")
        except PackageNotFoundError:  # a bare checkout on PYTHONPATH
            return "0.1.0"
    raise AttributeError(f"module 'seg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", "load", *_ROOMS]
