"""Semantic segmentation from RGB label maps to a trained, trustworthy model.

The modules are the API; each loads on first use, so that ``import seg`` pulls in neither torch nor cv2::

    from seg.labels import LabelMap
    from seg.convert import convert_folder
    from seg.trained import load
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

try:
    __version__ = version("seg-toolkit")
except PackageNotFoundError:  # a bare checkout on PYTHONPATH
    __version__ = "0.1.0"

_PUBLIC = (
    "audit",
    "averaging",
    "boxes",
    "checkpoint",
    "class_weights",
    "compare",
    "convert",
    "dataset",
    "evaluation",
    "export",
    "exported",
    "images",
    "inference",
    "labels",
    "loading",
    "losses",
    "metrics",
    "models",
    "objective",
    "optim",
    "pairs",
    "pictures",
    "regularizers",
    "runs",
    "scores",
    "synthetic",
    "trained",
    "training",
    "transforms",
    "weighting",
)


def __getattr__(name: str) -> ModuleType:
    if name in _PUBLIC:
        return import_module(f"seg.{name}")
    raise AttributeError(f"module 'seg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", *_PUBLIC]
